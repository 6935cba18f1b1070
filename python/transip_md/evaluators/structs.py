"""The structs of libtransip's C API that structures are handed over in, and that their results come back in."""

from __future__ import annotations

import ctypes

import numpy as np

from transip_md.evaluators import binding
from transip_md.evaluators.evaluation import Evaluation, Structure, shaped_positions


def struct_of(atoms: Structure, charge: int, multiplicity: int, step: int) -> binding.Atoms:
    """The struct of a structure, whose arrays must live as long as it."""
    return binding.Atoms(
        len(atoms.numbers),
        atoms.numbers.ctypes.data,
        atoms.positions.ctypes.data,
        atoms.cell.ctypes.data,
        (ctypes.c_int * 3)(*atoms.periodic.tolist()),
        charge,
        multiplicity,
        step,
    )


def contents(array: np.ndarray | None, dtype: type) -> tuple[tuple[int, ...], bytes] | None:
    """The shape and bytes of an array in a type, which are quicker to compare than arrays are; None of none."""
    if array is None:
        return None
    array = np.asarray(array, dtype=dtype)
    return array.shape, array.tobytes()


class LastStructure:
    """The structure that was evaluated last: dynamics asks for it again and again, and only its positions change.

    Attributes:
        atoms: it, in arrays of its own.
        struct: of these.
        result: struct that has energies, forces and virial put into arrays of this object.
    """

    def __init__(self, key: tuple[object, ...], atoms: Structure, charge: int, multiplicity: int) -> None:
        self._key = key
        self.atoms = Structure(*map(np.copy, atoms))
        self.struct = struct_of(self.atoms, charge, multiplicity, 0)
        found, self.result = room_for(len(atoms.numbers))
        assert found.virial is not None
        self._arrays = found.energies, found.forces, found.virial

    def takes(self, key: tuple[object, ...], positions: np.ndarray) -> bool:
        """Whether this is a structure of that key; it is at these positions then. Raises UsageError: their shape."""
        if key != self._key:
            return False
        # The library checks that they are finite.
        self.atoms.positions[...] = shaped_positions(positions, len(self.atoms.numbers))
        return True

    def found(self) -> Evaluation:
        """What was put into the arrays, in arrays of the caller's own."""
        energies, forces, virial = self._arrays
        return Evaluation(energies.copy(), forces.copy(), virial.copy())


def room_for(atoms: int, virials: bool = False, distances: bool = False) -> tuple[Evaluation, binding.Result]:
    """An evaluation of so many atoms, still without its numbers, and the struct that has them put there."""
    of_atoms = np.empty((atoms, 3, 3)) if virials else None
    away = np.empty(atoms) if distances else None
    found = Evaluation(np.empty(atoms), np.empty((atoms, 3)), np.empty((3, 3)), of_atoms, away)
    arrays = (None, found.energies, found.forces, found.virial, found.virials)
    return found, binding.Result(*(None if array is None else array.ctypes.data for array in arrays))
