"""Rotation matrices drawn uniformly on SO(3)."""

from __future__ import annotations

import torch
from torch import Tensor


def random_rotations(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw rotations uniformly (Haar measure) as normalised Gaussian quaternions.

    Source: Shoemake, "Uniform random rotations", Graphics Gems III (1992).

    Args:
        count: how many.
        generator: source of random numbers; torch's global one if None.

    Returns:
        float64 [count, 3, 3], proper rotation matrices; a column vector r becomes R r.
    """
    quaternions = torch.randn(count, 4, dtype=torch.float64, generator=generator)
    w, x, y, z = (quaternions / quaternions.norm(dim=1, keepdim=True)).unbind(dim=1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=1).view(count, 3, 3)
