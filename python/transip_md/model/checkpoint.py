"""Checkpoints: weights, configuration and the record of how they were trained, in one file."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic
import torch
from torch import Tensor

from transip_md.common.errors import UsageError, validation_message
from transip_md.common.whole_files import replacing
from transip_md.model.config import ModelConfig
from transip_md.model.latent_sample import LatentSample
from transip_md.model.network import TransIP

CHECKPOINT_FORMAT = 1
SHIPPED_FOLDER = Path(__file__).resolve().parent.parent / "shipped"


@dataclass
class Checkpoint:
    """A trained model.

    Attributes:
        config: shape of the network.
        model: the network, weights float32.
        training: data, level of theory, licence, recipe and errors on held-out data.
        sha256: hash of the file that it was loaded from; empty before it is saved.
        transport: weights of the network T that moves embeddings between rotated views; None if there was none.
        sample: atoms of the training set in the latent space; None if the checkpoint has none.
    """

    config: ModelConfig
    model: TransIP
    training: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    transport: dict[str, Tensor] | None = None
    sample: LatentSample | None = None


def save_checkpoint(
    path: Path | str,
    model: TransIP,
    training: dict[str, Any],
    transport: dict[str, Tensor] | None = None,
    sample: LatentSample | None = None,
) -> None:
    """Write a checkpoint; the file appears whole or not at all.

    Args:
        path: file to write.
        model: the network.
        training: JSON-like record of data, level of theory, licence, recipe and held-out errors.
        transport: weights of the transport network T, if the model was trained with one.
        sample: atoms of the training set in the latent space.
    """
    path = Path(path)
    payload = {
        "transip_checkpoint": CHECKPOINT_FORMAT,
        "config": model.config.model_dump(mode="json"),
        "weights": {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
        "training": training,
        "transport": transport,
    }
    if sample is not None:
        payload["latent_sample"] = sample.state_dict()
    # Through memory: torch's own writer of files answers a full disk with fifty lines of C++.
    content = io.BytesIO()
    torch.save(payload, content)
    with replacing(path) as partial:
        partial.write_bytes(content.getbuffer())


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint that `save_checkpoint` wrote.

    Args:
        path: the file.

    Returns:
        The checkpoint, its model in evaluation mode.

    Raises:
        UsageError: the file is missing, is not a checkpoint, or is of a format that this version does not know.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(
            f"No such checkpoint: {path}. Give the path of a checkpoint written by `transip-md train`, "
            f"or the name of a shipped model ({', '.join(shipped_names())})."
        )
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of another kind makes the unpickler fail in any way
        raise UsageError(f"{path} is not a transip-md checkpoint: torch cannot read it.") from error
    found = payload.get("transip_checkpoint") if isinstance(payload, dict) else None
    if found is None:
        raise UsageError(
            f"{path} is not a transip-md checkpoint: it was written by another program. "
            "Expected a file written by `transip-md train`."
        )
    if found != CHECKPOINT_FORMAT:
        raise UsageError(
            f"{path} has checkpoint format {found}; this version of transip-md reads format "
            f"{CHECKPOINT_FORMAT}. Type `pip install --upgrade transip-md`."
        )
    try:
        config = ModelConfig.model_validate(payload["config"])
        model = TransIP(config)
        model.load_state_dict(payload["weights"])
        state = payload.get("latent_sample")
        sample = None if state is None else LatentSample.from_state(state)
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: the checkpoint's configuration: {validation_message(error)}.") from error
    except (RuntimeError, KeyError) as error:
        raise UsageError(f"{path}: the checkpoint does not fit this version's model: {error}") from error
    model.eval()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Checkpoint(config, model, payload["training"], digest, payload.get("transport"), sample)


def shipped_names() -> list[str]:
    """Names of the models that the package ships, sorted."""
    return sorted(path.stem for path in SHIPPED_FOLDER.glob("*.ckpt"))


def load_shipped(name: str) -> Checkpoint:
    """Load a shipped model by name; see `transip_md.pretrained`."""
    if name not in shipped_names():
        raise UsageError(f"No shipped model is called {name!r}. Shipped: {', '.join(shipped_names())}.")
    return load_checkpoint(SHIPPED_FOLDER / f"{name}.ckpt")


def load_named(checkpoint_or_name: str) -> Checkpoint:
    """Load a shipped model if the argument names one, else the checkpoint file of that path."""
    if checkpoint_or_name in shipped_names():
        return load_shipped(checkpoint_or_name)
    return load_checkpoint(checkpoint_or_name)
