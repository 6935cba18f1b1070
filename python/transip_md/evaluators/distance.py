"""Distances from the training set against a bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transip_md.common.errors import CheckFailedError

HEADER = "#       step       max_distance       avg_distance     atoms_beyond_1\n"


class DistanceError(CheckFailedError):
    """An atom is farther from the training set than the bound that was set."""


class DistanceFile:
    """A file of distances, which ``numpy.loadtxt`` reads: step, highest, mean, and number of atoms beyond 1."""

    def __init__(self, path: Path | str) -> None:
        """Begin the file anew. Raises OSError."""
        self._path = Path(path)
        self._path.write_text(HEADER)

    def write(self, step: int, distances: np.ndarray) -> None:
        """Append one line. Raises OSError."""
        numbers = f"{step:12d} {distances.max():18.6e} {distances.mean():18.6e} {np.count_nonzero(distances > 1.0):18d}"
        with self._path.open("a") as output:
            output.write(numbers + "\n")


def beyond(bound: float, distances: np.ndarray, step: int, numbers: np.ndarray) -> str | None:
    """A sentence that names the atom that is farthest from the training set, if it is beyond a bound.

    Args:
        bound: of an atom's distance; 1 is the 99th percentile of held-out atoms.
        distances: of the atoms, [N].
        step: number of the structure.
        numbers: atomic numbers, [N].
    """
    if not distances.max(initial=0.0) > bound:
        return None
    from ase.data import chemical_symbols

    atom = int(distances.argmax())
    return (
        f"Step {step}: atom {atom} ({chemical_symbols[numbers[atom]]}, counted from 0) is at a distance of "
        f"{distances[atom]:.4g} from the training set, above the bound of {bound:.4g}; 99 % of held-out atoms are "
        "within 1: do not trust the forces."
    )
