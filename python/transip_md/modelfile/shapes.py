"""Shapes of a model file's weights against its metadata."""

from __future__ import annotations

import json
from pathlib import Path

import pydantic
import torch

from transip_md.common.errors import UsageError, validation_message
from transip_md.model.config import ModelConfig
from transip_md.model.latent_sample import LatentSample
from transip_md.model.network import TransIP
from transip_md.modelfile.metadata import Metadata


def check_shapes(metadata: Metadata, path: Path | str) -> None:
    """Raise UsageError unless a TransIP network's weights have the shapes that its metadata ask for.

    As libtransip's native_model.cpp: an element more in `species` than in the embedding would be read from nowhere.
    """
    if metadata.network is None or metadata.network.name != "TransIP" or metadata.network.version not in (1, 2):
        return
    try:
        given = {key: value for key, value in metadata.architecture.items() if key != "name"}
        config = ModelConfig.model_validate_json(json.dumps(given), strict=True)
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: its architecture cannot be used: {validation_message(error)}.") from error
    if (config.short_range is not None) != (metadata.network.version == 2):
        raise UsageError(
            f"{path}: its architecture has short_range {config.short_range}, which version {metadata.network.version} "
            "of the network has not. Export the model again."
        )
    found = metadata.weights or {}
    frequencies = found.get("model.rotary.frequencies")
    if frequencies is None or frequencies.shape[:2] != (config.layers, config.heads):
        # Before a network of as many layers is made.
        raise UsageError(
            f"{path}: model.rotary.frequencies do not have the {config.layers} layers and {config.heads} heads of its "
            "transip.json. Export the model again."
        )
    # The shape by the metadata, whatever the architecture repeats of it.
    shape = {"species": metadata.species, "charge": metadata.charge, "multiplicity": metadata.multiplicity}
    with torch.device("meta"):
        network = TransIP(config.model_copy(update=shape))
        tensors = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
        if metadata.has_sample:
            shape_of_atoms = found["latent_sample.atoms"].shape
            atoms = shape_of_atoms[1] if len(shape_of_atoms) == 3 and shape_of_atoms[1] > 0 else 1
            sample = LatentSample(len(metadata.species), config.dim, atoms)
            tensors |= {f"latent_sample.{name}": tensor for name, tensor in sample.state_dict().items()}
    for name, tensor in tensors.items():
        weight = found.get(name)
        if weight is None or weight.shape != tuple(tensor.shape):
            has = "no such weights" if weight is None else f"shape {list(weight.shape)}"
            raise UsageError(
                f"{path}: the weights {name} shall have shape {list(tensor.shape)} by its transip.json; the file "
                f"has {has}. Export the model again."
            )
