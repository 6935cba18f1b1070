"""What an engine is asked for, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import ase
import numpy as np


@dataclass(frozen=True)
class Job:
    """A model and a structure to evaluate it on.

    Attributes:
        model: an exported model file.
        atoms: the structure; periodic for models with a cutoff only.
        folder: for the files that an engine needs or writes.
        device: where the model runs: "auto", "cpu", "cuda" or "cuda:N".
    """

    model: Path
    atoms: ase.Atoms
    folder: Path
    device: str = "auto"


@dataclass(frozen=True)
class SinglePoint:
    """Energy (eV) and forces (eV/Angstrom, [N, 3]) of one structure."""

    energy: float
    forces: np.ndarray


@dataclass(frozen=True)
class Dynamics:
    """A constant-energy run: velocity Verlet from given velocities.

    Attributes:
        timestep: fs.
        steps: number of steps.
        every: steps between records.
        velocities: Angstrom/fs, [N, 3].
    """

    timestep: float
    steps: int
    every: int
    velocities: np.ndarray


@dataclass(frozen=True)
class EnergyRecord:
    """Energies along a run, one row a record.

    Attributes:
        time: ps.
        potential: eV.
        kinetic: eV.
        temperature: K, from the kinetic energy and 3N - 3 degrees of freedom.
    """

    time: np.ndarray
    potential: np.ndarray
    kinetic: np.ndarray
    temperature: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Total energy, eV."""
        return self.potential + self.kinetic


#: Called with the number of steps done.
ProgressCallback = Callable[[int], None]


class Engine(Protocol):
    """A molecular dynamics engine that can evaluate an exported model."""

    name: str

    def single_point(self, job: Job) -> SinglePoint:
        """Energy and forces of the structure."""
        ...

    def dynamics(self, job: Job, dynamics: Dynamics, progress: ProgressCallback) -> EnergyRecord:
        """Run constant-energy dynamics from the structure; tell `progress` how many steps are done."""
        ...
