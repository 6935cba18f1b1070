"""Local attention: neighbours within a cutoff, periodic boxes."""

import ase
import ase.build
import numpy as np
import pytest
import torch

from networks import TRICLINIC, crystal, frame_of, make_batch, make_model, random_molecule
from transip_md.common.errors import UsageError
from transip_md.data.neighbours import find_neighbours
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.exporting.export import export
from transip_md.model.batch import LocalBatch
from transip_md.model.checkpoint import Checkpoint
from transip_md.model.evaluate import predict
from transip_md.model.radial import envelope
from transip_md.model.rotations import random_rotations
from transip_md.training.batches import Collate

CUTOFF = 3.0
VARIANTS = [{}, {"radial_bias": False}, {"rotary_values": False}, {"short_range": "zbl"}]


def evaluate(model, *structures: ase.Atoms):
    prediction = predict(model, Collate(CUTOFF)([frame_of(atoms) for atoms in structures]))
    return prediction.energies.numpy(), prediction.forces.numpy()


@pytest.fixture(params=VARIANTS, ids=str)
def model(request):
    return make_model(cutoff=CUTOFF, **request.param)


def test_neighbours_are_those_of_a_brute_force_search():
    atoms = crystal()
    found = find_neighbours(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF)
    rows = found.rows(atoms.positions)
    images = np.array([[i, j, k] for i in range(-3, 4) for j in range(-3, 4) for k in range(-3, 4)]) @ TRICLINIC
    for i, here in enumerate(atoms.positions):
        wanted = (atoms.positions[None] + images[:, None]).reshape(-1, 3) - here
        wanted = wanted[(np.linalg.norm(wanted, axis=1) < CUTOFF) & (np.linalg.norm(wanted, axis=1) > 1e-9)]
        slots = found.neighbours[i][found.neighbours[i] >= 0]
        got = rows[slots] - here
        assert len(got) == len(wanted)
        assert np.allclose(got[np.lexsort(got.round(6).T)], wanted[np.lexsort(wanted.round(6).T)], atol=1e-12)
    assert (found.owner[: len(atoms)] == np.arange(len(atoms))).all()
    assert not found.shifts[: len(atoms)].any()


@pytest.mark.parametrize("periodic", [(False, False, False), (True, False, True), (False, True, False)])
def test_neighbours_along_some_axes_only(periodic):
    atoms = crystal()
    atoms.pbc = periodic
    found = find_neighbours(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF)
    multiples = np.linalg.solve(TRICLINIC.T, found.shifts.T).T
    assert np.allclose(multiples, multiples.round(), atol=1e-9)
    assert not multiples[:, ~np.array(periodic)].round().any()
    assert (len(found.owner) > len(atoms)) == any(periodic)
    no_cell = np.where(np.array(periodic)[:, None], TRICLINIC, 0.0)
    again = find_neighbours(atoms.positions, no_cell, atoms.pbc, CUTOFF)
    assert (again.neighbours == found.neighbours).all()


def test_a_periodic_axis_needs_a_cell_vector():
    with pytest.raises(UsageError, match="no volume"):
        find_neighbours(np.zeros((1, 3)), np.zeros((3, 3)), np.array([True, True, True]), CUTOFF)
    flat = np.array([[1.0, 0, 0], [2.0, 0, 0], [0, 0, 0]])
    with pytest.raises(UsageError, match="no volume"):
        find_neighbours(np.zeros((1, 3)), flat, np.array([True, True, False]), CUTOFF)


def test_envelope_is_dimenets_polynomial_and_closes_smoothly():
    x = torch.linspace(0, 1, 101, dtype=torch.float64)
    wanted = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
    assert torch.allclose(envelope(2.5 * x, 2.5), wanted, atol=1e-12)
    at = torch.tensor([2.5 - 1e-9, 2.5, 2.6], dtype=torch.float64, requires_grad=True)
    value = envelope(at, 2.5)
    (slope,) = torch.autograd.grad(value.sum(), at, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), at)
    assert value.abs().max() < 1e-20 and slope.abs().max() < 1e-12 and curvature.abs().max() < 1e-6


