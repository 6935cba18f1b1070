"""A model file with weights of another precision."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from transip_md.common.errors import UsageError
from transip_md.evaluators.torch_model import ExportedModel, torchscript_on_purpose
from transip_md.modelfile.metadata import FORMAT, Network
from transip_md.modelfile.writing import write_script

DTYPES = {"float32": torch.float32, "float64": torch.float64}
#: Buffers that stay float64 whatever the weights are.
ALWAYS_FLOAT64 = (
    "energy_scale",
    "reference_energies",
    "charge_energies",
    "nuclear_charges",
    "screening_powers",
    "covalent_radii",
)

#: Start of the names of buffers that keep their dtype: the sample of the training set.
SAMPLE = "latent_sample."


def recast(exported: ExportedModel, dtype: str) -> torch.jit.ScriptModule | None:
    """A copy of a TorchScript model with weights of another dtype; None for compiled code, or without weights."""
    if exported.scripted is None or not list(exported.scripted.parameters()):
        return None
    with torchscript_on_purpose():
        module = copy.deepcopy(exported.scripted)
    for parameter in module.parameters():
        parameter.data = parameter.data.to(DTYPES[dtype])
    for name, buffer in module.named_buffers():
        if name.startswith(SAMPLE):
            continue
        if buffer.is_floating_point() and name.rsplit(".", 1)[-1] not in ALWAYS_FLOAT64:
            buffer.data = buffer.data.to(DTYPES[dtype])
    return module


def file_of_dtype(model: Path, dtype: str, folder: Path) -> Path:
    """The model file itself if its weights have this dtype, else a copy in a folder whose weights do.

    Casting from float32 to float64 brings no digit back: it takes the rounding out of the arithmetic only.

    Args:
        model: an exported model file.
        dtype: "float32" or "float64".
        folder: for the copy, ``<name>.<dtype>.pt``.

    Raises:
        UsageError: no such dtype, or a file that cannot be cast.
    """
    if dtype not in DTYPES:
        raise UsageError(f"dtype must be float32 or float64, got {dtype!r}.")
    exported = ExportedModel(model, "cpu")
    if exported.metadata.dtype == dtype:
        return model
    module = recast(exported, dtype)
    if module is None:
        raise UsageError(
            f"{model} has {exported.metadata.dtype} arithmetic that cannot be cast to {dtype}: it is compiled code, or "
            f"has no weights. Type `transip-md export CHECKPOINT -o other.pt --dtype {dtype}`."
        )
    path = folder / f"{model.stem}.{dtype}.pt"
    changes = {"format": FORMAT, "dtype": dtype, "certificate": None, "network": _network(exported)}
    metadata = exported.metadata.model_copy(update=changes)
    write_script(module, metadata, path)
    return path


def _network(exported: ExportedModel) -> Network | None:
    """What native kernels go by; files of format 1 do not name it, but the classes of their TorchScript do."""
    metadata, module = exported.metadata, exported.scripted
    if metadata.format == FORMAT:
        return metadata.network
    inside = getattr(module, "model", None)
    known = getattr(module, "original_name", "") == "EngineModel" and getattr(inside, "original_name", "") == "TransIP"
    return Network(name="TransIP", version=1) if known else None
