"""Which evaluator a model file gets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from transip_md.common.errors import UsageError
from transip_md.plugins.kinds import KINDS, why_unusable

if TYPE_CHECKING:
    from transip_md.evaluators.evaluation import Model
    from transip_md.modelfile.metadata import Metadata

KERNELS = ("auto", "native", "torch")
#: Versions of the network TransIP that the native kernels know: 2 has a repulsion beside it.
KNOWN_NETWORKS = (1, 2)


def kernels_name(asked: str) -> str:
    """The kernels that are asked for, by the environment variable TRANSIP_KERNELS where "auto" leaves it open.

    Raises:
        UsageError: it is none of `KERNELS`.
    """
    preset = os.environ.get("TRANSIP_KERNELS")
    name = preset if asked == "auto" and preset else asked
    if name not in KERNELS:
        where = "." if name == asked else " in the environment variable TRANSIP_KERNELS."
        raise UsageError(f"kernels must be auto, native or torch; got {name!r}{where}")
    return name


def has_native_kernels(metadata: Metadata) -> bool:
    """Whether the native kernels know a file's network; compiled files and files of format 1 name none."""
    network = metadata.network
    return network is not None and network.version in KNOWN_NETWORKS and metadata.conservative


def load_evaluator(path: Path | str, *, device: str = "auto", kernels: str = "auto", threads: int = 0) -> Model:
    """Load a model file with the fastest evaluator that there is for it.

    Args:
        path: a file made by ``transip-md export``.
        device: "auto", "cpu", "cuda" or "cuda:N".
        kernels: "native": libtransip's kernels, on the CPU unless a CUDA device is asked for. "torch": TorchScript or
            compiled code. "auto": the kernels where they are built and know the network, unless a CUDA device is asked
            for or there.
        threads: CPU threads of one evaluation by the kernels, 0: OMP_NUM_THREADS, or all cores; torch has its
            own setting.

    Returns:
        The model.

    Raises:
        UsageError: the file cannot be used, no such device or kernels, or native kernels that do not know the network.
        EnvironmentFaultError: a device that is not there, or native kernels that are not built.
    """
    from transip_md.evaluators.library_model import LibraryModel
    from transip_md.modelfile.metadata import read_metadata

    name = kernels_name(kernels)
    if name == "native" or (name != "torch" and device in ("auto", "cpu")):
        known = has_native_kernels(read_metadata(path))
        if name == "native" and not known:
            raise UsageError(
                f"There are no native kernels for {path}: they are for TransIP models in TorchScript files of this "
                "version, with forces that are the gradient of the energy. Use kernels auto."
            )
        wanted = name == "native" or (why_unusable(KINDS["library"]) is None and (device == "cpu" or not _cuda()))
        if known and wanted:
            try:
                return LibraryModel(path, threads, "cpu" if device == "auto" else device)
            except UsageError:
                # A shape that the kernels are not made for; torch's reader reports what else is wrong with the file.
                if name == "native":
                    raise
    from transip_md.evaluators.torch_model import ExportedModel

    return ExportedModel(path, device)


def _cuda() -> bool:
    """Whether NVIDIA's driver is here; torch, which takes long to import, is asked only then."""
    if not any(Path(file).exists() for file in ("/dev/nvidiactl", "/dev/dxg")):
        return False
    import torch

    return torch.cuda.is_available()
