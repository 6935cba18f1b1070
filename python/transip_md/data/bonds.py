"""Bonds of a structure, and what moves when one of them is stretched or rotated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import ase
import ase.data
import numpy as np

#: Two atoms are bonded if they are closer than this times the sum of their covalent radii.
BONDED = 1.2


@dataclass(frozen=True)
class Bond:
    """A bond that can be cut into two sides.

    Attributes:
        first: atom of the larger side.
        second: atom of the smaller side.
        vector: from first to second, Angstrom, [3], through periodic images.
        moving: atoms of the smaller side.
        rotatable: both ends have further neighbours.
        label: elements and numbers of atoms.
    """

    first: int
    second: int
    vector: np.ndarray
    moving: np.ndarray
    rotatable: bool
    label: str

    def length(self) -> float:
        """Angstrom."""
        return float(np.linalg.norm(self.vector))


def covalent_length(first: int, second: int) -> float:
    """Sum of the covalent radii of two elements, Angstrom (Cordero et al., Dalton Trans. 2832 (2008), in ase)."""
    return float(ase.data.covalent_radii[first] + ase.data.covalent_radii[second])


def _neighbours(atoms: ase.Atoms) -> tuple[list[set[int]], dict[tuple[int, int], np.ndarray]]:
    """Bonded atoms of each atom, and the vector of each bond."""
    from ase.neighborlist import neighbor_list

    radii = BONDED * ase.data.covalent_radii[atoms.numbers]
    first, second, vectors = neighbor_list("ijD", atoms, radii)
    graph: list[set[int]] = [set() for _ in atoms]
    found = {}
    for i, j, vector in zip(first.tolist(), second.tolist(), vectors, strict=True):
        graph[i].add(j)
        found[i, j] = vector
    return graph, found


def bonded_pairs(atoms: ase.Atoms) -> list[tuple[int, int]]:
    """Every bond once, smaller index first, through periodic images."""
    return sorted((first, second) for first, second in _neighbours(atoms)[1] if first < second)


def _side(graph: list[set[int]], start: int, forbidden: int) -> set[int]:
    """Atoms reached from `start` without the bond to `forbidden`."""
    reached, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        for there in graph[here]:
            if {here, there} != {start, forbidden} and there not in reached:
                reached.add(there)
                waiting.append(there)
    return reached


def _kind(atoms: ase.Atoms, graph: list[set[int]], first: int, second: int) -> object:
    """Equal for bonds of equal elements with equal neighbours."""

    def surrounding(atom: int) -> tuple[int, tuple[int, ...]]:
        return int(atoms.numbers[atom]), tuple(sorted(int(atoms.numbers[other]) for other in graph[atom]))

    return tuple(sorted((surrounding(first), surrounding(second))))


def _open_bonds(atoms: ase.Atoms) -> Iterator[tuple[object, Bond]]:
    """Every bond that is in no ring, with its kind."""
    graph, vectors = _neighbours(atoms)
    symbols = atoms.get_chemical_symbols()
    for first, second in vectors:
        if first > second:
            continue
        far, near = _side(graph, first, second), _side(graph, second, first)
        if second in far:
            continue
        a, b, moving = (first, second, near) if len(near) <= len(far) else (second, first, far)
        rotatable = len(graph[first]) > 1 and len(graph[second]) > 1
        label = f"{symbols[a]}{a}–{symbols[b]}{b}"
        yield (
            _kind(atoms, graph, first, second),
            Bond(a, b, vectors[a, b], np.array(sorted(moving)), rotatable, label),
        )


def all_bonds(atoms: ase.Atoms) -> list[Bond]:
    """Bonds that are in no ring."""
    return [bond for _, bond in _open_bonds(atoms)]


def unique_bonds(atoms: ase.Atoms) -> list[Bond]:
    """Bonds that are in no ring, one of each kind: equal elements with equal neighbours are one kind."""
    bonds: dict[object, Bond] = {}
    for kind, bond in _open_bonds(atoms):
        bonds.setdefault(kind, bond)
    return list(bonds.values())


def stretched(atoms: ase.Atoms, bond: Bond, length: float) -> ase.Atoms:
    """The structure with the bond at another length; the smaller side moves as a whole."""
    copy = atoms.copy()
    copy.positions[bond.moving] += (length / bond.length() - 1.0) * bond.vector
    return copy


def twisted(atoms: ase.Atoms, bond: Bond, angle: float) -> ase.Atoms:
    """The structure with the smaller side rotated about the bond by an angle (rad).

    Raises:
        ValueError: the structure is periodic: sides may lie in several images.
    """
    if atoms.pbc.any():
        raise ValueError("twisted() takes isolated structures")
    copy = atoms.copy()
    arms = arms_of(atoms, bond, bond.moving)
    axis = bond.vector / bond.length()
    # Rodrigues' formula.
    rotated = (
        arms * np.cos(angle)
        + np.cross(axis, arms) * np.sin(angle)
        + axis * (arms @ axis)[:, None] * (1.0 - np.cos(angle))
    )
    copy.positions[bond.moving] = atoms.positions[bond.first] + rotated
    return copy


def arms_of(atoms: ase.Atoms, bond: Bond, which: Iterable[int]) -> np.ndarray:
    """Vectors from the bond's first atom to others, Angstrom."""
    return atoms.positions[list(which)] - atoms.positions[bond.first]
