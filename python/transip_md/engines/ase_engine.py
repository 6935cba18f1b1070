"""ASE: the Python reference."""

from __future__ import annotations

import ase
import numpy as np
from ase.md.verlet import VelocityVerlet

from transip_md import units
from transip_md.ase import TransIPCalculator
from transip_md.engines.base import Dynamics, EnergyRecord, Job, ProgressCallback, SinglePoint
from transip_md.thermal import temperature_of


def _with_calculator(job: Job) -> ase.Atoms:
    atoms = job.atoms.copy()
    atoms.calc = TransIPCalculator(job.model, device=job.device)
    return atoms


class AseEngine:
    """Energies and velocity Verlet by ase."""

    name = "ase"

    def single_point(self, job: Job) -> SinglePoint:
        """See `transip_md.engines.base.Engine`."""
        atoms = _with_calculator(job)
        return SinglePoint(float(atoms.get_potential_energy()), atoms.get_forces())

    def dynamics(self, job: Job, dynamics: Dynamics, progress: ProgressCallback) -> EnergyRecord:
        """See `transip_md.engines.base.Engine`."""
        atoms = _with_calculator(job)
        # ase's unit of time is Angstrom (amu/eV)^(1/2); its own constant for the femtosecond is CODATA 2014.
        femtosecond = np.sqrt(units.ACCELERATION)
        atoms.set_velocities(dynamics.velocities / femtosecond)
        integrator = VelocityVerlet(atoms, timestep=dynamics.timestep * femtosecond)
        rows = []
        for step in range(0, dynamics.steps + 1, dynamics.every):
            if step:
                integrator.run(dynamics.every)
            rows.append((step, atoms.get_potential_energy(), atoms.get_kinetic_energy()))
            progress(step)
        steps, potential, kinetic = np.array(rows).T
        return EnergyRecord(steps * dynamics.timestep / 1000.0, potential, kinetic, temperature_of(kinetic, len(atoms)))
