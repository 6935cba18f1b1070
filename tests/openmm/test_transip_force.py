"""TransIPForce, made in Python the way a user makes it."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

from hostile.model_files import with_json
from toys import bad_model_files, springs, write_toy

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")

from openmm.app import Element, Topology

from transip_md.common import units
from transip_md.common.errors import UsageError
from transip_md.common.tolerances import PARITY
from transip_md.engines.base import Job
from transip_md.engines.openmm import create_force
from transip_md.engines.openmm.engine import OpenMMEngine, velocity_verlet
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.modelfile.metadata import REFERENCE_NAME

pytestmark = pytest.mark.usefixtures("openmm_plugin")

PLATFORMS = ["Reference", "CPU"]


def system_of(masses, *forces):
    system = openmm.System()
    for mass in masses:
        system.addParticle(mass)
    for force in forces:
        system.addForce(force)
    return system


def context_of(system, positions, platform="Reference"):
    context = openmm.Context(system, velocity_verlet(0.5), openmm.Platform.getPlatformByName(platform))
    context.setPositions(positions / units.ANGSTROM_PER_NM)
    return context


def energy_and_forces(context, groups=-1):
    state = context.getState(energy=True, forces=True, groups=groups)
    energy = state.getPotentialEnergy().value_in_unit(openmm.unit.kilojoule_per_mole)
    forces = state.getForces(asNumpy=True).value_in_unit(openmm.unit.kilojoule_per_mole / openmm.unit.nanometer)
    return energy / units.KJ_PER_MOL_PER_EV, forces / (units.KJ_PER_MOL_PER_EV * units.ANGSTROM_PER_NM)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_parity_with_python(ethanol_files, dtype, ethanol, tmp_path, platform):
    rng = np.random.default_rng(0)
    tolerance = PARITY[dtype]
    model = ExportedModel(ethanol_files[dtype])
    for _ in range(3):
        ethanol.positions += rng.normal(scale=0.05, size=(9, 3))
        point = OpenMMEngine(platform).single_point(Job(ethanol_files[dtype], ethanol, tmp_path))
        energies, forces, _ = model.evaluate(ethanol.numbers, ethanol.positions)
        assert abs(point.energy - energies.sum()) <= tolerance.energy
        assert np.abs(point.forces - forces).max() <= tolerance.force


@pytest.mark.parametrize("platform", PLATFORMS)
def test_analytic_model(toy_file, ethanol, platform):
    system = system_of(ethanol.get_masses(), create_force(toy_file, ethanol.numbers))
    energy, forces = energy_and_forces(context_of(system, ethanol.positions, platform))
    wanted_energies, wanted_forces = springs(ethanol.positions)
    assert energy == pytest.approx(wanted_energies.sum(), abs=1e-9)
    assert np.abs(forces - wanted_forces).max() < 1e-8


def test_part_of_the_particles(toy_file, ethanol):
    chosen = [7, 2, 5]
    other = openmm.CustomExternalForce("x")
    other.addParticle(0, [])
    force = create_force(toy_file, ethanol.numbers, particles=chosen)
    force.setForceGroup(3)
    other.setForceGroup(1)
    context = context_of(system_of(ethanol.get_masses(), force, other), ethanol.positions)
    energy, forces = energy_and_forces(context, groups={3})
    wanted_energies, wanted_forces = springs(ethanol.positions[chosen])
    assert energy == pytest.approx(wanted_energies.sum(), abs=1e-9)
    assert np.abs(forces[chosen] - wanted_forces).max() < 1e-8
    rest = [index for index in range(9) if index not in chosen]
    assert not forces[rest].any()
    # And together with the other force.
    _, all_forces = energy_and_forces(context)
    assert all_forces[0, 0] == pytest.approx(-1 / (units.KJ_PER_MOL_PER_EV * units.ANGSTROM_PER_NM))


def test_topology_gives_the_elements(toy_file, ethanol):
    topology = Topology()
    residue = topology.addResidue("EOH", topology.addChain())
    for symbol in ethanol.symbols:
        topology.addAtom(symbol, Element.getBySymbol(symbol), residue)
    text = openmm.XmlSerializer.serialize(create_force(toy_file, topology))
    assert text == openmm.XmlSerializer.serialize(create_force(toy_file, ethanol.numbers))
    topology.addAtom("EP", None, residue)
    with pytest.raises(UsageError, match="has no element"):
        create_force(toy_file, topology)


def test_serialization_keeps_everything(toy_file, ethanol):
    force = create_force(
        toy_file, ethanol.numbers, charge=-1, multiplicity=2, particles=[1, 4], device="cpu", threads=2
    )
    force.setForceGroup(5)
    force.setName("ml")
    system = system_of(ethanol.get_masses(), force)
    clone = openmm.XmlSerializer.clone(system)
    assert openmm.XmlSerializer.serialize(clone) == openmm.XmlSerializer.serialize(system)
    text = openmm.XmlSerializer.serialize(clone.getForce(0))
    for words in ('charge="-1"', 'multiplicity="2"', 'device="cpu"', 'threads="2"', 'forceGroup="5"', 'name="ml"'):
        assert words in text
    first = energy_and_forces(context_of(system, ethanol.positions))
    second = energy_and_forces(context_of(clone, ethanol.positions))
    assert first[0] == second[0] and np.array_equal(first[1], second[1])


def test_unknown_xml_version():
    with pytest.raises(openmm.OpenMMException, match="XML version 9"):
        openmm.XmlSerializer.deserialize('<Force type="TransIPForce" version="9" file="m.pt"><Particles/></Force>')


def test_velocity_verlet_is_second_order_and_symmetric(toy_file, ethanol):
    """The integrator of the nve command: forward and back it returns to its start."""
    system = system_of(ethanol.get_masses(), create_force(toy_file, ethanol.numbers))
    context = context_of(system, ethanol.positions)
    context.setVelocities(np.random.default_rng(0).normal(scale=0.3, size=(9, 3)))
    context.getIntegrator().step(50)
    state = context.getState(positions=True, velocities=True)
    context.setPositions(state.getPositions())
    context.setVelocities(-state.getVelocities(asNumpy=True))
    context.getIntegrator().step(50)
    back = context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(openmm.unit.angstrom)
    assert np.abs(back - ethanol.positions).max() < 1e-9


def test_bad_files(tmp_path, ethanol):
    for name, (path, words) in bad_model_files(tmp_path).items():
        with pytest.raises(UsageError, match=words):
            create_force(path, ethanol.numbers)
        # The plugin itself says the same, for those who deserialize a System whose file has changed.
        xml = f'<Force type="TransIPForce" version="1" file="{path}"><Particles/></Force>'
        with pytest.raises(openmm.OpenMMException, match=words) as caught:
            context_of(system_of([1.0], openmm.XmlSerializer.deserialize(xml)), np.zeros((1, 3)))
        assert "\n" not in str(caught.value), name


def xml_force(file, particles=((0, 6),), **properties):
    rows = "".join(f'<Particle index="{i}" atomicNumber="{z}"/>' for i, z in particles)
    extra = "".join(f' {name}="{value}"' for name, value in properties.items())
    return openmm.XmlSerializer.deserialize(
        f'<Force type="TransIPForce" version="1" file="{file}"{extra}><Particles>{rows}</Particles></Force>'
    )


@pytest.mark.parametrize(
    ("force", "words"),
    [
        ({"particles": ((0, 7),)}, "does not know N"),
        ({"particles": ((4, 6),)}, "index 4 is not in the System"),
        ({"particles": ((0, 6), (0, 6))}, "added twice"),
        ({"charge": 3}, "charge -1 to 1"),
        ({"multiplicity": 3}, "multiplicity 1 to 2"),
        ({"device": "tpu"}, "device must be"),
    ],
)
def test_plugin_refuses(toy_file, force, words):
    with pytest.raises(openmm.OpenMMException, match=words):
        context_of(system_of([12.0], xml_force(toy_file, **force)), np.zeros((1, 3)))


def test_python_refuses(toy_file, ethanol):
    with pytest.raises(UsageError, match="does not know N"):
        create_force(toy_file, [7])
    with pytest.raises(UsageError, match="holds index 9"):
        create_force(toy_file, ethanol.numbers, particles=[9])
    with pytest.raises(UsageError, match="charge"):
        create_force(toy_file, ethanol.numbers, charge=4)


def test_periodic_system_is_refused(toy_file, ethanol):
    periodic = openmm.NonbondedForce()
    periodic.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    for _ in ethanol:
        periodic.addParticle(0, 1, 0)
    system = system_of(ethanol.get_masses(), create_force(toy_file, ethanol.numbers), periodic)
    system.setDefaultPeriodicBoxVectors([3, 0, 0], [0, 3, 0], [0, 0, 3])
    with pytest.raises(openmm.OpenMMException, match="periodic"):
        context_of(system, ethanol.positions)


def test_direct_forces_are_said_to_be_none_of_the_gradient(tmp_path):
    direct = write_toy(tmp_path / "direct.pt", conservative=False)
    with pytest.warns(UserWarning, match="not the gradient of the energy"):
        create_force(direct, [6])


def test_atoms_on_top_of_each_other(toy_file):
    context = context_of(system_of([12.0, 12.0], create_force(toy_file, [6, 6])), np.zeros((2, 3)))
    with pytest.raises(openmm.OpenMMException, match=r"not finite \(NaN or infinity\), for particle [01]"):
        context.getState(forces=True)


def test_example_script(repository, ethanol_file, tmp_path):
    shutil.copy(repository / "examples/openmm/ethanol.pdb", tmp_path)
    shutil.copy(ethanol_file, tmp_path / "ethanol.pt")
    script = repository / "examples/openmm/ethanol.py"
    result = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    rows = np.loadtxt(tmp_path / "energy.csv", delimiter=",", skiprows=1)
    assert len(rows) == 10
    assert np.ptp(rows[:, 1]) < 0.2  # kJ/mol
    assert result.stderr == "TransIP model ethanol.pt: validated: no; type `transip-md validate`\n"


def test_model_that_gives_other_numbers_than_where_it_was_made(ethanol_file, ethanol, tmp_path):
    def change(values):
        state = values["states"][0]
        state["forces"] = [force + 1e-5 for force in state["forces"]]

    wrong = with_json(ethanol_file, tmp_path / "wrong.pt", REFERENCE_NAME, change)
    context = context_of(system_of(ethanol.get_masses(), create_force(wrong, ethanol.numbers)), ethanol.positions)
    with pytest.raises(openmm.OpenMMException, match=r"forces by 1e-05 eV/A \(allowed 1e-08\)"):
        context.getState(energy=True)
