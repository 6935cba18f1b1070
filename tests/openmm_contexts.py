"""OpenMM Systems and Contexts for tests, in eV and Angstrom at their border."""

from __future__ import annotations

import os

import ase
import numpy as np
import openmm
import openmm.app
import pytest

from transip_md.common import units
from transip_md.common.tolerances import PARITY
from transip_md.evaluators.torch_model import ExportedModel

KJ, NM = units.KJ_PER_MOL_PER_EV, units.ANGSTROM_PER_NM


def system_of(atoms: ase.Atoms, *forces: openmm.Force) -> openmm.System:
    """A System of the atoms' masses, with their cell if they are periodic."""
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    if atoms.pbc.all():
        system.setDefaultPeriodicBoxVectors(*atoms.cell.array / NM)
    for force in forces:
        system.addForce(force)
    return system


def context_of(
    system: openmm.System, positions: np.ndarray, platform: str = "Reference", step: float = 0.0005, **properties: str
) -> openmm.Context:
    """A Context with velocity half a step behind; positions in Angstrom, step in ps, properties of the platform."""
    chosen = openmm.Platform.getPlatformByName(platform)
    context = openmm.Context(system, openmm.VerletIntegrator(step), chosen, properties)
    context.setPositions(positions / NM)
    return context


def simulation_of(atoms: ase.Atoms, step: float, *forces: openmm.Force) -> openmm.app.Simulation:
    """A Simulation of one residue on the Reference platform; step in ps."""
    topology = openmm.app.Topology()
    residue = topology.addResidue("ONE", topology.addChain())
    for number in atoms.numbers:
        element = openmm.app.Element.getByAtomicNumber(int(number))
        topology.addAtom(element.symbol, element, residue)
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = openmm.app.Simulation(topology, system_of(atoms, *forces), openmm.VerletIntegrator(step), platform)
    simulation.context.setPositions(atoms.positions / NM)
    return simulation


def positions_of(context: openmm.Context) -> np.ndarray:
    """Positions, Angstrom, not wrapped into the box."""
    return context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(openmm.unit.angstrom)


def energy_of(context: openmm.Context, groups: int | set[int] = -1) -> float:
    """Potential energy, eV; asks for the energy alone."""
    state = context.getState(energy=True, groups=groups)
    return state.getPotentialEnergy().value_in_unit(openmm.unit.kilojoule_per_mole) / KJ


def energy_and_forces(context: openmm.Context, groups: int | set[int] = -1) -> tuple[float, np.ndarray]:
    """Potential energy, eV, and forces, eV/Angstrom."""
    state = context.getState(energy=True, forces=True, groups=groups)
    energy = state.getPotentialEnergy().value_in_unit(openmm.unit.kilojoule_per_mole) / KJ
    forces = state.getForces(asNumpy=True).value_in_unit(openmm.unit.kilojoule_per_mole / openmm.unit.nanometer)
    return energy, forces / (KJ * NM)


def require_parity(context: openmm.Context, model: ExportedModel, atoms: ase.Atoms, *, charge=0, multiplicity=1):
    """Energy and forces of a Context are those of the Python reference."""
    tolerance = PARITY[model.metadata.dtype]
    energy, forces = energy_and_forces(context)
    wanted = model.evaluate(
        atoms.numbers, atoms.positions, charge, multiplicity, cell=atoms.cell.array, periodic=atoms.pbc
    )
    assert abs(energy - wanted.energies.sum()) <= tolerance.energy
    assert abs(energy_of(context) - wanted.energies.sum()) <= tolerance.energy
    assert np.abs(forces - wanted.forces).max() <= tolerance.force


def require_parity_of_some(context: openmm.Context, model: ExportedModel, atoms: ase.Atoms, chosen: list[int]):
    """Of a force on the chosen particles: the reference's numbers on these, nothing on the others."""
    tolerance = PARITY[model.metadata.dtype]
    energy, forces = energy_and_forces(context)
    wanted = model.evaluate(atoms.numbers[chosen], atoms.positions[chosen], cell=atoms.cell.array, periodic=atoms.pbc)
    assert abs(energy - wanted.energies.sum()) <= tolerance.energy
    assert np.abs(forces[chosen] - wanted.forces).max() <= tolerance.force
    assert not np.delete(forces, chosen, axis=0).any()


def beside_argon(molecule: ase.Atoms) -> tuple[ase.Atoms, openmm.NonbondedForce]:
    """A molecule and one more atom in a periodic box of 20 Angstrom, and a force of no strength that sees the box."""
    atoms = molecule + ase.Atoms("Ar", [[9.0, 9.0, 9.0]])
    atoms.set_cell([20.0] * 3)
    atoms.pbc = True
    around = openmm.NonbondedForce()
    around.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    around.setCutoffDistance(0.8)
    for _ in atoms:
        around.addParticle(0, 1, 0)
    return atoms, around


def openmm_takes(atoms: ase.Atoms) -> bool:
    """Whether OpenMM has such boundaries: periodic everywhere or nowhere."""
    return bool(atoms.pbc.all() or not atoms.pbc.any())


def require_torchforce() -> None:
    """Skip, with the reason, unless openmmtorch is installed and fits; fail where it must be there."""
    from transip_md.common.errors import EnvironmentFaultError
    from transip_md.engines.openmm.torch_force import import_openmmtorch

    try:
        import_openmmtorch()
    except EnvironmentFaultError as error:
        if os.environ.get("TRANSIP_MD_REQUIRE_TORCHFORCE"):
            raise
        pytest.skip(f"{error} `make test-torchforce` does.")
