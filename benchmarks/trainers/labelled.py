"""Structures with labels, errors on them, and what a trainer is asked and answers. Run by a baseline's own Python."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np


@dataclass(frozen=True)
class Frames:
    """Structures with their labels.

    Attributes:
        atoms: structures.
        energies: eV, [F].
        forces: eV/Angstrom, [N, 3] each.
    """

    atoms: list[ase.Atoms]
    energies: np.ndarray
    forces: list[np.ndarray]

    @classmethod
    def read(cls, path: str) -> Frames:
        """From extended XYZ."""
        atoms = ase.io.read(path, index=":")
        energies = np.array([frame.get_potential_energy() for frame in atoms])
        return cls(atoms, energies, [frame.get_forces() for frame in atoms])


def errors(frames: Frames, evaluate: Callable[[ase.Atoms], tuple[float, np.ndarray]]) -> dict[str, float]:
    """Errors on frames: "force_mae" and "force_rmse" over components in meV/Angstrom, "energy_mae" in meV/atom.

    Args:
        frames: held out.
        evaluate: energy in eV and forces in eV/Angstrom of a structure.
    """
    differences, of_energy = [], []
    for atoms, energy, forces in zip(frames.atoms, frames.energies, frames.forces, strict=True):
        found, found_forces = evaluate(atoms)
        differences.append(np.asarray(found_forces, dtype=float) - forces)
        of_energy.append(abs(found - energy) / len(atoms))
    difference = np.concatenate(differences)
    return {
        "force_mae": 1000 * float(np.abs(difference).mean()),
        "force_rmse": 1000 * float(np.sqrt((difference**2).mean())),
        "energy_mae": 1000 * float(np.mean(of_energy)),
    }


def read_task() -> dict[str, Any]:
    """The task, from the file that the command line names."""
    return json.loads(Path(sys.argv[1]).read_text())


def answer(result: dict[str, float], task: dict[str, Any]) -> None:
    """Write the result where the task wants it."""
    Path(task["answer"]).write_text(json.dumps(result))
