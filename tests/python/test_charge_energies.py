"""Reference energies of total charges, which the atoms of a molecule share."""

from __future__ import annotations

import ase
import ase.io
import numpy as np
import pydantic
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator

from networks import energy_and_forces, make_batch, make_model, random_molecule
from transip_md.data.frames import fit_references, open_frames
from transip_md.exporting.export import metadata_of
from transip_md.model.checkpoint import Checkpoint
from transip_md.model.config import ModelConfig
from transip_md.model.network import TransIP
from transip_md.training.widening import widened, widened_shape

#: eV, of charges -1, 0 and 1, unlike the energies of the elements.
ENERGIES = [-3.5, 0.0, 11.25]
SHAPE = {"charge": (-1, 1), "charge_energies": True}


def charged_model() -> TransIP:
    model = make_model(**SHAPE)
    model.charge_energies.copy_(torch.tensor(ENERGIES))
    return model


@pytest.mark.parametrize("sizes", [(5,), (3, 8, 5)], ids=["alone", "padded"])
def test_energy_of_a_molecule_has_that_of_its_charge(sizes):
    batch = make_batch([random_molecule(size, seed=size) for size in sizes])
    batch.charge[:] = torch.tensor([1, -1, 0][: len(sizes)])
    model = charged_model()
    with_it, forces = energy_and_forces(model, batch)
    model.charge_energies.zero_()
    without, same_forces = energy_and_forces(model, batch)
    wanted = torch.tensor(ENERGIES, dtype=torch.float64)[batch.charge + 1]
    assert torch.allclose(with_it - without, wanted, atol=1e-12)
    assert torch.equal(forces, same_forces)


def test_a_model_with_a_cutoff_has_none():
    with pytest.raises(pydantic.ValidationError, match="charge_energies need an all-to-all model"):
        ModelConfig(species=(1, 8), cutoff=4.0, charge_energies=True)


def test_files_name_them_only_where_they_are():
    def architecture(model: TransIP) -> dict:
        return metadata_of(Checkpoint(model.config, model), "float64").architecture

    assert architecture(charged_model())["charge_energies"] is True
    # Readers of before know no such key.
    assert "charge_energies" not in architecture(make_model(charge=(-1, 1)))


def compounds(path, count=40, seed=0):
    """Frames whose energy is that of their elements and their charge."""
    rng = np.random.default_rng(seed)
    elements = {1: -13.6, 6: -1027.25, 8: -2041.75}
    frames = []
    for number in range(count):
        atoms = ase.Atoms(rng.choice(list(elements), rng.integers(1, 12)))
        atoms.positions = rng.uniform(0, 8, (len(atoms), 3))
        atoms.info["charge"] = number % 3 - 1
        energy = sum(elements[z] for z in atoms.numbers) + ENERGIES[number % 3]
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((len(atoms), 3)))
        frames.append(atoms)
    ase.io.write(path, frames)
    return open_frames([path])


def test_they_are_fitted_with_those_of_the_elements(tmp_path):
    frames = compounds(tmp_path / "a.extxyz")
    elements = np.array([-13.6, -1027.25, -2041.75])
    fitted = fit_references(frames, (1, 6, 8), charges=(-1, 1))
    assert np.allclose(fitted, [*elements, -3.5, 11.25], atol=1e-7, rtol=0)
    given = elements + np.array([0.5, 0.0, 0.0])
    fitted = fit_references(frames, (1, 6, 8), charges=(-1, 1), given=given)
    assert np.array_equal(fitted[:3], given)
    # What is given is wrong by half an eV for each hydrogen, and the charges take what they can.
    assert abs(fitted[3] + 3.5) > 0.1


def test_fine_tuning_adds_them():
    shape = ModelConfig(species=(1, 8), dim=16, heads=2, layers=1, charge=(0, 1))
    torch.manual_seed(0)
    narrow = TransIP(shape).double()
    wide = widened(narrow, widened_shape(shape, charge=(-1, 1), charge_energies=True)).double()
    assert wide.charge_energies.tolist() == [0.0, 0.0, 0.0]
    numbers, positions = random_molecule(4, seed=1)
    batch = make_batch([([1 if z == 6 else z for z in numbers], positions)])
    assert torch.allclose(energy_and_forces(wide, batch)[0], energy_and_forces(narrow, batch)[0], atol=1e-12)
    wide.charge_energies.copy_(torch.tensor(ENERGIES))
    wider = widened(wide, widened_shape(wide.config, charge=(-2, 2)))
    assert wider.charge_energies.tolist() == [0.0, *ENERGIES, 0.0]
