"""Rotations drawn by number."""

from __future__ import annotations

import numpy as np

_MASK = 2**64 - 1


def numbered_rotation(seed: int, step: int) -> np.ndarray:
    """A rotation drawn uniformly on SO(3), the same for the same seed and step; the twin of libtransip's.

    SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) gives three numbers in [0, 1), and Shoemake's method ("Uniform random
    rotations", Graphics Gems III, 1992) a quaternion of them.

    Returns:
        Proper rotation matrix, float64 [3, 3].
    """
    state = (seed * 0x9E3779B97F4A7C15 + step * 0xD1342543DE82EF95) & _MASK
    uniform = []
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        uniform.append(((z ^ (z >> 31)) >> 11) * 2.0**-53)
    first, second = 2.0 * np.pi * uniform[1], 2.0 * np.pi * uniform[2]
    low, high = np.sqrt(1.0 - uniform[0]), np.sqrt(uniform[0])
    x, y, z, w = low * np.sin(first), low * np.cos(first), high * np.sin(second), high * np.cos(second)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
