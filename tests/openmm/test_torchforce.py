"""The torchforce backend with the real openmmtorch: `make test-torchforce` makes an environment for it."""

from __future__ import annotations

import numpy as np
import pytest

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")

from many_structures import many_structures
from networks import crystal
from openmm_contexts import (
    context_of,
    energy_and_forces,
    openmm_takes,
    require_parity,
    require_parity_of_some,
    require_torchforce,
    system_of,
)
from transip_md.common.tolerances import PARITY
from transip_md.engines.openmm import create_force
from transip_md.evaluators.torch_model import ExportedModel

TOLERANCE = PARITY["float64"]


@pytest.fixture(autouse=True, scope="module")
def openmmtorch():
    require_torchforce()


def structures():
    return [atoms for atoms in many_structures() if openmm_takes(atoms)]


def test_local_model_on_many_structures(local_file):
    model = ExportedModel(local_file, "cpu")
    for atoms in structures():
        made = create_force(local_file, atoms.numbers, periodic=bool(atoms.pbc.all()), backend="torchforce")
        require_parity(context_of(system_of(atoms, made), atoms.positions), model, atoms)


def test_ethanol(ethanol_files, dtype, ethanol):
    made = create_force(ethanol_files[dtype], ethanol.numbers, backend="torchforce")
    context = context_of(system_of(ethanol, made), ethanol.positions)
    require_parity(context, ExportedModel(ethanol_files[dtype], "cpu"), ethanol)


def test_some_of_the_particles(local_file):
    atoms, chosen = crystal(1), [6, 1, 3, 4]
    made = create_force(local_file, atoms.numbers, particles=chosen, periodic=True, backend="torchforce")
    require_parity_of_some(
        context_of(system_of(atoms, made), atoms.positions), ExportedModel(local_file), atoms, chosen
    )


def test_dynamics_and_boxes_that_change(local_file):
    model, atoms = ExportedModel(local_file, "cpu"), crystal(4).repeat(2)
    atoms.set_cell([9.0, 9.5, 10.0])
    barostat = openmm.MonteCarloBarostat(1.0, 300.0, 5)
    barostat.setRandomNumberSeed(1)
    made = create_force(local_file, atoms.numbers, periodic=True, backend="torchforce")
    context = context_of(system_of(atoms, made, barostat), atoms.positions)
    context.setVelocitiesToTemperature(300, 1)
    context.getIntegrator().step(25)
    state = context.getState(positions=True)
    moved = atoms.copy()
    moved.set_cell(np.array(state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(openmm.unit.angstrom)))
    moved.positions = state.getPositions(asNumpy=True).value_in_unit(openmm.unit.angstrom)
    assert abs(moved.get_volume() - atoms.get_volume()) > 1e-3
    require_parity(context, model, moved)


def test_saved_system_needs_no_file(toy_file, tmp_path, ethanol):
    """TorchForce keeps the module itself in the XML."""
    model = tmp_path / "model.pt"
    model.write_bytes(toy_file.read_bytes())
    system = system_of(ethanol, create_force(model, ethanol.numbers, backend="torchforce"))
    first = energy_and_forces(context_of(system, ethanol.positions))
    text = openmm.XmlSerializer.serialize(system)
    model.unlink()
    second = energy_and_forces(context_of(openmm.XmlSerializer.deserialize(text), ethanol.positions))
    assert first[0] == second[0] and np.array_equal(first[1], second[1])


def test_atoms_on_top_of_each_other(toy_file, ethanol):
    context = context_of(
        system_of(ethanol, create_force(toy_file, ethanol.numbers, backend="torchforce")), 0 * ethanol.positions
    )
    with pytest.raises(openmm.OpenMMException, match=r"not finite \(NaN or infinity\)"):
        context.getState(energy=True)
