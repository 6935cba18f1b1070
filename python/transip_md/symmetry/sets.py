"""Sets of rotations to average over: subgroups of the octahedral and icosahedral groups, and weighted grids."""

from __future__ import annotations

import itertools
import math

import numpy as np

#: By number of rotations, the largest angular momentum l that the average removes wholly; 0: none.
EXACT_TO = {2: 0, 4: 1, 12: 2, 24: 3, 60: 5, 208: 7, 380: 9}
#: Those that are grids, not groups: by number of rotations, degree of Lebedev's directions.
GRIDS = {208: 7, 380: 9}


def _signed_permutations() -> np.ndarray:
    """The octahedral group: the 24 proper ones among the signed permutation matrices, float64 [24, 3, 3]."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            if np.linalg.det(matrix) > 0:
                found.append(matrix)
    # The identity first.
    return np.array(sorted(found, key=lambda matrix: -np.trace(matrix)))


def _closure(generators: list[np.ndarray]) -> np.ndarray:
    """The group that some rotations generate, float64 [N, 3, 3], the identity first."""
    found = [np.eye(3)]
    for matrix in found:
        for generator in generators:
            product = matrix @ generator
            if not any(np.abs(product - known).max() < 1e-9 for known in found):
                found.append(product)
    return np.array(found)


def _about(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation about an axis (Rodrigues's formula)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def _icosahedral() -> np.ndarray:
    """The 60 rotations of the icosahedron, the tetrahedral group of the coordinate axes among them."""
    golden = (1 + math.sqrt(5)) / 2
    fivefold = _about(np.array([0.0, 1.0, golden]), 2 * math.pi / 5)
    threefold = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    # Products of rounded matrices lose digits: each is made a rotation again.
    left, _, right = np.linalg.svd(_closure([fivefold, threefold]))
    return left @ right


def _grid(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Lebedev's directions times equal steps about them.

    With L + 1 angles, functions up to l = L are integrated exactly, as they are by the directions.
    Source: Lebedev & Laikov, Doklady Mathematics 59, 477 (1999), by scipy.
    """
    # Not needed to run a model, and slow to import.
    import scipy.integrate

    directions, weights = scipy.integrate.lebedev_rule(degree)
    angles = 2 * math.pi * np.arange(degree + 1) / (degree + 1)
    rotations, shares = [], []
    for (x, y, z), weight in zip(directions.T, weights, strict=True):
        azimuth, polar = math.atan2(y, x), math.acos(max(-1.0, min(1.0, z)))
        onto = _about(np.array([0.0, 0, 1]), azimuth) @ _about(np.array([0.0, 1, 0]), polar)
        for angle in angles:
            rotations.append(onto @ _about(np.array([0.0, 0, 1]), angle))
            shares.append(weight / (4 * math.pi) / len(angles))
    return np.array(rotations), np.array(shares)


def rotation_set(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and their weights.

    2, 4, 12 and 24 are the rotations by half a turn about z, about x, y and z (D2), of the tetrahedron and of the cube;
    60 those of the icosahedron; 208 and 380 are grids.

    Args:
        count: one of `EXACT_TO`.

    Returns:
        Proper rotation matrices, float64 [count, 3, 3], the identity first in groups; weights [count] that sum to 1.
    """
    if count in GRIDS:
        return _grid(GRIDS[count])
    cube = _signed_permutations()
    diagonal = cube[[bool((np.abs(matrix) == np.diag(np.ones(3))).all()) for matrix in cube]]
    even = cube[[int(np.linalg.det(np.abs(matrix)).round()) == 1 for matrix in cube]]
    about_z = diagonal[[matrix[2, 2] == 1.0 for matrix in diagonal]]
    rotations = {2: about_z, 4: diagonal, 12: even, 24: cube}[count] if count != 60 else _icosahedral()
    return rotations, np.full(count, 1.0 / count)
