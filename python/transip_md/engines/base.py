"""What an engine is asked for, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import ase
import numpy as np

from transip_md.data.electronic_state import ElectronicState, state_of


@dataclass(frozen=True)
class Job:
    """A model and a structure to evaluate it on.

    Attributes:
        model: an exported model file.
        atoms: the structure; periodic for models with a cutoff only.
        folder: for the files that an engine needs or writes.
        device: where the model runs: "auto", "cpu", "cuda" or "cuda:N".
        symmetry: "none", "average N", "frame" or the like; see docs/symmetry.md.
        reference: positions that the frame superposes on, Angstrom, [N, 3]; None: the structure's own.
    """

    model: Path
    atoms: ase.Atoms
    folder: Path
    device: str = "auto"
    symmetry: str = "none"
    reference: np.ndarray | None = None

    @property
    def state(self) -> ElectronicState:
        """Charge and multiplicity that the structure states."""
        return state_of(self.atoms, f"The structure {self.atoms.get_chemical_formula()}")

    @property
    def frame_reference(self) -> np.ndarray | None:
        """Positions that the frame superposes on, Angstrom; None if the symmetry is another."""
        if self.symmetry != "frame":
            return None
        return self.atoms.positions.copy() if self.reference is None else self.reference


@dataclass(frozen=True)
class SinglePoint:
    """Energy (eV) and forces (eV/Angstrom, [N, 3]) of one structure."""

    energy: float
    forces: np.ndarray


@dataclass(frozen=True)
class Dynamics:
    """A run from given velocities: velocity Verlet at constant energy, or a Nose-Hoover chain at constant temperature.

    Attributes:
        timestep: fs.
        steps: number of steps.
        every: steps between records.
        velocities: Angstrom/fs, [N, 3].
        ensemble: "nve" or "nvt".
        temperature: of the thermostat, K.
        damping: of the thermostat, fs.
        frames_every: records between stored positions; 0 stores none.
        save_every: records between states on disk, from which an interrupted run resumes; 0 saves none.
    """

    timestep: float
    steps: int
    every: int
    velocities: np.ndarray
    ensemble: Literal["nve", "nvt"] = "nve"
    temperature: float = 300.0
    damping: float = 100.0
    frames_every: int = 0
    save_every: int = 0


@dataclass(frozen=True)
class EnergyRecord:
    """Energies along a run, one row a record.

    Attributes:
        time: ps.
        potential: eV.
        kinetic: eV.
        temperature: K, from the kinetic energy and 3N - 3 degrees of freedom.
        bath: energy that went to the thermostat, eV; None at constant energy.
        momentum: of all atoms, amu Angstrom/fs, [n, 3]; None if it was not recorded.
        angular: angular momentum about the centre of mass, amu Angstrom^2/fs, [n, 3]; None if it was not recorded.
        frames: positions, Angstrom, [m, N, 3], unwrapped; None if none were stored.
        frame_times: ps, [m].
    """

    time: np.ndarray
    potential: np.ndarray
    kinetic: np.ndarray
    temperature: np.ndarray
    bath: np.ndarray | None = None
    momentum: np.ndarray | None = None
    angular: np.ndarray | None = None
    frames: np.ndarray | None = None
    frame_times: np.ndarray | None = None

    @property
    def total(self) -> np.ndarray:
        """Total energy, eV."""
        return self.potential + self.kinetic

    @property
    def conserved(self) -> np.ndarray:
        """What the equations of motion conserve, eV: the total energy, with the thermostat's share if there is one."""
        return self.total if self.bath is None else self.total + self.bath


#: Called with the number of steps done.
ProgressCallback = Callable[[int], None]


class Engine(Protocol):
    """A molecular dynamics engine that can evaluate an exported model."""

    name: str

    def single_point(self, job: Job) -> SinglePoint:
        """Energy and forces of the structure."""
        ...

    def dynamics(self, job: Job, dynamics: Dynamics, progress: ProgressCallback) -> EnergyRecord:
        """Run dynamics from the structure; call `progress` with how many steps are done.

        A run that saves states resumes from the last one that it finds in the job's folder.
        """
        ...
