"""Untrained networks, and structures for them."""

from __future__ import annotations

import ase
import numpy as np
import torch

from transip_md.data.frames import Frame
from transip_md.model.batch import MoleculeBatch
from transip_md.model.config import ModelConfig
from transip_md.model.evaluate import predict
from transip_md.model.network import TransIP

#: A cell with edges shorter than twice the cutoffs that tests use.
TRICLINIC = np.array([[5.0, 0.0, 0.0], [1.5, 4.5, 0.0], [-0.7, 0.9, 4.0]])


def make_model(**changes) -> TransIP:
    torch.manual_seed(0)
    shape = {"species": (1, 6, 8), "dim": 32, "layers": 2, "heads": 2, "feedforward": 32, **changes}
    model = TransIP(ModelConfig(**shape)).double()
    # Random weights give energies of little size; give every term something to do.
    model.energy_scale.fill_(3.0)
    model.reference_energies.copy_(torch.tensor([-1.0, -2.0, -3.0]))
    return model


def make_batch(molecules: list[tuple[list[int], np.ndarray]]) -> MoleculeBatch:
    largest = max(len(numbers) for numbers, _ in molecules)
    shape = (len(molecules), largest)
    species = torch.full(shape, 1)
    positions = torch.zeros(*shape, 3, dtype=torch.float64)
    present = torch.zeros(shape, dtype=torch.bool)
    for row, (numbers, where) in enumerate(molecules):
        species[row, : len(numbers)] = torch.tensor(numbers)
        positions[row, : len(numbers)] = torch.from_numpy(where)
        present[row, : len(numbers)] = True
    zeros = torch.zeros(len(molecules), dtype=torch.int64)
    return MoleculeBatch(
        species=species,
        positions=positions,
        charge=zeros,
        multiplicity=zeros + 1,
        energy=torch.zeros(len(molecules), dtype=torch.float64),
        forces=torch.zeros_like(positions),
        present=None if bool(present.all()) else present,
    )


def energy_and_forces(model: TransIP, batch: MoleculeBatch) -> tuple[torch.Tensor, torch.Tensor]:
    prediction = predict(model, batch)
    return prediction.energies, prediction.forces


def random_molecule(size: int, seed: int) -> tuple[list[int], np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.choice([1, 6, 8], size).tolist(), rng.normal(size=(size, 3)) * 1.5


def frame_of(atoms: ase.Atoms) -> Frame:
    return Frame(
        numbers=atoms.numbers.astype(np.int64),
        positions=atoms.positions,
        cell=atoms.cell.array,
        periodic=atoms.pbc,
        charge=0,
        multiplicity=1,
        energy=0.0,
        forces=np.zeros((len(atoms), 3)),
    )


def crystal(seed: int = 0) -> ase.Atoms:
    """Atoms in a triclinic cell smaller than the cutoff's sphere: atoms see images of themselves."""
    rng = np.random.default_rng(seed)
    grid = np.array([[i, j, k] for i in (0.1, 0.6) for j in (0.2, 0.7) for k in (0.3, 0.8)])
    scaled = grid + rng.normal(scale=0.05, size=grid.shape)
    return ase.Atoms(rng.choice([1, 6, 8], 8), scaled_positions=scaled, cell=TRICLINIC, pbc=True)


def small_checkpoint(**shape):
    """Checkpoint of a small untrained model; `shape` are fields of its configuration."""
    from transip_md.model.checkpoint import Checkpoint

    model = make_model(dim=16, feedforward=16, radial_functions=8, radial_hidden=8, **shape)
    energies = (model.energy_scale, model.reference_energies)
    # As training leaves it: weights in float32, what energies are counted in in float64.
    model.float()
    model.energy_scale, model.reference_energies = energies
    return Checkpoint(model.config, model)
