"""TransIPForce with local models: periodic boxes, images, boxes that change."""

from __future__ import annotations

import ase
import numpy as np
import pytest

openmm = pytest.importorskip("openmm")

from networks import crystal
from transip_md.common import units
from transip_md.common.errors import UsageError
from transip_md.common.thermal import thermal_velocities
from transip_md.common.tolerances import PARITY
from transip_md.engines.ase.engine import AseEngine
from transip_md.engines.base import Dynamics, Job
from transip_md.engines.openmm import create_force
from transip_md.engines.openmm.engine import OpenMMEngine
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.exporting.examples import random_structures

pytestmark = pytest.mark.usefixtures("openmm_plugin")

TOLERANCE = PARITY["float64"]
KJ, NM = units.KJ_PER_MOL_PER_EV, units.ANGSTROM_PER_NM


def wanted(file, atoms):
    return ExportedModel(file, "cpu").evaluate(
        atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc
    )


def context_of(atoms: ase.Atoms, force, extra=()) -> openmm.Context:
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    system.setDefaultPeriodicBoxVectors(*atoms.cell.array / NM)
    for one in (force, *extra):
        system.addForce(one)
    context = openmm.Context(system, openmm.VerletIntegrator(0.0005), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(atoms.positions / NM)
    return context


def energy_and_forces(context) -> tuple[float, np.ndarray]:
    state = context.getState(energy=True, forces=True)
    energy = state.getPotentialEnergy().value_in_unit(openmm.unit.kilojoule_per_mole) / KJ
    forces = state.getForces(asNumpy=True).value_in_unit(openmm.unit.kilojoule_per_mole / openmm.unit.nanometer)
    return energy, forces / (KJ * NM)


def require_parity(context, file, atoms):
    energy, forces = energy_and_forces(context)
    reference = wanted(file, atoms)
    assert abs(energy - reference.energies.sum()) <= TOLERANCE.energy
    assert np.abs(forces - reference.forces).max() <= TOLERANCE.force


def structures() -> list[ase.Atoms]:
    found = [crystal(seed) for seed in range(4)] + [crystal(5).repeat((2, 1, 1))]
    found += list(random_structures((1, 6, 8), 6, seed=2))
    for atoms in found:
        atoms.pbc = True
    scattered = crystal(9)
    scattered.positions += np.random.default_rng(0).integers(-2, 3, (8, 3)) @ scattered.cell.array
    molecules = list(random_structures((1, 6, 8), 3, seed=4))
    for atoms in molecules:
        atoms.pbc = False
    return [*found, scattered, *molecules, ase.Atoms("O", cell=[2.5, 9, 9], pbc=True)]


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_parity_with_python(local_file, tmp_path, platform):
    for atoms in structures():
        point = OpenMMEngine(platform).single_point(Job(local_file, atoms, tmp_path))
        reference = wanted(local_file, atoms)
        assert abs(point.energy - reference.energies.sum()) <= TOLERANCE.energy
        assert np.abs(point.forces - reference.forces).max() <= TOLERANCE.force


def test_some_of_the_particles(local_file):
    atoms = crystal(1)
    chosen = [6, 1, 3, 4]
    force = create_force(local_file, atoms.numbers, particles=chosen, periodic=True)
    energy, forces = energy_and_forces(context_of(atoms, force))
    reference = wanted(local_file, atoms[chosen])
    assert abs(energy - reference.energies.sum()) <= TOLERANCE.energy
    assert np.abs(forces[chosen] - reference.forces).max() <= TOLERANCE.force
    assert np.abs(np.delete(forces, chosen, axis=0)).max() == 0.0


def test_box_and_positions_that_change(local_file):
    """The list of pairs has a skin: what moves little keeps it, what moves far or changes its box does not."""
    atoms = crystal(2)
    context = context_of(atoms, create_force(local_file, atoms.numbers, periodic=True))
    rng = np.random.default_rng(0)
    require_parity(context, local_file, atoms)
    for size in (0.01, 0.05, 0.3, 0.02, 1.0):
        atoms.positions += rng.normal(scale=size, size=(8, 3))
        context.setPositions(atoms.positions / NM)
        require_parity(context, local_file, atoms)
    for stretch in (1.0005, 1.02, 0.97):
        atoms.set_cell(atoms.cell.array * stretch, scale_atoms=True)
        context.setPeriodicBoxVectors(*atoms.cell.array / NM)
        context.setPositions(atoms.positions / NM)
        require_parity(context, local_file, atoms)


def test_trajectory_is_that_of_ase(local_file, tmp_path):
    atoms = crystal(3).repeat((2, 1, 1))
    atoms.set_cell([10.0, 5.0, 5.0])
    run = Dynamics(0.5, 100, 10, thermal_velocities(atoms, 300.0, 1))
    ours, reference = (
        engine.dynamics(Job(local_file, atoms, tmp_path / engine.name), run, lambda step: None)
        for engine in (OpenMMEngine(), AseEngine())
    )
    assert np.abs(ours.potential - reference.potential).max() <= 1e-7
    assert np.ptp(reference.potential) > 0.01


def test_periodicity_survives_xml(local_file):
    atoms = crystal(0)
    force = create_force(local_file, atoms.numbers, periodic=True)
    copy = openmm.XmlSerializer.clone(force)
    assert copy.usesPeriodicBoundaryConditions() and force.usesPeriodicBoundaryConditions()
    require_parity(context_of(atoms, copy), local_file, atoms)
    assert not create_force(local_file, atoms.numbers).usesPeriodicBoundaryConditions()


def test_topology_with_a_box_is_periodic(local_file):
    from openmm.app import Element, Topology

    topology = Topology()
    residue = topology.addResidue("O", topology.addChain())
    topology.addAtom("O", Element.getBySymbol("O"), residue)
    assert not create_force(local_file, topology).usesPeriodicBoundaryConditions()
    topology.setPeriodicBoxVectors([[3, 0, 0], [0, 3, 0], [0, 0, 3]] * openmm.unit.nanometer)
    assert create_force(local_file, topology).usesPeriodicBoundaryConditions()
    assert not create_force(local_file, topology, periodic=False).usesPeriodicBoundaryConditions()


def test_barostat(local_file):
    atoms = crystal(4).repeat(2)
    atoms.set_cell([9.0, 9.5, 10.0])
    barostat = openmm.MonteCarloBarostat(1.0, 300.0, 5)
    barostat.setRandomNumberSeed(1)
    force = create_force(local_file, atoms.numbers, periodic=True)
    context = context_of(atoms, force, [barostat])
    context.setVelocitiesToTemperature(300, 1)
    context.getIntegrator().step(50)
    state = context.getState(positions=True)
    moved = atoms.copy()
    moved.set_cell(np.array(state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(openmm.unit.angstrom)))
    moved.positions = state.getPositions(asNumpy=True).value_in_unit(openmm.unit.angstrom)
    assert abs(moved.get_volume() - atoms.get_volume()) > 1e-3
    require_parity(context, local_file, moved)


def test_what_is_refused(local_file, toy_file, tmp_path):
    with pytest.raises(UsageError, match="attends all-to-all"):
        create_force(toy_file, [6], periodic=True)
    slab = crystal(0)
    slab.pbc = [True, True, False]
    with pytest.raises(UsageError, match="periodic in all directions"):
        OpenMMEngine().single_point(Job(local_file, slab, tmp_path))
    skewed = crystal(0)
    skewed.set_cell([[5, 0, 0], [4, 4, 0], [0, 0, 5]])
    with pytest.raises(UsageError, match="reduced form"):
        OpenMMEngine().single_point(Job(local_file, skewed, tmp_path))
