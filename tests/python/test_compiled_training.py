"""Energies and forces for training by torch.compile: those of the eager network, and so are their derivatives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from networks import crystal, frame_of, make_batch, make_model, random_molecule
from transip_md.common.errors import UsageError
from transip_md.model.batch import Batch, LocalBatch
from transip_md.model.evaluate import Prediction, predict
from transip_md.model.network import TransIP
from transip_md.training.batches import Collate
from transip_md.training.compiled import CompiledPredict
from transip_md.training.fixed_shape import FixedShape
from transip_md.training.run import denormals_as_zero

CUTOFF = 3.0


def local_batch(seeds: tuple[int, ...]) -> LocalBatch:
    batch = Collate(CUTOFF)([frame_of(crystal(seed)) for seed in seeds])
    assert isinstance(batch, LocalBatch)
    return batch


def gradients(model: TransIP, run: Callable[[Batch], Prediction], batch: Batch) -> list[Tensor]:
    """Derivatives of a loss on energies, forces and embeddings with respect to the weights."""
    model.zero_grad()
    prediction = run(batch)
    (prediction.forces.square().sum() + prediction.energies.sum() + prediction.embedding.sum()).backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def graphs_made(
    model: TransIP,
    batches: list[Batch],
    wrapped: Callable[[CompiledPredict], Callable[[Batch], Prediction]] = lambda compiled: compiled,
) -> int:
    """Compare compiled and eager gradients on the batches; how many graphs were compiled.

    Traced by torch.compile, run without its code generator: the graph is what is ours.
    """
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = wrapped(CompiledPredict(model, backend="aot_eager"))
    for batch in batches:
        eager = gradients(model, lambda one: predict(model, one, differentiable=True), batch)
        for one, other in zip(eager, gradients(model, compiled, batch), strict=True):
            assert torch.allclose(one, other, rtol=1e-9, atol=1e-11)
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.long
def test_molecules_of_all_sizes_take_one_graph():
    """Compilation takes minutes: one graph serves all sizes, with padding and without, and one molecule alone."""
    sizes = ((4, 5), (3, 6, 7), (6, 6, 6, 6), (8,))
    batches = [make_batch([random_molecule(n, n) for n in molecules]) for molecules in sizes]
    assert graphs_made(make_model(layers=1), batches) == 1


@pytest.mark.long
def test_local_batches_that_fit_take_one_graph():
    model = make_model(layers=1, cutoff=CUTOFF, short_range="zbl")
    assert graphs_made(model, [local_batch(seeds) for seeds in ((0, 1), (2,), (3, 4))]) == 1


@pytest.mark.long
def test_processes_that_share_gradients_take_one_graph(tmp_path):
    """Torch would split the graph between layers, by the size of what is sent, were it not told to leave it whole."""
    model = make_model(layers=2)

    class Step(torch.nn.Module):
        def __init__(self, compiled: CompiledPredict) -> None:
            super().__init__()
            self.model, self.compiled = model, compiled

        def forward(self, batch: Batch) -> Prediction:
            return self.compiled(batch)

    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        batch = make_batch([random_molecule(4, 4), random_molecule(5, 5)])
        assert graphs_made(model, [batch], lambda one: DistributedDataParallel(Step(one), bucket_cap_mb=0.001)) == 1
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("short_range", [None, "zbl"])
def test_padding_adds_nothing(short_range):
    model = make_model(layers=2, cutoff=CUTOFF, short_range=short_range)
    batch = local_batch((0, 1))
    shape = FixedShape()
    shape.pad(local_batch((2, 3, 4)))
    padded = shape.pad(batch)
    assert len(padded.species) > len(batch.species) and len(padded.owner) - len(padded.species) > 0
    assert padded.neighbours.shape[1] > batch.neighbours.shape[1] and len(padded) > len(batch)
    atoms, expected, found = len(batch.species), predict(model, batch), predict(model, padded)
    assert torch.allclose(found.energies[: len(batch)], expected.energies, rtol=0, atol=1e-10)
    assert torch.allclose(found.forces[:atoms], expected.forces, rtol=0, atol=1e-10)
    assert torch.allclose(found.embedding[:atoms], expected.embedding, rtol=0, atol=1e-10)
    assert float(found.forces[atoms:].abs().max()) < 1e-12


def test_all_batches_that_fit_have_one_shape():
    shape = FixedShape()
    first = shape.pad(local_batch((0, 1, 2)))
    second = shape.pad(local_batch((3,)))
    for name in ("species", "positions", "charge", "energy", "forces", "owner", "neighbours", "structure"):
        assert getattr(first, name).shape == getattr(second, name).shape, name


def test_denormals_are_zero_in_training_alone():
    smallest = torch.tensor([1e-40])
    with denormals_as_zero():
        assert float((smallest * 1.0)[0]) == 0.0
    assert float((smallest * 1.0)[0]) > 0.0


def test_direct_forces_are_refused():
    with pytest.raises(UsageError, match="compile: true is for"):
        CompiledPredict(make_model(force_head="direct"))
