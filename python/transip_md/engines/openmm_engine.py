"""OpenMM, through the native plugin, on the Reference platform (double precision)."""

from __future__ import annotations

import numpy as np

from transip_md import units
from transip_md.engines.base import Dynamics, EnergyRecord, Job, ProgressCallback, SinglePoint
from transip_md.errors import EnvironmentFaultError
from transip_md.openmm import create_force, load_plugin
from transip_md.thermal import temperature_of

try:
    import openmm
except ImportError as error:
    raise EnvironmentFaultError("OpenMM is not installed. Type `pip install 'transip-md[openmm]'`.") from error

FEMTOSECOND = 1e-3  # ps


def velocity_verlet(timestep: float) -> openmm.CustomIntegrator:
    """Velocity Verlet with positions and velocities at the same time.

    OpenMM's own VerletIntegrator keeps velocities half a step behind positions, so that it would not start from the
    velocities that the other engines start from.

    Args:
        timestep: fs.
    """
    integrator = openmm.CustomIntegrator(timestep * FEMTOSECOND)
    integrator.addUpdateContextState()
    integrator.addComputePerDof("v", "v+0.5*dt*f/m")
    integrator.addComputePerDof("x", "x+dt*v")
    integrator.addComputePerDof("v", "v+0.5*dt*f/m")
    return integrator


class OpenMMEngine:
    """Energies and velocity Verlet by OpenMM."""

    name = "openmm"

    def __init__(self, platform: str = "Reference") -> None:
        """Load the plugin.

        Args:
            platform: name of an OpenMM platform.
        """
        load_plugin()
        self.platform = platform

    def context(self, job: Job, timestep: float) -> openmm.Context:
        """A Context of the isolated structure; timestep in fs."""
        atoms = job.atoms
        system = openmm.System()
        for mass in atoms.get_masses():
            system.addParticle(mass)
        system.addForce(create_force(job.model, atoms.numbers, device=job.device))
        context = openmm.Context(system, velocity_verlet(timestep), openmm.Platform.getPlatformByName(self.platform))
        context.setPositions(atoms.positions / units.ANGSTROM_PER_NM)
        return context

    def single_point(self, job: Job) -> SinglePoint:
        """See `transip_md.engines.base.Engine`."""
        state = self.context(job, timestep=1.0).getState(energy=True, forces=True)
        energy = state.getPotentialEnergy().value_in_unit(openmm.unit.kilojoule_per_mole)
        forces = state.getForces(asNumpy=True).value_in_unit(openmm.unit.kilojoule_per_mole / openmm.unit.nanometer)
        return SinglePoint(energy / units.KJ_PER_MOL_PER_EV, forces / (units.KJ_PER_MOL_PER_EV * units.ANGSTROM_PER_NM))

    def dynamics(self, job: Job, dynamics: Dynamics, progress: ProgressCallback) -> EnergyRecord:
        """See `transip_md.engines.base.Engine`."""
        context = self.context(job, dynamics.timestep)
        context.setVelocities(dynamics.velocities / units.ANGSTROM_PER_NM / FEMTOSECOND)
        integrator = context.getIntegrator()
        rows = []
        for step in range(0, dynamics.steps + 1, dynamics.every):
            if step:
                integrator.step(dynamics.every)
            state = context.getState(energy=True)
            rows.append(
                (
                    step,
                    state.getPotentialEnergy().value_in_unit(openmm.unit.kilojoule_per_mole),
                    state.getKineticEnergy().value_in_unit(openmm.unit.kilojoule_per_mole),
                )
            )
            progress(step)
        steps, potential, kinetic = np.array(rows).T
        potential, kinetic = potential / units.KJ_PER_MOL_PER_EV, kinetic / units.KJ_PER_MOL_PER_EV
        return EnergyRecord(
            steps * dynamics.timestep / 1000.0, potential, kinetic, temperature_of(kinetic, len(job.atoms))
        )
