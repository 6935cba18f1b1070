"""A check that a molecule in a periodic box is in one piece, for models that attend all-to-all."""

from __future__ import annotations

import torch
from torch import Tensor


def check_whole(positions: Tensor, box: Tensor) -> None:
    """Raise RuntimeError if two atoms within 3 Angstrom of each other through the box are farther apart as they are.

    The twin of check_whole in ``openmm_plugin/TransIPForceImpl.cpp``; TorchScript takes it too.

    Args:
        positions: float64 [N, 3], Angstrom.
        box: float64 [3, 3], rows are box vectors in OpenMM's reduced form, Angstrom.
    """
    apart = positions[:, None] - positions[None]
    image = apart
    for row in (2, 1, 0):
        image = image - torch.round(image[:, :, row] / box[row, row])[:, :, None] * box[row]
    here = torch.linalg.vector_norm(apart, dim=-1)
    nearest = torch.linalg.vector_norm(image, dim=-1)
    if ((nearest < 3.0) & (nearest < here - 1e-6)).any():
        raise RuntimeError(
            "The periodic box cuts the molecule in two, and this model attends all-to-all: it sees no periodic images. "
            "Give positions in which the molecule is in one piece, or a larger box."
        )
