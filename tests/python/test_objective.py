from dataclasses import replace

import numpy as np
import pytest
import torch

from networks import crystal, frame_of, make_batch, make_model, random_molecule
from transip_md.model.batch import MoleculeBatch
from transip_md.model.evaluate import Prediction, predict
from transip_md.model.rotations import random_rotations
from transip_md.training.batches import Collate
from transip_md.training.config import EquivarianceConfig
from transip_md.training.objective import Transport, consistency_losses, equivariance_loss, label_losses, ramp


def test_label_losses_by_hand():
    batch = make_batch([random_molecule(3, 1), random_molecule(5, 2)])
    batch.energy = torch.tensor([1.0, -2.0], dtype=torch.float64)
    rng = np.random.default_rng(0)
    batch.forces = torch.from_numpy(rng.normal(size=(2, 5, 3)))
    batch.forces[0, 3:] = 0
    forces = torch.from_numpy(rng.normal(size=(2, 5, 3)))
    energy, force = label_losses(
        Prediction(torch.tensor([1.3, -2.5], dtype=torch.float64), forces, torch.empty(0)), batch
    )
    assert float(energy) == pytest.approx((0.3 / 3 + 0.5 / 5) / 2)
    lengths = np.linalg.norm((forces - batch.forces).numpy(), axis=-1)
    assert float(force) == pytest.approx(np.concatenate([lengths[0, :3], lengths[1]]).mean())


class Exact(torch.nn.Module):
    """Moves embeddings that are known to rotate like vectors."""

    def forward(self, embedding, rotation):
        return torch.einsum("...ij,...j->...i", rotation.to(embedding.dtype), embedding)


def views(on: str):
    """Embeddings of three numbers an atom that rotate like vectors, in two views; the second molecule is padded."""
    batch = make_batch([random_molecule(4, 1), random_molecule(3, 2), random_molecule(4, 3)])
    rotations = random_rotations(3, torch.Generator().manual_seed(1))
    view = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 4, 3)))
    other = torch.einsum("bij,bnj->bni", rotations, view)
    # What stands on padding is of no meaning and must not count.
    view[1, 3], other[1, 3] = 1e6, -1e6
    return batch, rotations, view, other


@pytest.mark.parametrize("on", ["pooled", "atoms"])
@pytest.mark.parametrize("normalise", [False, True])
def test_a_perfect_transport_has_no_squared_error(on, normalise):
    batch, rotations, view, other = views(on)
    config = EquivarianceConfig(weight=1.0, embedding=on, loss="squared", normalise=normalise)
    loss = equivariance_loss(Exact(), view, other, rotations, batch, config)
    wrong = equivariance_loss(Exact(), view, other, rotations.transpose(1, 2), batch, config)
    assert float(loss) < 1e-10 and float(wrong) > 0.1


def test_squared_error_by_hand():
    batch, rotations, view, other = views("pooled")
    config = EquivarianceConfig(weight=1.0, embedding="pooled", loss="squared", normalise=False)
    sizes = [4, 3, 4]
    means = [view[b, :n].mean(dim=0) for b, n in enumerate(sizes)]
    targets = [other[b, :n].mean(dim=0) + 0.5 for b, n in enumerate(sizes)]
    shifted = other + 0.5
    shifted[1, 3] = 1e6
    loss = equivariance_loss(Exact(), view, shifted, rotations, batch, config)
    wanted = [(rotations[b] @ means[b] - targets[b]).square() for b in range(3)]
    assert float(loss) == pytest.approx(float(torch.cat(wanted).mean()))


@pytest.mark.parametrize("on", ["pooled", "atoms"])
def test_contrastive_loss_by_hand(on):
    batch, rotations, view, other = views(on)
    config = EquivarianceConfig(weight=1.0, embedding=on, loss="contrastive", temperature=0.5, normalise=False)
    loss = float(equivariance_loss(Exact(), view, other, rotations, batch, config))
    sizes = [4, 3, 4]
    if on == "pooled":
        predicted = torch.stack([rotations[b] @ view[b, :n].mean(dim=0) for b, n in enumerate(sizes)])
        target = torch.stack([other[b, :n].mean(dim=0) for b, n in enumerate(sizes)])
    else:
        predicted = torch.cat([view[b, :n] @ rotations[b].T for b, n in enumerate(sizes)])
        target = torch.cat([other[b, :n] for b, n in enumerate(sizes)])
    total = 0.0
    for i in range(len(target)):
        cosines = torch.nn.functional.cosine_similarity(predicted[i], target) / 0.5
        total -= float(cosines[i] - torch.logsumexp(cosines, 0))
    assert loss == pytest.approx(total / len(target))


