"""OpenMM forces with a symmetry: Python's numbers from every backend, XML, thermostats."""

from __future__ import annotations

import ase
import numpy as np
import openmm
import pytest
import torch

from networks import crystal
from openmm_contexts import KJ, NM, context_of, energy_and_forces, energy_of, system_of
from toys import write_toy
from transip_md.common.errors import UsageError
from transip_md.common.tolerances import PARITY
from transip_md.engines.ase import TransIPCalculator
from transip_md.engines.openmm import create_force
from transip_md.engines.openmm.request import ForceRequest
from transip_md.engines.openmm.torch_force import openmm_module
from transip_md.modelfile.metadata import read_metadata
from transip_md.symmetry.request import SymmetryRequest

pytestmark = pytest.mark.usefixtures("openmm_plugin")
TOLERANCE = PARITY["float64"]


def pythons(model, atoms: ase.Atoms, symmetry: str, reference: ase.Atoms | None) -> tuple[float, np.ndarray]:
    atoms = atoms.copy()
    atoms.calc = TransIPCalculator(model, symmetry=symmetry, reference=reference)
    return atoms.get_potential_energy(), atoms.get_forces()


def require(found: tuple[float, np.ndarray], wanted: tuple[float, np.ndarray]) -> None:
    assert abs(found[0] - wanted[0]) <= TOLERANCE.energy
    assert np.abs(found[1] - wanted[1]).max() <= TOLERANCE.force


@pytest.mark.parametrize("backend", ["native", "python"])
@pytest.mark.parametrize("symmetry", ["average 12", "average 4 inversion", "frame", "random 3 forced"])
def test_molecule_has_pythons_numbers(ethanol_file, ethanol, bent, symmetry, backend):
    reference = ethanol if symmetry == "frame" else None
    places = None if reference is None else reference.positions / NM
    force = create_force(ethanol_file, bent.numbers, backend=backend, symmetry=symmetry, reference=places)
    context = context_of(system_of(bent, force), bent.positions)
    wanted = pythons(ethanol_file, bent, symmetry, reference)
    require(energy_and_forces(context), wanted)
    assert abs(energy_of(context) - wanted[0]) <= TOLERANCE.energy


@pytest.mark.parametrize("backend", ["native", "python"])
def test_crystal_has_pythons_numbers(local_file, backend):
    atoms = crystal(1)
    atoms.set_cell([7.0, 6.5, 6.0], scale_atoms=True)
    force = create_force(local_file, atoms.numbers, backend=backend, periodic=True, symmetry="average 4")
    context = context_of(system_of(atoms, force), atoms.positions)
    require(energy_and_forces(context), pythons(local_file, atoms, "average 4", None))


@pytest.mark.parametrize("symmetry", ["average 4", "frame"])
def test_module_for_torchforce_has_pythons_numbers(ethanol_file, ethanol, bent, symmetry):
    """What TorchForce would run; tests/openmm/test_torchforce.py runs TorchForce where it is installed."""
    request = ForceRequest(
        model=ethanol_file,
        metadata=read_metadata(ethanol_file),
        particles=tuple(range(9)),
        numbers=tuple(bent.numbers.tolist()),
        everything=True,
        bonds=(),
        charge=0,
        multiplicity=1,
        device="auto",
        threads=1,
        periodic=False,
        among_images=False,
        symmetry=SymmetryRequest.parse(symmetry),
        reference=tuple(map(tuple, ethanol.positions / NM)) if symmetry == "frame" else (),
    )
    with torch.jit.optimized_execution(False):
        energy, forces = openmm_module(request)(torch.from_numpy(bent.positions / NM))
    found = float(energy) / KJ, forces.numpy() / (KJ * NM)
    require(found, pythons(ethanol_file, bent, symmetry, ethanol if symmetry == "frame" else None))


def test_xml_keeps_symmetry_and_reference(ethanol_file, ethanol, bent):
    force = create_force(
        ethanol_file, bent.numbers, backend="native", symmetry="frame", reference=ethanol.positions / NM
    )
    system = system_of(bent, force)
    text = openmm.XmlSerializer.serialize(system)
    assert 'symmetry="frame"' in text and 'version="2"' in text
    again = openmm.XmlSerializer.deserialize(text)
    assert openmm.XmlSerializer.serialize(again) == text
    require(energy_and_forces(context_of(again, bent.positions)), pythons(ethanol_file, bent, "frame", ethanol))
    with pytest.raises(openmm.OpenMMException, match="version 3 is not known; this plugin reads versions 1 and 2"):
        openmm.XmlSerializer.deserialize(
            text.replace('type="TransIPForce" version="2"', 'type="TransIPForce" version="3"')
        )
    # What has no symmetry stays readable for plugins that know none.
    plain = openmm.XmlSerializer.serialize(create_force(ethanol_file, bent.numbers, backend="native"))
    assert 'version="1"' in plain and "symmetry" not in plain


