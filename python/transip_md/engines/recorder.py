"""What the engines that run in this process keep of a run, in memory and on disk."""

from __future__ import annotations

from pathlib import Path

import ase
import numpy as np

from transip_md.common.thermal import momenta_of, temperature_of
from transip_md.common.whole_files import replacing
from transip_md.engines.base import Dynamics, EnergyRecord


class Recorder:
    """Rows and frames of a run, with a file from which an interrupted run resumes.

    Attributes:
        state: what the engine needs to resume, by name; empty if the run starts anew.
        step: steps done when that state was saved.
    """

    def __init__(self, atoms: ase.Atoms, dynamics: Dynamics, file: Path) -> None:
        """Start, or read what an interrupted run left.

        Args:
            atoms: the structure.
            dynamics: what is run.
            file: of the state.
        """
        self._masses = atoms.get_masses()
        self._dynamics = dynamics
        self._file = file
        self._rows: list[list[float]] = []
        self._frames: list[np.ndarray] = []
        self.state: dict[str, np.ndarray] = {}
        self.step = 0
        if dynamics.save_every and file.is_file():
            with np.load(file) as saved:
                self.state = {name[6:]: saved[name] for name in saved.files if name.startswith("state_")}
                self._rows, self._frames = saved["rows"].tolist(), list(saved["frames"])
            self.step = int(self._rows[-1][0])

    def add(
        self, step: int, potential: float, kinetic: float, bath: float, positions: np.ndarray, velocities: np.ndarray
    ) -> None:
        """Keep a record: energies in eV, positions in Angstrom, velocities in Angstrom/fs."""
        momentum, angular = momenta_of(self._masses, positions, velocities)
        if self._dynamics.frames_every and len(self._rows) % self._dynamics.frames_every == 0:
            self._frames.append(positions.astype(np.float32))
        self._rows.append([step, potential, kinetic, bath, *momentum, *angular])

    def due(self) -> bool:
        """Whether the state shall be saved after this record."""
        every = self._dynamics.save_every
        return bool(every) and len(self._rows) % every == 0

    def save(self, **state: np.ndarray) -> None:
        """Write the state; the file appears whole or not at all."""
        named = {f"state_{name}": value for name, value in state.items()}
        with replacing(self._file) as partial:
            np.savez(partial, rows=np.array(self._rows), frames=np.array(self._frames), **named)

    def finish(self) -> EnergyRecord:
        """The record; the state is no longer needed."""
        self._file.unlink(missing_ok=True)
        dynamics, table = self._dynamics, np.array(self._rows)
        time = table[:, 0] * dynamics.timestep / 1000.0
        return EnergyRecord(
            time,
            table[:, 1],
            table[:, 2],
            temperature_of(table[:, 2], len(self._masses)),
            bath=table[:, 3] if dynamics.ensemble == "nvt" else None,
            momentum=table[:, 4:7],
            angular=table[:, 7:10],
            frames=np.array(self._frames) if self._frames else None,
            frame_times=time[:: dynamics.frames_every] if self._frames else None,
        )
