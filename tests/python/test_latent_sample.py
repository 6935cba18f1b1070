"""Distances from the training set in the latent space: by definition, in every evaluator, in files with and without."""

from __future__ import annotations

import ase
import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from networks import crystal, frame_of, random_molecule
from sampled import checkpoint_with_sample
from transip_md.common.errors import UsageError
from transip_md.common.tolerances import PARITY
from transip_md.evaluators.library_model import LibraryModel
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.exporting.export import export
from transip_md.exporting.recast import file_of_dtype
from transip_md.model.checkpoint import load_checkpoint, save_checkpoint
from transip_md.model.latent_sample import LatentSample
from transip_md.modelfile.metadata import read_metadata
from transip_md.training.batches import Collate


def clouds(atoms: int = 600, dim: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings of three elements with means of their own and one covariance, kinds, and which are held out."""
    rng = np.random.default_rng(0)
    kinds = np.arange(atoms) % 3
    mixing = rng.normal(size=(dim, dim))
    embedding = rng.normal(size=(atoms, dim)) @ mixing + rng.normal(scale=5.0, size=(3, dim))[kinds]
    return embedding, kinds, rng.random(atoms) < 0.5


def test_distances_by_definition():
    embedding, kinds, held_out = clouds()
    sample = LatentSample.of(embedding, kinds, held_out, 3)
    apart = np.concatenate([embedding[kinds == k] - embedding[(kinds == k) & ~held_out].mean(axis=0) for k in range(3)])
    drawn = np.concatenate([~held_out[kinds == k] for k in range(3)])
    white = apart[drawn] @ sample.whitening.double().numpy()
    # The floor of a ten-thousandth of the largest variance is all that is missing of 1.
    assert np.abs(np.linalg.eigvalsh(np.cov(white.T, bias=True)) - 1.0).max() <= 0.02
    found = sample(torch.from_numpy(embedding), torch.from_numpy(kinds)).numpy()
    for kind in range(3):
        here = kinds == kind
        moved = embedding[here] @ sample.whitening.double().numpy() - sample.offset[kind].double().numpy()
        wanted = cdist(moved, sample.atoms[kind].double().numpy()).min(axis=1) / float(sample.scale[kind])
        assert np.abs(found[here] - wanted).max() <= 1e-6
        assert np.mean(found[here & held_out] <= 1.0) == pytest.approx(0.99, abs=0.011)


def test_the_sample_covers():
    """The greedy choice: no two of its atoms are closer than the farthest other atom is to the nearest of them."""
    embedding, kinds, _ = clouds(2000)
    none = np.zeros(len(kinds), dtype=bool)
    sample = LatentSample.of(embedding, kinds, none, 3)
    atoms = sample.atoms[0].double().numpy()
    assert len(atoms) == 256
    moved = embedding[kinds == 0] @ sample.whitening.double().numpy() - sample.offset[0].double().numpy()
    radius = cdist(moved, atoms).min(axis=1).max()
    between = cdist(atoms, atoms) + np.diag(np.full(len(atoms), np.inf))
    # float16 has three digits.
    assert between.min() >= radius - 0.01


def test_few_atoms_and_none():
    embedding, kinds, _ = clouds(30)
    kinds = np.where(kinds == 2, 1, kinds)
    sample = LatentSample.of(embedding, kinds, np.zeros(30, dtype=bool), 3)
    found = sample(torch.from_numpy(embedding), torch.from_numpy(kinds)).numpy()
    assert found.max() <= 0.1, "every atom is in the sample"
    assert sample(torch.from_numpy(embedding[:1]), torch.tensor([2])).item() >= 1000.0, "no atom of the third element"


@pytest.mark.parametrize(("species", "dim"), [(1, 64), (7, 96), (10, 128)])
def test_size(species, dim):
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.arange(species), 300)
    sample = LatentSample.of(rng.normal(size=(len(kinds), dim)), kinds, kinds < 0, species)
    size = sum(buffer.numel() * buffer.element_size() for buffer in sample.buffers())
    assert size <= 200_000 and sample.atoms.shape[1] >= 30


@pytest.fixture(scope="module", params=["molecule", "crystal"])
def case(request):
    shape = {"cutoff": 3.0, "short_range": "zbl"} if request.param == "crystal" else {}
    atoms = crystal(50) if shape else ase.Atoms(*random_molecule(9, 50))
    return checkpoint_with_sample(**shape), atoms


def eager_distances(checkpoint, atoms: ase.Atoms) -> np.ndarray:
    model = checkpoint.model
    batch = Collate(checkpoint.config.cutoff)([frame_of(atoms)])
    with torch.no_grad():
        embedding = batch.real(batch.encode(model, batch.positions))
    return checkpoint.sample(embedding, model.species_index[torch.from_numpy(atoms.numbers)]).numpy()


def box_of(atoms: ase.Atoms) -> dict[str, np.ndarray]:
    return {"cell": atoms.cell.array, "periodic": atoms.pbc} if atoms.pbc.any() else {}


@pytest.mark.usefixtures("library")
def test_every_evaluator(case, tmp_path, dtype):
    checkpoint, atoms = case
    save_checkpoint(tmp_path / "m.ckpt", checkpoint.model, {}, None, checkpoint.sample)
    export(load_checkpoint(tmp_path / "m.ckpt"), tmp_path / "m.pt", dtype)
    wanted = eager_distances(checkpoint, atoms)
    # Weights are float32 in the checkpoint, and the arithmetic of the eager model with them.
    tolerance = PARITY["float32"].force
    for model in (ExportedModel(tmp_path / "m.pt"), LibraryModel(tmp_path / "m.pt")):
        found = model.distances(atoms.numbers, atoms.positions, **box_of(atoms))
        assert np.abs(found - wanted).max() <= tolerance * max(1.0, wanted.max())
        with pytest.raises(UsageError, match="does not know Fe"):
            model.distances([26], np.zeros((1, 3)))
    with_it = model.evaluate(atoms.numbers, atoms.positions, **box_of(atoms))
    checkpoint_without = load_checkpoint(tmp_path / "m.ckpt")
    checkpoint_without.sample = None
    export(checkpoint_without, tmp_path / "plain.pt", dtype)
    plain = LibraryModel(tmp_path / "plain.pt")
    assert np.array_equal(with_it.forces, plain.evaluate(atoms.numbers, atoms.positions, **box_of(atoms)).forces)
    for model in (plain, ExportedModel(tmp_path / "plain.pt")):
        with pytest.raises(UsageError, match=r"has no sample of its training set.*transip-md guard"):
            model.distances(atoms.numbers, atoms.positions, **box_of(atoms))


@pytest.mark.usefixtures("library")
def test_the_two_evaluators_agree_in_float64(case, tmp_path):
    checkpoint, atoms = case
    export(checkpoint, tmp_path / "m.pt")
    one, two = (
        model.distances(atoms.numbers, atoms.positions, **box_of(atoms))
        for model in (ExportedModel(tmp_path / "m.pt"), LibraryModel(tmp_path / "m.pt"))
    )
    assert np.abs(one - two).max() <= PARITY["float64"].force


def test_recast_keeps_the_sample(tmp_path):
    export(checkpoint_with_sample(), tmp_path / "m.pt")
    before, after = (
        read_metadata(file).weights
        for file in (tmp_path / "m.pt", file_of_dtype(tmp_path / "m.pt", "float32", tmp_path))
    )
    for name in ("whitening", "offset", "atoms", "scale"):
        assert before[f"latent_sample.{name}"].sha256 == after[f"latent_sample.{name}"].sha256
