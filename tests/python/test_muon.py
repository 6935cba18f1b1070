"""Muon and AdamW in one optimizer."""

import copy

import pytest
import torch
from torch import nn

from transip_md.training.groups import parameter_groups
from transip_md.training.muon import MuonAdamW, orthogonalised

RATE = 0.01


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def with_gradients(module: nn.Module, generator: torch.Generator) -> None:
    for parameter in module.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_singular_values_become_equal_and_vectors_stay():
    for shape in ((4, 12, 30), (4, 30, 12), (1, 8, 8)):
        matrices = torch.randn(shape, dtype=torch.float64)
        result = orthogonalised(matrices)
        u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
        inside = u.mT @ result @ vh.mT
        values = inside.diagonal(dim1=1, dim2=2)
        assert values.min() > 0.6 and values.max() < 1.3
        assert (inside - torch.diag_embed(values)).abs().max() < 1e-10


def test_first_step_of_a_matrix_follows_the_definition():
    layer = nn.Linear(20, 6, bias=False).double()
    before = layer.weight.detach().clone()
    gradient = torch.randn(6, 20, dtype=torch.float64)
    optimizer = MuonAdamW([{"params": [layer.weight], "muon": True}], lr=RATE, weight_decay=0.1, momentum=0.9)
    layer.weight.grad = gradient.clone()
    optimizer.step()
    # The momentum of the first step is 0.1 g, Nesterov's look ahead 0.1 g + 0.9 (0.1 g): a multiple of g.
    wanted = (1 - RATE * 0.1) * before - RATE * 0.2 * 20**0.5 * orthogonalised(gradient[None])[0]
    assert torch.allclose(layer.weight, wanted, rtol=1e-12, atol=1e-12)


def test_momentum_is_remembered():
    gradients = [torch.randn(5, 7, dtype=torch.float64) for _ in range(3)]
    layer = nn.Linear(7, 5, bias=False).double()
    wanted, average = layer.weight.detach().clone(), torch.zeros(5, 7, dtype=torch.float64)
    optimizer = MuonAdamW([{"params": [layer.weight], "muon": True}], lr=RATE, momentum=0.9)
    for gradient in gradients:
        layer.weight.grad = gradient
        optimizer.step()
        average = 0.9 * average + 0.1 * gradient
        ahead = 0.1 * gradient + 0.9 * average
        wanted = wanted - RATE * 0.2 * 7**0.5 * orthogonalised(ahead[None])[0]
    assert torch.allclose(layer.weight, wanted, rtol=1e-12, atol=1e-12)


def test_other_weights_follow_torchs_adamw():
    ours, theirs = nn.LayerNorm(9), nn.LayerNorm(9)
    optimizer = MuonAdamW([{"params": list(ours.parameters())}], lr=RATE, weight_decay=0.1)
    reference = torch.optim.AdamW(theirs.parameters(), lr=RATE, weight_decay=0.1, betas=(0.9, 0.99))
    one, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    for _ in range(5):
        with_gradients(ours, one)
        with_gradients(theirs, other)
        optimizer.step()
        reference.step()
    for mine, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine, wanted, rtol=1e-6, atol=1e-7)


def test_a_saved_state_goes_on_as_if_never_stopped():
    net = nn.Sequential(nn.Linear(6, 10), nn.SiLU(), nn.Linear(10, 10))
    optimizer = MuonAdamW(parameter_groups(net, RATE, muon=True), lr=RATE)
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        with_gradients(net, generator)
        optimizer.step()
    again = copy.deepcopy(net)
    resumed = MuonAdamW(parameter_groups(again, RATE, muon=True), lr=RATE)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for module, one in ((net, optimizer), (again, resumed)):
        with_gradients(module, torch.Generator().manual_seed(3))
        one.step()
    for mine, wanted in zip(again.parameters(), net.parameters(), strict=True):
        assert torch.equal(mine, wanted)