def test_forces_and_virial_are_derivatives_of_the_energy(model):
    atoms = crystal()
    batch = Collate(CUTOFF)([frame_of(atoms)])
    _, forces = evaluate(model, atoms)
    step = 1e-4
    for atom, axis in ((0, 0), (3, 1), (7, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(evaluate(model, moved)[0][0])
        assert forces[atom, axis] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=1e-6)
    positions = batch.positions.clone().requires_grad_(True)
    energy = batch.atom_energies(model, batch.encode(model, positions), positions).sum()
    (gradient,) = torch.autograd.grad(energy, positions)
    virial = -(batch.positions.T @ gradient).numpy()
    for a, b in ((0, 0), (1, 2), (2, 0)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * step
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(evaluate(model, strained)[0][0])
        assert virial[a, b] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=1e-6)


@pytest.mark.parametrize("weights", ["float64", "float32"])
def test_an_atom_crosses_the_cutoff_unnoticed(weights):
    model = make_model(cutoff=CUTOFF)
    if weights == "float32":
        model = model.float()
        model.energy_scale, model.reference_energies = model.energy_scale.double(), model.reference_energies.double()
    numbers, positions = [8, 1, 1, 6], np.array([[0.0, 0, 0], [0.9, 0, 0], [-0.2, 0.9, 0], [0, 0, CUTOFF]])
    results = []
    for z in (CUTOFF - 5e-6, CUTOFF + 5e-6):
        positions[3, 2] = z
        results.append(evaluate(model, ase.Atoms(numbers, positions)))
    assert abs(results[0][0][0] - results[1][0][0]) < 1e-6
    assert np.abs(results[0][1] - results[1][1]).max() < 1e-6
    # Half an Angstrom further in it is noticed: the test looks at a place where something could happen.
    positions[3, 2] = CUTOFF - 0.8
    assert abs(evaluate(model, ase.Atoms(numbers, positions))[0][0] - results[0][0][0]) > 1e-4


def test_far_apart_systems_add_up(model):
    first, second = (ase.Atoms(*random_molecule(6, seed)) for seed in (1, 2))
    second.positions += [50.0, 0, 0]
    alone = evaluate(model, first)[0][0] + evaluate(model, second)[0][0]
    assert evaluate(model, first + second)[0][0] == pytest.approx(alone, abs=1e-9)


def test_supercell_energy_is_so_many_cells(model):
    atoms = crystal()
    energy, forces = evaluate(model, atoms)
    copies = atoms * (2, 1, 3)
    many, many_forces = evaluate(model, copies)
    assert many[0] == pytest.approx(6 * energy[0], abs=1e-9)
    assert np.allclose(many_forces[: len(atoms)], forces, rtol=0, atol=1e-10)


def test_translations_and_images_change_nothing(model):
    atoms = crystal()
    energy, forces = evaluate(model, atoms)
    moved = atoms.copy()
    moved.positions += [0.3, -11.2, 5.7]
    wrapped = atoms.copy()
    wrapped.positions += np.random.default_rng(0).integers(-3, 4, (8, 3)) @ TRICLINIC
    for other in (moved, wrapped):
        other_energy, other_forces = evaluate(model, other)
        assert other_energy[0] == pytest.approx(energy[0], abs=1e-10)
        assert np.abs(other_forces - forces).max() < 1e-10


def test_batching_changes_nothing(model):
    # Molecules at one position: an empty slot that pointed at another structure would be noticed.
    molecules = [ase.Atoms(*random_molecule(size, seed=size)) for size in (3, 7)]
    structures = [crystal(0), *molecules, crystal(1), *molecules, ase.Atoms("O")]
    energies, forces = evaluate(model, *structures)
    first = 0
    for atoms, energy in zip(structures, energies, strict=True):
        alone, alone_forces = evaluate(model, atoms)
        assert energy == pytest.approx(alone[0], abs=1e-11)
        assert np.allclose(forces[first : first + len(atoms)], alone_forces, rtol=0, atol=1e-11)
        first += len(atoms)


def test_rows_beyond_the_cutoff_have_no_effect(model):
    """Engines hand over neighbours within cutoff and skin, padded in any order."""
    atoms = crystal()
    wide = find_neighbours(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF + 1.0)
    rng = np.random.default_rng(0)
    slots = np.pad(wide.neighbours, ((0, 0), (0, 5)), constant_values=-1)
    slots = rng.permuted(slots, axis=1)
    narrow = Collate(CUTOFF)([frame_of(atoms)])
    batch = LocalBatch(
        species=narrow.species,
        positions=torch.from_numpy(wide.rows(atoms.positions)),
        charge=narrow.charge,
        multiplicity=narrow.multiplicity,
        energy=narrow.energy,
        forces=narrow.forces,
        owner=torch.from_numpy(wide.owner),
        neighbours=torch.from_numpy(slots),
        structure=narrow.structure,
    )
    first, second = predict(model, narrow), predict(model, batch)
    assert float(first.energies) == pytest.approx(float(second.energies), abs=1e-11)
    assert torch.allclose(first.forces, second.forces, rtol=0, atol=1e-11)


def test_rotating_a_batch_turns_cell_and_labels():
    model = make_model(cutoff=CUTOFF)
    atoms, rotation = crystal(), random_rotations(1, torch.Generator().manual_seed(3))
    matrix = rotation[0].numpy()
    by_hand = atoms.copy()
    by_hand.set_cell(atoms.cell.array @ matrix.T)
    by_hand.positions = atoms.positions @ matrix.T
    batch = Collate(CUTOFF)([frame_of(atoms)])
    batch.forces = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 3)))
    rotated = batch.rotated(rotation)
    assert float(predict(model, rotated).energies) == pytest.approx(evaluate(model, by_hand)[0][0], abs=1e-10)
    assert np.allclose(rotated.forces.numpy(), batch.forces.numpy() @ matrix.T, atol=1e-12)


