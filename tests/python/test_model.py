import numpy as np
import pydantic
import pytest
import torch

from networks import energy_and_forces, make_batch, make_model, random_molecule
from transip_md.model.config import ModelConfig
from transip_md.model.rotary import rotate
from transip_md.model.rotations import random_rotations

VARIANTS = [{}, {"radial_bias": False}, {"rotary_values": False}, {"coordinates": True}, {"short_range": "zbl"}]


@pytest.mark.parametrize("changes", VARIANTS)
def test_forces_are_the_gradient_of_the_energy(changes):
    model = make_model(**changes)
    numbers, positions = random_molecule(6, seed=1)
    _, forces = energy_and_forces(model, make_batch([(numbers, positions)]))
    step = 3e-5
    for atom in range(6):
        for axis in range(3):
            energies = []
            for sign in (1, -1):
                moved = positions.copy()
                moved[atom, axis] += sign * step
                energies.append(float(energy_and_forces(model, make_batch([(numbers, moved)]))[0]))
            difference = -(energies[0] - energies[1]) / (2 * step)
            assert float(forces[0, atom, axis]) == pytest.approx(difference, abs=1e-6)


@pytest.mark.parametrize("changes", VARIANTS)
def test_translation_changes_nothing(changes):
    model = make_model(**changes)
    numbers, positions = random_molecule(7, seed=2)
    energy, forces = energy_and_forces(model, make_batch([(numbers, positions)]))
    moved_energy, moved_forces = energy_and_forces(
        model, make_batch([(numbers, positions + np.array([3.0, -5.0, 7.0]))])
    )
    assert float(moved_energy) == pytest.approx(float(energy), abs=1e-11)
    assert torch.allclose(moved_forces, forces, atol=1e-11, rtol=0)
    assert forces.sum(dim=1).abs().max() < 1e-11


def test_order_of_atoms_does_not_matter():
    model = make_model()
    numbers, positions = random_molecule(7, seed=4)
    order = np.random.default_rng(0).permutation(7)
    energy, forces = energy_and_forces(model, make_batch([(numbers, positions)]))
    shuffled, shuffled_forces = energy_and_forces(model, make_batch([([numbers[i] for i in order], positions[order])]))
    assert float(shuffled) == pytest.approx(float(energy), abs=1e-11)
    assert torch.allclose(shuffled_forces[0], forces[0, torch.from_numpy(order)], atol=1e-11, rtol=0)


@pytest.mark.parametrize("changes", VARIANTS)
def test_padding_does_not_matter(changes):
    model = make_model(**changes)
    molecules = [random_molecule(size, seed=size) for size in (3, 8, 5)]
    energies, forces = energy_and_forces(model, make_batch(molecules))
    for row, molecule in enumerate(molecules):
        energy, alone = energy_and_forces(model, make_batch([molecule]))
        size = len(molecule[0])
        assert float(energies[row]) == pytest.approx(float(energy), abs=1e-11)
        assert torch.allclose(forces[row, :size], alone[0], atol=1e-11, rtol=0)
        assert not forces[row, size:].any()


def test_every_input_counts():
    model = make_model()
    numbers, positions = random_molecule(5, seed=5)
    energy, _ = energy_and_forces(model, make_batch([(numbers, positions)]))
    rotated, _ = energy_and_forces(model, make_batch([(numbers, positions @ random_rotations(1)[0].numpy().T)]))
    other_numbers = [6 if numbers[0] == 1 else 1, *numbers[1:]]
    other, _ = energy_and_forces(model, make_batch([(other_numbers, positions)]))
    # An untrained model has learned no symmetry yet: a rotation must be seen.
    assert abs(float(rotated - energy)) > 1e-6
    assert abs(float(other - energy)) > 1e-6


def test_float32_weights_keep_their_digits_far_from_the_origin():
    model = make_model().float()
    model.energy_scale = model.energy_scale.double()
    model.reference_energies = model.reference_energies.double()
    phases = model.rotary(torch.tensor([[[1000.0, 0.0, 0.0]]], dtype=torch.float64))
    exact = torch.einsum("x,lhpx->lhp", torch.tensor([1000.0, 0, 0]).double(), model.rotary.frequencies.double())
    assert torch.allclose(phases[0][:, 0, 0].double(), torch.cos(exact), atol=1e-7, rtol=0)


def test_rotate_is_a_rotation_by_the_angle():
    features = torch.tensor([1.0, 0.0], dtype=torch.float64)
    angle = torch.tensor([0.3], dtype=torch.float64)
    rotated = rotate(features, torch.cos(angle), torch.sin(angle))
    assert torch.allclose(rotated, torch.tensor([np.cos(0.3), np.sin(0.3)]), atol=1e-15)


def test_rotations_are_proper_and_uniform():
    rotations = random_rotations(20000, torch.Generator().manual_seed(0))
    identity = torch.eye(3, dtype=torch.float64)
    assert torch.allclose(rotations @ rotations.transpose(1, 2), identity.expand(20000, 3, 3), atol=1e-12)
    assert torch.allclose(torch.linalg.det(rotations), torch.ones(20000, dtype=torch.float64), atol=1e-12)
    # Uniform on SO(3): every entry has mean 0 and mean square 1/3, and the trace has mean 0.
    assert rotations.mean(dim=0).abs().max() < 0.02
    assert (rotations.square().mean(dim=0) - 1 / 3).abs().max() < 0.02


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dim": 30, "heads": 4}, "multiple of 2 x heads"),
        ({"species": (0,)}, "1..118"),
        ({"species": (6, 6)}, "distinct"),
        ({"cutoff": 0.5}, "cutoff"),
        ({"cutoff": 5.0, "coordinates": True}, "all-to-all"),
        ({"force_head": "both"}, "force_head"),
        ({"layerz": 3}, "layerz"),
        ({"charge": (1, 0)}, "smallest, largest"),
        ({"multiplicity": (0, 1)}, "counts from 1"),
        ({"min_frequency": 9.0}, "min_frequency"),
        ({"short_range": "lj"}, "short_range"),
        ({"short_range": "zbl", "force_head": "direct"}, "needs force_head gradient"),
        ({"short_range": "zbl", "short_range_end": 1.5}, "short_range_end"),
        ({"short_range_end": 0.7}, "give `short_range: zbl` too"),
    ],
)
def test_configuration_refuses(changes, words):
    with pytest.raises(pydantic.ValidationError, match=words):
        ModelConfig(**{"species": (1, 6), **changes})
