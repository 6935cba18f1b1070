"""transip-md: trained TransIP interatomic potentials in LAMMPS, OpenMM and ASE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transip_md.common import former_names

if TYPE_CHECKING:
    from pathlib import Path

    from transip_md.evaluators.evaluation import Model
    from transip_md.model.checkpoint import Checkpoint

__version__ = "0.1.0"
__all__ = ["__version__", "load_model", "pretrained"]

former_names.install()


def load_model(path: Path | str, *, device: str = "auto", kernels: str = "auto", threads: int = 0) -> Model:
    """Load an exported model and compare the structure that it brings with its numbers.

    Example:
        >>> model = transip_md.load_model("ethanol.pt")
        >>> energies, forces, virial = model.evaluate(numbers, positions)

    Args:
        path: a file made by ``transip-md export``.
        device: "auto", "cpu", "cuda" or "cuda:N".
        kernels: "native": the project's own kernels, on the CPU, without torch. "torch": TorchScript or compiled code.
            "auto": the kernels where they are built (`transip-md build library`) and know the network.
        threads: CPU threads of one evaluation by the kernels; the numbers do not depend on it. 0: what OMP_NUM_THREADS
    OMP_NUM_THREADS,
            or all cores; small molecules stay on one.

    Returns:
        The model: ``evaluate`` takes atomic numbers [N], positions [N, 3] in Angstrom, and charge, multiplicity, cell,
        periodic; it gives energies (eV), forces (eV/Angstrom) and virial (eV).

    Raises:
        transip_md.common.errors.UsageError: the file cannot be used, no such device or kernels.
        transip_md.common.errors.CheckFailedError: it does not give the numbers here that it gave where it was exported.
        transip_md.common.errors.EnvironmentFaultError: a device that is not there, or native kernels that are not
            built.
    """
    from transip_md.evaluators.choose import load_evaluator

    model = load_evaluator(path, device=device, kernels=kernels, threads=threads)
    model.check_reference()
    return model


def pretrained(name: str) -> Checkpoint:
    """Load a model that ships with the package.

    Args:
        name: one of ``transip_md.model.checkpoint.shipped_names()``, for example ``"ethanol"``.

    Returns:
        The checkpoint: ``.model`` (a torch module), ``.config`` and ``.training``.

    Raises:
        transip_md.common.errors.UsageError: no shipped model has that name.
    """
    from transip_md.model.checkpoint import load_shipped

    return load_shipped(name)
