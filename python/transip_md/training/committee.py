"""Members of a committee: one recipe by several seeds, each on its own draw of the frames."""

from __future__ import annotations

from pathlib import Path

from transip_md.common.errors import UsageError
from transip_md.model.checkpoint import load_checkpoint
from transip_md.training.config import TrainConfig
from transip_md.training.run import recorded_recipe


def member(recipe: TrainConfig, output: Path, number: int) -> tuple[TrainConfig, Path]:
    """Recipe and checkpoint of one model.

    Args:
        recipe: of the committee.
        output: model.ckpt, from which model.1.ckpt, model.2.ckpt, ... are named.
        number: of the model, from 1; its seed is the recipe's plus number - 1.
    """
    data = recipe.data.model_copy(update={"bootstrap": True})
    own = recipe.model_copy(update={"seed": recipe.seed + number - 1, "data": data})
    return own, output.with_name(f"{output.stem}.{number}{output.suffix}")


def is_trained(recipe: TrainConfig, output: Path) -> bool:
    """Whether a checkpoint is there and was made by this recipe.

    Raises:
        UsageError: it was made by another.
    """
    if not output.is_file():
        return False
    if load_checkpoint(output).training.get("recipe") != recorded_recipe(recipe):
        raise UsageError(f"{output} was made by another recipe. Remove it, or choose another output.")
    return True