def test_part_of_a_system(ethanol_file, ethanol, bent):
    """The reference holds positions of all particles; the model describes some."""
    both = bent + ase.Atoms("He", [[9.0, 9, 9]])
    reference = np.vstack([ethanol.positions, [[0, 0, 0]]]) / NM
    force = create_force(
        ethanol_file, both.numbers, particles=range(9), backend="native", symmetry="frame", reference=reference
    )
    energy, forces = energy_and_forces(context_of(system_of(both, force), both.positions))
    require((energy, forces[:9]), pythons(ethanol_file, bent, "frame", ethanol))
    assert not forces[9].any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"symmetry": "frame"}, "wants reference"),
        ({"symmetry": "frame", "reference": np.zeros((3, 3))}, "positions of all 9 particles"),
        ({"reference": np.zeros((9, 3))}, "goes with symmetry"),
        ({"symmetry": "average 5"}, "one of"),
        ({"symmetry": "mirror"}, "must be none"),
        ({"symmetry": "random 1", "backend": "python"}, "whether there is a thermostat is not seen here"),
    ],
)
def test_refuses(ethanol_file, ethanol, options, words):
    with pytest.raises(UsageError, match=words):
        create_force(ethanol_file, ethanol.numbers, **options)


def test_old_files_and_local_models_say_what_they_offer(tmp_path, local_file, ethanol):
    with pytest.raises(UsageError, match="Export it anew"):
        create_force(write_toy(tmp_path / "old.pt"), ethanol.numbers, symmetry="average 2")
    with pytest.raises(UsageError, match="average, random; got frame"):
        create_force(local_file, ethanol.numbers, symmetry="frame", reference=ethanol.positions)


def test_a_reference_without_a_frame(ethanol_file, ethanol):
    line = np.outer(np.arange(9.0), [0.08, 0, 0])
    force = create_force(ethanol_file, ethanol.numbers, backend="native", symmetry="frame", reference=line)
    with pytest.raises(openmm.OpenMMException, match="linear or nearly so"):
        context_of(system_of(ethanol, force), ethanol.positions)


def test_a_frame_that_is_lost_stops_the_run(ethanol_file, ethanol):
    force = create_force(
        ethanol_file, ethanol.numbers, backend="native", symmetry="frame", reference=ethanol.positions / NM
    )
    context = context_of(system_of(ethanol, force), ethanol.positions * [1.0, 1e-3, 1e-3])
    with pytest.raises(openmm.OpenMMException, match="orientation is not determined"):
        energy_of(context)


def test_random_rotations_want_a_thermostat(ethanol_file, ethanol):
    def context(text: str, integrator: openmm.Integrator, *others: openmm.Force) -> openmm.Context:
        force = create_force(ethanol_file, ethanol.numbers, backend="native", symmetry=text)
        made = openmm.Context(
            system_of(ethanol, force, *others), integrator, openmm.Platform.getPlatformByName("Reference")
        )
        made.setPositions(ethanol.positions / NM)
        return made

    for integrator in (openmm.VerletIntegrator(0.0005), openmm.NoseHooverIntegrator(0.0005)):
        with pytest.raises(openmm.OpenMMException, match="AndersenThermostat is there to take it up"):
            context("random 1", integrator)
    context("random 1 forced", openmm.VerletIntegrator(0.0005))
    context("random 1", openmm.VerletIntegrator(0.0005), openmm.AndersenThermostat(300, 1))
    context("random 1", openmm.NoseHooverIntegrator(300, 1, 0.0005))
    made = context("random 1", openmm.LangevinMiddleIntegrator(300, 1, 1e-9))
    first, again = energy_of(made), energy_of(made)
    made.getIntegrator().step(1)
    # Equal as long as the step is, another rotation at the next.
    assert first == again
    assert abs(energy_of(made) - first) > 1e-6
