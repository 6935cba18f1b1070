"""ASE."""

from __future__ import annotations

import ase
import numpy as np
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import NoseHooverChainNVT, NoseHooverChainThermostat
from ase.md.verlet import VelocityVerlet

from transip_md.common import units
from transip_md.engines.ase import TransIPCalculator
from transip_md.engines.base import Dynamics, EnergyRecord, Job, ProgressCallback, SinglePoint
from transip_md.engines.recorder import Recorder

#: ase's unit of time is Angstrom (amu/eV)^(1/2); its own constant for the femtosecond is CODATA 2014.
FEMTOSECOND = np.sqrt(units.ACCELERATION)


def _nose_hoover(atoms: ase.Atoms, dynamics: Dynamics) -> NoseHooverChainNVT:
    """A Nose-Hoover chain on 3N - 3 degrees of freedom: the centre of mass is at rest. ase's own takes 3N."""
    damping = dynamics.damping * FEMTOSECOND
    integrator = NoseHooverChainNVT(
        atoms, timestep=dynamics.timestep * FEMTOSECOND, temperature_K=dynamics.temperature, tdamp=damping
    )
    integrator._thermostat = NoseHooverChainThermostat(
        max(len(atoms) - 1, 1), integrator.masses, dynamics.temperature, damping
    )
    return integrator


class AseEngine:
    """Energies and dynamics by ase.

    Attributes:
        kernels: "auto", "native" or "torch"; by torch it is the Python reference.
    """

    name = "ase"

    def __init__(self, kernels: str = "auto") -> None:
        self.kernels = kernels

    def _with_calculator(self, job: Job) -> ase.Atoms:
        atoms = job.atoms.copy()
        atoms.calc = TransIPCalculator(
            job.model, device=job.device, kernels=self.kernels, symmetry=job.symmetry, reference=job.frame_reference
        )
        return atoms

    def single_point(self, job: Job) -> SinglePoint:
        """See `transip_md.engines.base.Engine`."""
        atoms = self._with_calculator(job)
        return SinglePoint(float(atoms.get_potential_energy()), atoms.get_forces())

    def integrator(self, atoms: ase.Atoms, dynamics: Dynamics) -> MolecularDynamics:
        """What moves the atoms, which have their velocities."""
        if dynamics.ensemble == "nvt":
            return _nose_hoover(atoms, dynamics)
        return VelocityVerlet(atoms, timestep=dynamics.timestep * FEMTOSECOND)

    def dynamics(self, job: Job, dynamics: Dynamics, progress: ProgressCallback) -> EnergyRecord:
        """See `transip_md.engines.base.Engine`."""
        atoms = self._with_calculator(job)
        recorder = Recorder(atoms, dynamics, job.folder / "ase.state.npz")
        atoms.set_velocities(dynamics.velocities / FEMTOSECOND)
        if recorder.state:
            atoms.positions = recorder.state["positions"]
            atoms.set_momenta(recorder.state["momenta"])
        integrator = self.integrator(atoms, dynamics)
        bath = integrator._thermostat if dynamics.ensemble == "nvt" else None
        if bath is not None and recorder.state:
            bath._eta, bath._p_eta = recorder.state["eta"], recorder.state["p_eta"]
        first = recorder.step + dynamics.every if recorder.state else 0
        for step in range(first, dynamics.steps + 1, dynamics.every):
            if step:
                integrator.run(dynamics.every)
            recorder.add(
                step,
                atoms.get_potential_energy(),
                atoms.get_kinetic_energy(),
                bath.get_thermostat_energy() if bath is not None else 0.0,
                atoms.positions,
                atoms.get_velocities() * FEMTOSECOND,
            )
            if recorder.due():
                chain = {} if bath is None else {"eta": bath._eta, "p_eta": bath._p_eta}
                recorder.save(positions=atoms.positions, momenta=atoms.get_momenta(), **chain)
            progress(step)
        return recorder.finish()
