"""Which weights an optimizer treats alike, and at which rate."""

import torch
from torch import nn

from transip_md.model.config import ModelConfig
from transip_md.model.network import TransIP
from transip_md.training.groups import parameter_groups

RATE = 0.01
SHAPE = ModelConfig(species=(1, 6), dim=16, layers=2, heads=2, feedforward=32)


def test_matrices_of_linear_layers_are_split_from_the_rest():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(5, 16)
            self.layer = nn.Linear(16, 32)
            self.readout = nn.Linear(32, 1)
            self.frozen = nn.Linear(16, 16).requires_grad_(False)
            self.frequencies = nn.Parameter(torch.zeros(4, 8, 3))

    net = Net()
    matrices, others = parameter_groups(net, RATE, muon=True)
    assert [id(one) for one in matrices["params"]] == [id(net.layer.weight)]
    wanted = [net.embedding.weight, net.layer.bias, net.readout.weight, net.readout.bias, net.frequencies]
    assert {id(one) for one in others["params"]} == {id(one) for one in wanted}
    assert (matrices["muon"], others["muon"]) == (True, False)
    assert matrices["lr"] == others["lr"] == RATE


def test_one_group_without_muon_and_without_decay():
    (group,) = parameter_groups(nn.ModuleDict({"model": TransIP(SHAPE)}), RATE, muon=False)
    assert not group["muon"] and group["lr"] == RATE


def test_rates_of_layers():
    """Two blocks and a decay of a half: head 1, second block 1/2, first 1/4, embeddings, phases and radial bias 1/8."""
    net = nn.ModuleDict({"model": TransIP(SHAPE), "transport": nn.Linear(8, 8)})
    rates = {}
    for muon in (False, True):
        groups = parameter_groups(net, RATE, muon, layer_decay=0.5)
        rates[muon] = {id(one): group["lr"] / RATE for group in groups for one in group["params"]}
    assert rates[False] == rates[True]
    wanted = {"transport": 1.0, "energy_": 1.0, "blocks.1": 0.5, "blocks.0": 0.25, "species_": 0.125, "radial": 0.125}
    found = dict.fromkeys(wanted, 0)
    for name, parameter in net.named_parameters():
        for start, rate in wanted.items():
            if name.removeprefix("model.").startswith(start):
                assert rates[True][id(parameter)] == rate, name
                found[start] += 1
    assert all(found.values())
    assert len(rates[True]) == sum(parameter.requires_grad for parameter in net.parameters())
