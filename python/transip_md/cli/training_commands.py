"""``transip-md train``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transip_md.cli.console import console
from transip_md.cli.progress import LongTask
from transip_md.cli.summary import add_command, record
from transip_md.common.errors import UsageError
from transip_md.common.outputs import require_folder_of

if TYPE_CHECKING:
    from transip_md.training.config import TrainConfig
    from transip_md.training.evaluation import Report
    from transip_md.training.run import TrainingRun


def _print_schema(wanted: bool) -> None:
    if wanted:
        import json

        from transip_md.training.config import recipe_schema

        print(json.dumps(recipe_schema(), indent=1))
        raise typer.Exit


def train(
    config: Annotated[Path, typer.Argument(help="YAML file; see recipes/ethanol/train.yaml.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint to write.")],
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key, such as objective.force_weight=5; repeats."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each process.")] = 1,
    committee: Annotated[
        int | None,
        typer.Option(min=2, help="Train so many models, by seed and bootstrap: OUTPUT with .1, .2, ... in its name."),
    ] = None,
    schema: Annotated[
        bool,
        typer.Option("--schema", callback=_print_schema, is_eager=True, help="Print the JSON schema of recipes."),
    ] = False,
) -> None:
    """Train a model on labelled structures. Resumes from OUTPUT.run when interrupted; logs are in that folder."""
    require_folder_of(output)
    from transip_md.training.config import read_config

    recipe = read_config(config, override)
    from transip_md.training import require_lightning

    require_lightning()
    import torch

    torch.set_num_threads(threads)
    if committee is None:
        _train(recipe, output)
        return
    if recipe.devices * recipe.nodes > 1:
        raise UsageError("The models of a committee are trained by one process each: take devices and nodes out.")
    from transip_md.training.committee import is_trained, member

    for number in range(1, committee + 1):
        own, file = member(recipe, output, number)
        if is_trained(own, file):
            console.print(f"{file}: is there, by this recipe", soft_wrap=True)
            record().files.append(file)
        else:
            console.print(f"{file}: model {number} of {committee}, seed {own.seed}", soft_wrap=True)
            _train(own, file)


def _train(recipe: TrainConfig, output: Path) -> None:
    from transip_md.training.callbacks import Progress
    from transip_md.training.run import TrainingRun

    run = TrainingRun(recipe, output)
    if int(os.environ.get("LOCAL_RANK", "0")) or int(os.environ.get("NODE_RANK", "0")):
        # One of several processes that Lightning started: the first one reports for all.
        record().reported = False
        run.train()
        return
    console.print(
        f"{run.model.parameter_count():,} weights; {len(run.train_rows)} frames to train on, "
        f"{len(run.validation_rows)} to watch progress, {len(run.test_frames)} held out"
    )
    if run.added:
        console.print(f"added to {recipe.start_from}: {'; '.join(run.added)}")
    if run.step:
        console.print(f"resumes from step {run.step}")

    def loss() -> str:
        value = run.loss()
        return "" if value is None else f"loss {value:.4g}"

    with LongTask("training", recipe.steps, run.step, note=loss) as bar:

        def report(progress: Progress) -> None:
            errors = progress.validation
            rotation = "" if errors.rotation is None else f", rotation error {errors.rotation.force_mae:.2f} meV/A"
            bar.report(
                f"step {progress.step}: validation force MAE {errors.force_mae:.2f} meV/A, "
                f"energy MAE {errors.energy_mae:.3f} meV/atom{rotation}, {progress.seconds:.0f} s"
            )

        test = run.train(report, bar.update)
    _note(run, output, test)
    console.print(
        f"{output}: held-out force MAE {test.force_mae:.2f} meV/A, RMSE {test.force_rmse:.2f} meV/A, "
        f"energy MAE {test.energy_mae:.3f} meV/atom"
    )


def _note(run: TrainingRun, output: Path, test: Report) -> None:
    """Keep errors on held-out data for the summary: the last model's as numbers, each model's by its file."""
    noted = record()
    errors = {"force_mae_meV_per_A": test.force_mae, "force_rmse_meV_per_A": test.force_rmse}
    errors |= {"energy_mae_meV_per_atom": test.energy_mae, "energy_rmse_meV_per_atom": test.energy_rmse}
    noted.files.append(output)
    noted.numbers |= {"weights": run.model.parameter_count(), "training_frames": len(run.train_rows), **errors}
    noted.details.setdefault("models", {})[str(output)] = errors


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(app, train)
