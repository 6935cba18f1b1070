"""Neighbours within a cutoff, in the layout that a model file takes: rows, owners and neighbour slots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transip_md.common.errors import UsageError


@dataclass(frozen=True)
class Neighbourhood:
    """Rows and neighbours of one structure.

    Attributes:
        owner: int64 [I], the atom whose features a row carries; the first N rows are the atoms themselves.
        shifts: float64 [I, 3], Angstrom, by which a row lies away from its owner; zero for the first N.
        neighbours: int64 [N, K], rows within the cutoff of each atom, padded with -1.
    """

    owner: np.ndarray
    shifts: np.ndarray
    neighbours: np.ndarray

    def rows(self, positions: np.ndarray) -> np.ndarray:
        """Places of all rows, float64 [I, 3], for atoms at `positions` [N, 3], Angstrom."""
        return positions[self.owner] + self.shifts


def find_neighbours(positions: np.ndarray, cell: np.ndarray, periodic: np.ndarray, cutoff: float) -> Neighbourhood:
    """All neighbours within a cutoff, through periodic images however small the cell is.

    Args:
        positions: float64 [N, 3], Angstrom; atoms may lie outside the cell.
        cell: float64 [3, 3], rows are cell vectors, Angstrom; not looked at along axes that are not periodic.
        periodic: bool [3].
        cutoff: Angstrom.

    Returns:
        Rows and neighbours; edges go from i to the row j, r_ij = r_j + shift - r_i.

    Raises:
        UsageError: a periodic axis without volume.
    """
    from vesin import NeighborList

    count = len(positions)
    periodic = np.asarray(periodic, dtype=bool)
    if count == 0:
        return Neighbourhood(np.empty(0, np.int64), np.empty((0, 3)), np.empty((0, 0), np.int64))
    box = _complete_cell(np.asarray(cell, dtype=np.float64), periodic)
    first, second, image = NeighborList(cutoff=cutoff, full_list=True).compute(
        points=np.ascontiguousarray(positions), box=box, periodic=periodic, quantities="ijS"
    )
    first, second = first.astype(np.int64), second.astype(np.int64)
    image = image.astype(np.int64)
    here = ~image.any(axis=1)
    # One row for every image of an atom that somebody sees.
    keys = np.column_stack([second, image])[~here]
    unique, inverse = _unique_rows(keys)
    row = second.copy()
    row[~here] = count + inverse
    owner = np.concatenate([np.arange(count), unique[:, 0]])
    shifts = np.concatenate([np.zeros((count, 3)), unique[:, 1:] @ box])
    return Neighbourhood(owner, shifts, _slots(first, row, count))


def _unique_rows(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique rows of an int64 matrix [n, 4] in ascending order, and for each of its rows the index among them."""
    if len(keys) == 0:
        return keys, np.empty(0, np.int64)
    # As single numbers they sort many times faster than as rows.
    lowest = keys.min(axis=0)
    extent = keys.max(axis=0) - lowest + 1
    _, first, inverse = np.unique(
        np.ravel_multi_index((keys - lowest).T, extent), return_index=True, return_inverse=True
    )
    return keys[first], inverse


def _complete_cell(cell: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    """The cell with unit vectors, perpendicular to the others, along axes that are not periodic."""
    box = np.where(periodic[:, None], cell, 0.0)
    if not periodic.all():
        # The complement of the periodic vectors; its rows are orthonormal.
        _, sizes, directions = np.linalg.svd(box)
        free = directions[int((sizes > 1e-8).sum()) :]
        box[~periodic] = free[: int((~periodic).sum())]
    if abs(np.linalg.det(box)) < 1e-8:
        raise UsageError(
            f"The cell has no volume along its periodic axes {periodic.tolist()}: {np.asarray(cell).tolist()}. "
            "Give the box with the structure, or switch periodicity off (atoms.pbc = False)."
        )
    return box


def _slots(first: np.ndarray, row: np.ndarray, count: int) -> np.ndarray:
    """Turn a list of pairs (first, row) into neighbour slots int64 [count, K]."""
    order = np.argsort(first * (row.max(initial=0) + 1) + row)
    first, row = first[order], row[order]
    counts = np.bincount(first, minlength=count)
    slots = np.full((count, int(counts.max(initial=0))), -1, dtype=np.int64)
    starts = np.cumsum(counts) - counts
    slots[first, np.arange(len(first)) - starts[first]] = row
    return slots