def test_stop_gradient_leaves_the_target_alone():
    batch, rotations, view, other = views("atoms")
    transport = Transport(3).double()
    for stop, wanted in ((True, True), (False, False)):
        source, target = view.clone().requires_grad_(True), other.clone().requires_grad_(True)
        config = EquivarianceConfig(weight=1.0, embedding="atoms", loss="squared", stop_gradient=stop)
        equivariance_loss(transport, source, target, rotations, batch, config).backward()
        assert source.grad.abs().max() > 0
        assert (target.grad is None) == wanted


def test_ramp():
    config = EquivarianceConfig(weight=2.0, ramp=10)
    assert [ramp(config, step) for step in (0, 5, 10, 99)] == [0.0, 1.0, 2.0, 2.0]
    assert ramp(EquivarianceConfig(weight=2.0), 0) == 2.0


@pytest.mark.parametrize("cutoff", [None, 3.0])
def test_the_latent_loss_lowers_the_latent_error(cutoff):
    """Trained on nothing else, T and the model learn to rotate embeddings of molecules and of crystals."""
    torch.manual_seed(0)
    model = make_model(cutoff=cutoff).float()
    model.energy_scale, model.reference_energies = model.energy_scale.double(), model.reference_energies.double()
    batch = make_batch([random_molecule(5, seed) for seed in range(4)])
    if cutoff is not None:
        batch = Collate(cutoff)([frame_of(crystal(seed)) for seed in range(4)])
    transport = Transport(model.config.dim)
    config = EquivarianceConfig(weight=1.0, embedding="atoms", loss="squared")
    optimizer = torch.optim.Adam([*model.parameters(), *transport.parameters()], lr=3e-3)
    generator, losses = torch.Generator().manual_seed(0), []
    for _ in range(60):
        view = batch.rotated(random_rotations(4, generator))
        relative = random_rotations(4, generator)
        other = view.rotated(relative)
        embeddings = (view.encode(model, view.positions), other.encode(model, other.positions))
        loss = equivariance_loss(transport, *embeddings, relative, view, config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.3 * losses[0]


def test_rotations_enter_as_they_turn_the_structures():
    """T is told the rotation that takes this view into the other one, not its inverse."""
    batch = make_batch([random_molecule(4, 1)])
    assert isinstance(batch, MoleculeBatch)
    first, relative = random_rotations(2, torch.Generator().manual_seed(5)).split(1)
    view = batch.rotated(first)
    other = view.rotated(relative)
    assert torch.allclose(other.positions[0], view.positions[0] @ relative[0].T, atol=1e-12)
    assert predict(make_model(), other).energies.shape == (1,)


def two_views(cutoff: float | None):
    """Three structures of several sizes, a view of them, and the rotations between."""
    if cutoff is None:
        batch = make_batch([random_molecule(n, seed) for seed, n in enumerate((5, 3, 6))])
    else:
        batch = Collate(cutoff)([frame_of(crystal(seed)) for seed in range(3)])
    rotations = random_rotations(3, torch.Generator().manual_seed(3))
    return batch, batch.rotated(rotations), rotations


@pytest.mark.parametrize("cutoff", [None, 3.0])
def test_views_in_one_batch_are_the_views(cutoff):
    batch, other, _ = two_views(cutoff)
    model = make_model(cutoff=cutoff)
    together = predict(model, batch.with_view(other)).halves()
    for half, alone in zip(together, (predict(model, batch), predict(model, other)), strict=True):
        assert torch.allclose(half.energies, alone.energies, rtol=1e-12, atol=1e-12)
        for values, wanted in ((half.forces, alone.forces), (half.embedding, alone.embedding)):
            assert values.shape == wanted.shape
            assert torch.allclose(batch.real(values), batch.real(wanted), rtol=1e-12, atol=1e-12)
    assert torch.equal(batch.with_view(other).energy, torch.cat([batch.energy, other.energy]))
    assert torch.equal(batch.with_view(other).forces, torch.cat([batch.forces, other.forces]))


@pytest.mark.parametrize("cutoff", [None, 3.0])
def test_consistency_by_hand(cutoff):
    batch, other, rotations = two_views(cutoff)
    model = make_model(cutoff=cutoff)
    here, there = predict(model, batch), predict(model, other)
    energy, force = consistency_losses(here, there, rotations, batch)
    counts = batch.atom_counts()
    assert float(energy) == pytest.approx(float(((here.energies - there.energies).abs() / counts).mean()))
    rotated = replace(batch, forces=here.forces).rotated(rotations).forces
    lengths = batch.real(rotated - there.forces).norm(dim=-1)
    assert float(force) == pytest.approx(float(lengths.mean()), rel=1e-6)
    assert float(force) > 1e-3
    # A network of forces that do rotate along, and one energy.
    energy, force = consistency_losses(here, Prediction(here.energies, rotated, there.embedding), rotations, batch)
    assert float(energy) == 0 and float(force) < 2e-6