def test_agrees_with_all_to_all_attention_when_the_cutoff_is_far():
    """The same weights by the other code path: with an envelope of 1 everywhere the two attentions are one.

    At 4 Angstrom it is 1 - 3e-11."""
    numbers, positions = random_molecule(6, seed=1)
    shape = {"radial_range": 8.0}
    far, everywhere = make_model(cutoff=400.0, **shape), make_model(**shape)
    everywhere.load_state_dict(far.state_dict())
    wanted = predict(everywhere, make_batch([(numbers, positions)]))
    found = predict(far, Collate(400.0)([frame_of(ase.Atoms(numbers, positions))]))
    assert float(found.energies) == pytest.approx(float(wanted.energies), abs=1e-10)
    assert torch.allclose(found.forces, wanted.forces[0], rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def local_file(tmp_path_factory):
    model = make_model(cutoff=CUTOFF).float()
    model.energy_scale, model.reference_energies = model.energy_scale.double(), model.reference_energies.double()
    path = tmp_path_factory.mktemp("local") / "local.pt"
    export(Checkpoint(model.config, model.eval()), path)
    return path


def test_file_says_that_it_is_local(local_file):
    metadata = ExportedModel(local_file).metadata
    assert metadata.cutoff == CUTOFF and metadata.interaction_range == 2 * CUTOFF and metadata.conservative


def test_calculator_on_a_periodic_structure(local_file):
    from transip_md.engines.ase import TransIPCalculator

    atoms = crystal()
    atoms.calc = TransIPCalculator(local_file)
    step = 1e-4
    forces, stress = atoms.get_forces(), atoms.get_stress()
    for voigt, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * step / 2
            strain[b, a] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            strained.calc = atoms.calc
            energies.append(strained.get_potential_energy())
        derivative = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
        assert stress[voigt] == pytest.approx(derivative, abs=1e-7)
    assert np.abs(forces.sum(axis=0)).max() < 1e-10
    molecule = ase.build.molecule("H2O")
    molecule.calc = atoms.calc
    assert np.isfinite(molecule.get_forces()).all()
    assert "stress" not in molecule.calc.results


def test_no_atoms_and_no_neighbours(local_file):
    model = ExportedModel(local_file)
    empty = model.evaluate(np.zeros(0), np.zeros((0, 3)), cell=TRICLINIC, periodic=np.ones(3, bool))
    assert empty.energies.shape == (0,) and empty.forces.shape == (0, 3)
    alone = model.evaluate([8], np.zeros((1, 3)))
    assert np.isfinite(alone.energies).all() and np.abs(alone.forces).max() < 1e-12


def test_info_and_export_mark_direct_forces(tmp_path):
    from typer.testing import CliRunner

    from transip_md.cli.main import app
    from transip_md.model.checkpoint import save_checkpoint

    model = make_model(force_head="direct").float()
    model.energy_scale, model.reference_energies = model.energy_scale.double(), model.reference_energies.double()
    save_checkpoint(tmp_path / "direct.ckpt", model, {})
    exported = CliRunner().invoke(app, ["export", str(tmp_path / "direct.ckpt"), "-o", str(tmp_path / "direct.pt")])
    assert exported.exit_code == 0 and "not the gradient of the energy" in exported.stdout
    shown = CliRunner().invoke(app, ["info", str(tmp_path / "direct.pt")])
    assert "NOT THE GRADIENT OF THE ENERGY" in shown.stdout


def test_direct_forces_are_said_to_be_none_of_the_gradient(tmp_path):
    from transip_md.engines.ase import TransIPCalculator

    model = make_model(cutoff=CUTOFF, force_head="direct")
    batch = Collate(CUTOFF)([frame_of(crystal())])
    prediction = predict(model, batch, differentiable=True)
    assert prediction.forces.requires_grad
    model = model.float()
    model.energy_scale, model.reference_energies = model.energy_scale.double(), model.reference_energies.double()
    path = tmp_path / "direct.pt"
    assert not export(Checkpoint(model.config, model.eval()), path).conservative
    atoms = crystal()
    with pytest.warns(UserWarning, match="not the gradient of the energy"):
        atoms.calc = TransIPCalculator(path)
    assert np.allclose(atoms.get_forces(), prediction.forces.detach().numpy(), atol=1e-5)
    assert "stress" not in atoms.calc.results
