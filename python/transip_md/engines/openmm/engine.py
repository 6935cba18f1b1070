"""OpenMM, through the native plugin, on the Reference platform (double precision)."""

from __future__ import annotations

import ase
import numpy as np

from transip_md.common import units
from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.engines.base import Dynamics, EnergyRecord, Job, ProgressCallback, SinglePoint
from transip_md.engines.openmm import create_force, load_plugin
from transip_md.engines.recorder import Recorder

try:
    import openmm
except ImportError as error:
    raise EnvironmentFaultError("OpenMM is not installed. Type `pip install 'transip-md[openmm]'`.") from error

FEMTOSECOND = 1e-3  # ps
#: Steps between removals of the centre of mass's motion; it is at rest anyway, and rounding is all that is removed.
SELDOM = 1000


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


def _integrator(dynamics: Dynamics) -> openmm.Integrator:
    """Velocity Verlet, or a Nose-Hoover chain."""
    if dynamics.ensemble == "nve":
        return velocity_verlet(dynamics.timestep)
    frequency = 1.0 / (dynamics.damping * FEMTOSECOND)
    return openmm.NoseHooverIntegrator(dynamics.temperature, frequency, dynamics.timestep * FEMTOSECOND)


def _box_vectors(atoms: ase.Atoms) -> np.ndarray:
    """Box vectors in nm. Raises UsageError unless OpenMM takes them."""
    cell = atoms.cell.array
    lower = not np.triu(cell, 1).any() and bool((np.diag(cell) > 0).all())
    (ax, _, _), (bx, by, _), (cx, cy, _) = cell
    # OpenMM's own condition: see "Periodic boundary conditions" in its theory manual.
    reduced = lower and ax >= 2 * abs(bx) and ax >= 2 * abs(cx) and by >= 2 * abs(cy)
    if not (atoms.pbc.all() and reduced):
        raise UsageError(
            "OpenMM takes structures that are periodic in all directions, in a cell in its reduced form (a along x, b "
            "in the xy plane, the other vectors' components at most half of the diagonal); got pbc "
            f"{atoms.pbc.tolist()} and cell {cell.tolist()}. Rotate it by "
            "`atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)`."
        )
    return cell / units.ANGSTROM_PER_NM


class OpenMMEngine:
    """Energies and dynamics by OpenMM."""

    name = "openmm"

    def __init__(self, platform: str = "Reference") -> None:
        """Load the plugin.

        Args:
            platform: name of an OpenMM platform.
        """
        load_plugin()
        self.platform = platform

    def context(self, job: Job, integrator: openmm.Integrator) -> openmm.Context:
        """A Context of the structure.

        Raises:
            UsageError: a structure that is periodic in some directions only, or in a cell that OpenMM does not take.
        """
        atoms = job.atoms
        periodic = bool(atoms.pbc.any())
        system = openmm.System()
        for mass in atoms.get_masses():
            system.addParticle(mass)
        if periodic:
            system.setDefaultPeriodicBoxVectors(*_box_vectors(atoms))
        system.addForce(
            create_force(
                job.model,
                atoms.numbers,
                charge=job.state.charge,
                multiplicity=job.state.multiplicity,
                device=job.device,
                periodic=periodic,
                symmetry=job.symmetry,
                reference=None if job.frame_reference is None else job.frame_reference / units.ANGSTROM_PER_NM,
            )
        )
        if isinstance(integrator, openmm.NoseHooverIntegrator) and len(atoms) > 1:
            # With a remover in the system the chain takes 3N - 3 degrees of freedom.
            system.addForce(openmm.CMMotionRemover(SELDOM))
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(self.platform))
        context.setPositions(atoms.positions / units.ANGSTROM_PER_NM)
        return context

    def single_point(self, job: Job) -> SinglePoint:
        """See `transip_md.engines.base.Engine`."""
        state = self.context(job, velocity_verlet(1.0)).getState(energy=True, forces=True)
        forces = state.getForces(asNumpy=True).value_in_unit(openmm.unit.kilojoule_per_mole / openmm.unit.nanometer)
        return SinglePoint(
            _electronvolts(state.getPotentialEnergy()), forces / (units.KJ_PER_MOL_PER_EV * units.ANGSTROM_PER_NM)
        )

    def dynamics(self, job: Job, dynamics: Dynamics, progress: ProgressCallback) -> EnergyRecord:
        """See `transip_md.engines.base.Engine`."""
        recorder = Recorder(job.atoms, dynamics, job.folder / "openmm.state.npz")
        integrator = _integrator(dynamics)
        context = self.context(job, integrator)
        if recorder.state:
            context.loadCheckpoint(recorder.state["checkpoint"].tobytes())
        else:
            context.setVelocities(dynamics.velocities / units.ANGSTROM_PER_NM / FEMTOSECOND)
        first = recorder.step + dynamics.every if recorder.state else 0
        for step in range(first, dynamics.steps + 1, dynamics.every):
            if step:
                integrator.step(dynamics.every)
            state = context.getState(energy=True, positions=True, velocities=True)
            # Before its first step the chain is at rest, and OpenMM 8.6 would look for it in vain.
            bath = _electronvolts(integrator.computeHeatBathEnergy()) if dynamics.ensemble == "nvt" and step else 0.0
            recorder.add(
                step,
                _electronvolts(state.getPotentialEnergy()),
                _electronvolts(state.getKineticEnergy()),
                bath,
                state.getPositions(asNumpy=True).value_in_unit(openmm.unit.angstrom),
                state.getVelocities(asNumpy=True).value_in_unit(openmm.unit.angstrom / openmm.unit.femtosecond),
            )
            if recorder.due():
                recorder.save(checkpoint=np.frombuffer(context.createCheckpoint(), dtype=np.uint8))
            progress(step)
        return recorder.finish()


def _electronvolts(energy: openmm.unit.Quantity) -> float:
    return energy.value_in_unit(openmm.unit.kilojoule_per_mole) / units.KJ_PER_MOL_PER_EV
