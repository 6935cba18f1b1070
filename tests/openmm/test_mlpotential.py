"""MLPotential("transip") of OpenMM-ML: whole systems, and a solute in classical water."""

from __future__ import annotations

import subprocess
import sys

import ase
import numpy as np
import pytest

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")
pytest.importorskip("openmmml", reason="OpenMM-ML is not installed (pip install openmmml)")

from openmm.app import PME, ForceField, HBonds, Modeller, PDBFile
from openmmml import MLPotential

from openmm_contexts import energy_and_forces, energy_of, require_parity
from transip_md.common.errors import UsageError
from transip_md.evaluators.torch_model import ExportedModel

pytestmark = pytest.mark.usefixtures("openmm_plugin")

#: Largest relative difference between a mixed system's energy and the sum of its parts.
RELATIVE = 1e-6
SOLUTE = list(range(22))


def context_of(system, positions) -> openmm.Context:
    context = openmm.Context(system, openmm.VerletIntegrator(0.0005), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    return context


@pytest.fixture(scope="module")
def solvated(repository):
    """Alanine dipeptide in TIP3P water: topology, positions and the classical System.

    The cutoff is longer than the solute, 8.9 Angstrom: what OpenMM-ML adds for pairs in it at lambda = 0 has none.
    """
    pdb = PDBFile(str(repository / "examples/openmm/alanine_dipeptide.pdb"))
    field = ForceField("amber14-all.xml", "amber14/tip3p.xml")
    modeller = Modeller(pdb.topology, pdb.positions)
    modeller.addSolvent(field, boxSize=openmm.Vec3(2.3, 2.3, 2.3))
    system = field.createSystem(modeller.topology, nonbondedMethod=PME, nonbondedCutoff=1.1, constraints=HBonds)
    for force in system.getForces():
        if isinstance(force, openmm.NonbondedForce):
            # With few digits of PME the parts differ by their grids.
            force.setEwaldErrorTolerance(1e-6)
    return modeller.topology, modeller.positions, system


def test_import_does_not_import_torch():
    code = (
        "import sys, openmmml; from openmmml.mlpotential import MLPotential; "
        "print('transip' in MLPotential._implFactories, 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["True", "False"], result.stderr


def test_whole_system(repository, ethanol_file):
    pdb = PDBFile(str(repository / "examples/openmm/ethanol.pdb"))
    system = MLPotential("transip", model=ethanol_file).createSystem(pdb.topology)
    assert [force.getName() for force in system.getForces()] == ["TransIPForce", "CMMotionRemover"]
    numbers = [atom.element.atomic_number for atom in pdb.topology.atoms()]
    atoms = ase.Atoms(numbers, pdb.getPositions(asNumpy=True).value_in_unit(openmm.unit.angstrom))
    require_parity(context_of(system, pdb.positions), ExportedModel(ethanol_file), atoms)


def test_periodic_system(local_file, repository):
    pdb = PDBFile(str(repository / "examples/openmm/water.pdb"))
    system = MLPotential("transip", model=local_file).createSystem(pdb.topology, removeCMMotion=False)
    assert system.usesPeriodicBoundaryConditions()
    numbers = [atom.element.atomic_number for atom in pdb.topology.atoms()]
    atoms = ase.Atoms(numbers, pdb.getPositions(asNumpy=True).value_in_unit(openmm.unit.angstrom), pbc=True)
    atoms.set_cell(np.array(pdb.topology.getPeriodicBoxVectors().value_in_unit(openmm.unit.angstrom)))
    require_parity(context_of(system, pdb.positions), ExportedModel(local_file), atoms)


def test_charge_and_multiplicity_and_backend(toy_file, repository):
    pdb = PDBFile(str(repository / "examples/openmm/ethanol.pdb"))
    potential = MLPotential("transip", model=toy_file)
    text = openmm.XmlSerializer.serialize(potential.createSystem(pdb.topology, charge=-1, multiplicity=2))
    assert 'charge="-1"' in text and 'multiplicity="2"' in text
    made = potential.createSystem(pdb.topology, backend="python").getForce(0)
    assert isinstance(made, openmm.PythonForce)
    with pytest.raises(UsageError, match="knows charge"):
        potential.createSystem(pdb.topology, charge=3)


def test_what_is_refused(toy_file, repository):
    pdb = PDBFile(str(repository / "examples/openmm/ethanol.pdb"))
    with pytest.raises(UsageError, match=r"takes one argument, model, .* got none"):
        MLPotential("transip")
    with pytest.raises(UsageError, match="got charge, model"):
        MLPotential("transip", model=toy_file, charge=1)
    with pytest.raises(UsageError, match=r"take charge, multiplicity, .* got spin"):
        MLPotential("transip", model=toy_file).createSystem(pdb.topology, spin=2)


# ---- a solute in classical water -----------------------------------------------------------------------------------


def without_solute(system: openmm.System) -> openmm.System:
    """The classical System without anything among the solute's own atoms, taken out term by term."""
    rest = openmm.XmlSerializer.clone(system)
    solute = set(SOLUTE)
    for force in rest.getForces():
        if isinstance(force, openmm.HarmonicBondForce):
            for index in range(force.getNumBonds()):
                first, second, length, _ = force.getBondParameters(index)
                if {first, second} <= solute:
                    force.setBondParameters(index, first, second, length, 0)
        elif isinstance(force, openmm.HarmonicAngleForce):
            for index in range(force.getNumAngles()):
                *particles, angle, _ = force.getAngleParameters(index)
                if set(particles) <= solute:
                    force.setAngleParameters(index, *particles, angle, 0)
        elif isinstance(force, openmm.PeriodicTorsionForce):
            for index in range(force.getNumTorsions()):
                *particles, period, phase, _ = force.getTorsionParameters(index)
                if set(particles) <= solute:
                    force.setTorsionParameters(index, *particles, period, phase, 0)
        elif isinstance(force, openmm.NonbondedForce):
            for first in SOLUTE:
                for second in range(first):
                    force.addException(first, second, 0, 1, 0, True)
            force.setExceptionsUsePeriodicBoundaryConditions(True)
    return rest


def model_energy(file, topology, positions) -> float:
    """Of the solute alone, eV."""
    numbers = [atom.element.atomic_number for atom in topology.atoms()][: len(SOLUTE)]
    places = np.array(positions.value_in_unit(openmm.unit.angstrom))[SOLUTE]
    return ExportedModel(file).evaluate(numbers, places).energies.sum()


@pytest.mark.parametrize("backend", ["native", "python"])
def test_mixed_system_is_the_sum_of_its_parts(organic_file, solvated, backend):
    topology, positions, classical = solvated
    potential = MLPotential("transip", model=organic_file)
    mixed = potential.createMixedSystem(topology, classical, SOLUTE, forceGroup=7, backend=backend)
    context = context_of(mixed, positions)
    around = energy_of(context_of(without_solute(classical), positions))
    inside = model_energy(organic_file, topology, positions)
    assert energy_of(context, groups={7}) == pytest.approx(inside, abs=1e-9)
    # Of the classical part alone too: the model's energy has hundreds of times its size.
    assert energy_of(context) - inside == pytest.approx(around, rel=RELATIVE)
    assert energy_of(context) == pytest.approx(around + inside, rel=RELATIVE)
    assert abs(around) > 10


def test_solute_keeps_no_constraints(organic_file, solvated):
    topology, _, classical = solvated
    mixed = MLPotential("transip", model=organic_file).createMixedSystem(topology, classical, SOLUTE)
    pairs = [mixed.getConstraintParameters(index)[:2] for index in range(mixed.getNumConstraints())]
    assert pairs and not any(set(pair) & set(SOLUTE) for pair in pairs)


@pytest.mark.parametrize("backend", ["native", "python"])
def test_ends_of_the_interpolation(organic_file, solvated, backend):
    topology, positions, classical = solvated
    potential = MLPotential("transip", model=organic_file)
    options = {"backend": backend}
    between = context_of(
        potential.createMixedSystem(topology, classical, SOLUTE, interpolate=True, **options), positions
    )
    mixed = context_of(potential.createMixedSystem(topology, classical, SOLUTE, **options), positions)
    ends = [energy_and_forces(context_of(classical, positions)), energy_and_forces(mixed)]
    for where, (energy, forces) in enumerate(ends):
        between.setParameter("lambda_interpolate", where)
        got_energy, got_forces = energy_and_forces(between)
        # OpenMM-ML's Coulomb constant for exceptions has nine digits.
        assert got_energy == pytest.approx(energy, rel=1e-7)
        assert np.abs(got_forces - forces).max() <= 1e-7 * np.abs(forces).max()
    between.setParameter("lambda_interpolate", 0.25)
    assert energy_of(between) == pytest.approx(0.75 * ends[0][0] + 0.25 * ends[1][0], rel=1e-7)


@pytest.mark.parametrize("backend", ["native", "python"])
def test_barostat_moves_the_solute_as_a_whole(organic_file, solvated, backend):
    """Its bonds are the model's now: if OpenMM did not know of them, it would move its atoms one by one."""
    topology, positions, classical = solvated
    potential = MLPotential("transip", model=organic_file)
    mixed = potential.createMixedSystem(topology, classical, SOLUTE, backend=backend)
    barostat = openmm.MonteCarloBarostat(1.0, 300.0, 1)
    barostat.setRandomNumberSeed(1)
    mixed.addForce(barostat)
    # Where the solute stands across the box's border, and the barostat brings molecules into it.
    places = np.array(positions.value_in_unit(openmm.unit.nanometer))
    context = context_of(mixed, places - places[0])
    assert SOLUTE in [sorted(molecule) for molecule in context.getMolecules()]
    before = context.getState().getPeriodicBoxVolume()
    context.getIntegrator().step(4)
    after = context.getState(energy=True)
    assert np.isfinite(energy_of(context)) and after.getPeriodicBoxVolume() != before
