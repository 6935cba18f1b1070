"""Virials of single atoms: against torch's derivative by each edge, their sum, symmetries, and ASE's stresses."""

from __future__ import annotations

import ase
import numpy as np
import pytest
import torch

from networks import crystal
from transip_md.common.errors import UsageError
from transip_md.engines.ase import TransIPCalculator
from transip_md.evaluators.library_model import LibraryModel
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.symmetry.request import SymmetryRequest

pytestmark = pytest.mark.usefixtures("library")


@pytest.fixture
def box() -> ase.Atoms:
    atoms = crystal(4).repeat((2, 1, 1))
    atoms.positions += np.random.default_rng(1).normal(scale=0.05, size=atoms.positions.shape)
    return atoms


def arguments(atoms: ase.Atoms) -> dict:
    return {"cell": atoms.cell.array, "periodic": atoms.pbc}


def by_edges(model: ExportedModel, atoms: ase.Atoms) -> np.ndarray:
    """W_i of each atom by torch: every edge gets a row of its own, whose force is the derivative by that edge alone."""
    found = model.neighbourhood(atoms.positions, atoms.cell.array, atoms.pbc)
    rows, count = found.rows(atoms.positions), len(atoms)
    token, slot = np.nonzero(found.neighbours >= 0)
    seen = found.neighbours[token, slot]
    own = np.full_like(found.neighbours, -1)
    own[token, slot] = count + np.arange(len(seen))
    inputs = model.inputs(atoms.numbers, atoms.positions, found, 0, 1)
    positions = torch.from_numpy(np.concatenate([atoms.positions, rows[seen]]))
    owner = torch.from_numpy(np.concatenate([np.arange(count), found.owner[seen]]))
    _, forces = model.run((inputs[0], positions, owner, inputs[3], torch.from_numpy(own), *inputs[5:]))
    along = rows[seen] - atoms.positions[token]
    virials = np.zeros((count, 3, 3))
    np.add.at(virials, token, along[:, :, None] * forces.numpy()[count:, None, :])
    return virials


def test_against_the_derivative_by_each_edge(local_file, box):
    got = LibraryModel(local_file).evaluate(box.numbers, box.positions, virials=True, **arguments(box)).virials
    wanted = by_edges(ExportedModel(local_file, "cpu"), box)
    assert np.abs(wanted).max() > 0.1
    assert np.abs(got - wanted).max() <= 1e-10 * np.abs(wanted).max()


@pytest.mark.parametrize("threads", [1, 3])
def test_they_sum_to_the_virial(local_file, box, threads):
    found = LibraryModel(local_file, threads).evaluate(box.numbers, box.positions, virials=True, **arguments(box))
    assert np.abs(found.virials.sum(axis=0) - found.virial).max() <= 1e-10 * np.abs(found.virial).max()
    plain = LibraryModel(local_file).evaluate(box.numbers, box.positions, **arguments(box))
    assert plain.virials is None
    assert np.abs(plain.forces - found.forces).max() <= 1e-12 * np.abs(plain.forces).max()


@pytest.fixture
def layers() -> ase.Atoms:
    """A buckled layer of oxygen and one of carbon, farther from each other than the model sees through two layers."""
    random = np.random.default_rng(3)
    grid = np.array([[x, y, 0.0] for x in (0.0, 2.0) for y in (0.0, 2.0)])
    both = np.concatenate([grid, np.add(grid, (0.3, 0.1, 12.0))]) + random.normal(scale=0.25, size=(8, 3))
    return ase.Atoms("O4C4", both, cell=[4.0, 4.0, 24.0], pbc=True)


@pytest.mark.parametrize("direction", [0, 1, 2])
def test_a_layer_under_strain(local_file, layers, direction):
    """Atoms of one layer move by strain x height: dE/dstrain is -sum of W_z,direction over that layer alone."""
    model, layer = LibraryModel(local_file), layers.numbers == 8
    height = np.where(layer, layers.positions[:, 2] - layers.positions[layer, 2].mean(), 0.0)

    def strained(strain: float) -> ase.Atoms:
        atoms = layers.copy()
        atoms.positions[:, direction] += strain * height
        return atoms

    def energy(strain: float) -> float:
        atoms = strained(strain)
        return model.evaluate(atoms.numbers, atoms.positions, **arguments(atoms)).energies.sum()

    step = 1e-4
    # Error of fourth order in the step.
    slope = (8.0 * (energy(step) - energy(-step)) - (energy(2 * step) - energy(-2 * step))) / (12.0 * step)
    found = model.evaluate(layers.numbers, layers.positions, virials=True, **arguments(layers)).virials
    assert abs(slope) > 1e-3
    assert abs(-found[layer, 2, direction].sum() - slope) <= 1e-8 * max(1.0, abs(slope))
    moved = strained(0.05)
    after = model.evaluate(moved.numbers, moved.positions, virials=True, **arguments(moved)).virials
    assert np.abs(after[~layer] - found[~layer]).max() <= 1e-12
    assert np.abs(after[layer] - found[layer]).max() > 1e-4


def test_of_a_molecule(molecule_file, bent):
    found = LibraryModel(molecule_file).evaluate(bent.numbers, bent.positions, virials=True)
    assert np.abs(found.virials.sum(axis=0) - found.virial).max() <= 1e-10 * np.abs(found.virial).max()


def test_of_an_average(local_file, box):
    """An average over a group changes with the box as a tensor does."""
    model = LibraryModel(local_file).with_symmetry(SymmetryRequest.parse("average 4"))
    found = model.evaluate(box.numbers, box.positions, virials=True, **arguments(box))
    assert np.abs(found.virials.sum(axis=0) - found.virial).max() <= 1e-10 * np.abs(found.virial).max()
    half = np.diag([-1.0, -1.0, 1.0])
    rotated = model.evaluate(
        box.numbers, box.positions @ half.T, cell=box.cell.array @ half.T, periodic=box.pbc, virials=True
    )
    assert np.abs(rotated.virials - half @ found.virials @ half.T).max() <= 1e-10 * np.abs(found.virials).max()


def test_what_has_none(local_file, molecule_file, box, bent):
    with pytest.raises(UsageError, match="made by native kernels"):
        ExportedModel(local_file, "cpu").evaluate(box.numbers, box.positions, virials=True, **arguments(box))
    frame = LibraryModel(molecule_file).with_symmetry(SymmetryRequest.parse("frame"), bent.numbers, bent.positions)
    with pytest.raises(UsageError, match="symmetry frame has no virials"):
        frame.evaluate(bent.numbers, bent.positions, virials=True)


def test_stresses_of_ase(local_file, box):
    box.calc = TransIPCalculator(local_file, device="cpu", kernels="native")
    stress = box.get_stress()
    assert "stresses" not in box.calc.results
    stresses = box.get_stresses()
    assert stresses.shape == (len(box), 6)
    assert np.abs(stresses.sum(axis=0) - stress).max() <= 1e-10 * np.abs(stress).max()
