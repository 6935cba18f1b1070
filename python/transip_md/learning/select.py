"""Which of the structures that were met are labelled: those most unlike one another and unlike what is labelled."""

from __future__ import annotations

from collections.abc import Sequence

import ase
import numpy as np

#: Nearest neighbours of an atom that its fingerprint holds.
NEIGHBOURS = 8


def fingerprint(atoms: ase.Atoms) -> np.ndarray:
    """Inverse distances of every atom to its nearest neighbours, 1/Angstrom, in falling order: blind to rotations."""
    count = len(atoms)
    inverse = np.zeros((count, NEIGHBOURS))
    if count > 1:
        distances = atoms.get_all_distances(mic=bool(atoms.pbc.any()))
        np.fill_diagonal(distances, np.inf)
        nearest = np.sort(distances, axis=1)[:, :NEIGHBOURS]
        inverse[:, : nearest.shape[1]] = 1.0 / nearest
    return inverse.ravel()


def most_diverse(candidates: Sequence[ase.Atoms], labelled: Sequence[ase.Atoms], count: int) -> list[int]:
    """Choose candidates one after another, each the one farthest from all that are labelled or chosen.

    Structures of other elements, or in another order, are unlike each other by any measure.

    Args:
        candidates: to choose from.
        labelled: structures that are there already.
        count: how many, at most.

    Returns:
        Indices of candidates in the order in which they were chosen; the same for the same input.
    """
    points = [(atoms.numbers.tobytes(), fingerprint(atoms)) for atoms in candidates]
    farthest = np.full(len(points), np.inf)

    def look(kind: bytes, point: np.ndarray) -> None:
        for index, (other, there) in enumerate(points):
            if other == kind:
                farthest[index] = min(farthest[index], float(np.linalg.norm(there - point)))

    for atoms in labelled:
        look(atoms.numbers.tobytes(), fingerprint(atoms))
    chosen: list[int] = []
    while len(chosen) < min(count, len(points)):
        index = int(farthest.argmax())
        if farthest[index] <= 0.0:
            break
        chosen.append(index)
        look(*points[index])
    return chosen
