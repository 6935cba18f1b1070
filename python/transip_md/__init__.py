"""transip-md: trained TransIP interatomic potentials in LAMMPS, OpenMM and ASE."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transip_md.model.checkpoint import Checkpoint

__version__ = "0.1.0"
__all__ = ["__version__", "pretrained"]


def pretrained(name: str) -> Checkpoint:
    """Load a model that ships with the package.

    Args:
        name: one of ``transip_md.model.checkpoint.shipped_names()``, for example ``"ethanol"``.

    Returns:
        The checkpoint: ``.model`` (a torch module), ``.config`` and ``.training``.

    Raises:
        transip_md.errors.UsageError: no shipped model has that name.
    """
    from transip_md.model.checkpoint import load_shipped

    return load_shipped(name)
