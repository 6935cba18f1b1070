"""A trained model that is given new elements, charges and a repulsion."""

from __future__ import annotations

import pytest
import torch

from transip_md.common.errors import UsageError
from transip_md.model.config import ModelConfig
from transip_md.model.network import TransIP
from transip_md.symmetry.numbered import numbered_rotation
from transip_md.training.widening import widened, widened_shape

NARROW = ModelConfig(species=(6, 1, 8), dim=16, layers=1, heads=2, feedforward=16, radial_hidden=8)


@pytest.fixture
def narrow():
    torch.manual_seed(0)
    model = TransIP(NARROW).eval()
    model.reference_energies.copy_(torch.tensor([-10.0, -1.0, -20.0]))
    return model


def positions_of(count, apart=1.5):
    return apart * torch.arange(count, dtype=torch.float64)[:, None] * torch.from_numpy(numbered_rotation(1, 0))[0]


def energies(model, numbers, charge=0, apart=1.5):
    state = (torch.tensor([charge]), torch.tensor([1]))
    with torch.no_grad():
        return model(torch.tensor([numbers]), positions_of(len(numbers), apart)[None], *state, None)


def test_what_was_known_stays(narrow):
    wide = widened(narrow, widened_shape(NARROW, (9, 16, 1), (-1, 2), (1, 3))).eval()
    assert wide.config.species == (6, 1, 8, 9, 16)
    assert (wide.config.charge, wide.config.multiplicity) == ((-1, 2), (1, 3))
    assert torch.equal(energies(wide, [6, 1, 8]), energies(narrow, [6, 1, 8]))
    # A new charge starts as the nearest that is known.
    assert torch.equal(energies(wide, [6, 1, 8], charge=2), energies(wide, [6, 1, 8]))


def test_new_elements_start_as_those_like_them(narrow):
    wide = widened(narrow, widened_shape(NARROW, (9, 14, 16, 17))).eval()
    alike = {9: 8, 14: 6, 16: 8, 17: 8}
    for new, old in alike.items():
        new_row, old_row = (wide.species_embedding.weight[wide.config.species.index(z)] for z in (new, old))
        assert torch.equal(new_row, old_row)
        assert wide.reference_energies[wide.config.species.index(new)] == 0.0


def test_a_repulsion_is_all_that_changes(narrow):
    wide = widened(narrow, widened_shape(NARROW, short_range="zbl")).eval()
    added = energies(wide, [6, 1, 8], apart=0.5) - energies(narrow, [6, 1, 8], apart=0.5)
    assert wide.short_range is not None
    kinds = wide.species_index[torch.tensor([[6, 1, 8]])]
    wanted = wide.short_range.of_molecules(kinds, positions_of(3, 0.5)[None], None)
    assert wanted.min() > 1.0 and torch.allclose(added, wanted, atol=1e-10)


def test_a_repulsion_keeps_its_end_unless_told():
    new = widened_shape(NARROW, short_range="zbl")
    assert new.short_range_end == 0.75
    old = new.model_copy(update={"short_range_end": 1.0})
    assert widened_shape(old, short_range="zbl").short_range_end == 1.0
    assert widened_shape(old, short_range_end=0.8).short_range_end == 0.8
    short, whole = (TransIP(shape).short_range.covalent_radii for shape in (new, old))
    assert torch.allclose(short, 0.75 * whole, rtol=1e-15)
    # What training starts from is changed, its tables too.
    assert torch.equal(widened(TransIP(old), new).short_range.covalent_radii, short)


def test_new_layers_and_units_add_nothing_and_can_learn(narrow):
    shape = widened_shape(NARROW, layers=3, feedforward=24)
    wide = widened(narrow, shape)
    assert torch.equal(energies(wide.eval(), [6, 1, 8]), energies(narrow, [6, 1, 8]))
    # Every new layer and unit has a gradient where it enters the sums.
    state = (torch.tensor([0]), torch.tensor([1]))
    wide(torch.tensor([[6, 1, 8]]), positions_of(3)[None], *state, None).sum().backward()
    for block in wide.blocks[1:]:
        for output in (block.attention.output, block.feedforward.output):
            assert (output.weight.grad.abs().sum(dim=1) > 0).all() and not output.weight.any()
    added = wide.blocks[0].feedforward.output.weight.grad[:, NARROW.feedforward :]
    assert added.shape[1] == 8 and (added.abs().sum(dim=0) > 0).all()


@pytest.mark.parametrize("smaller", [{"layers": 0}, {"feedforward": 8}])
def test_a_model_does_not_shrink(smaller):
    with pytest.raises(UsageError, match="can grow but not shrink"):
        widened_shape(NARROW, **smaller)


def test_the_first_model_is_left_as_it_is(narrow):
    before = {name: tensor.clone() for name, tensor in narrow.state_dict().items()}
    wide = widened(narrow, widened_shape(NARROW, (9,)))
    with torch.no_grad():
        wide.species_embedding.weight.fill_(7.0)
        wide.energy_head[0].weight.fill_(7.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in narrow.state_dict().items())
