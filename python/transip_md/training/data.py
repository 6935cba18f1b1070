"""Labelled structures in memory, as padded tensors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import ase
import numpy as np
import torch
from ase.calculators.calculator import PropertyNotImplementedError

from transip_md.errors import UsageError
from transip_md.model.evaluate import Batch
from transip_md.structures import read_frames


class MoleculeSet:
    """All frames of some files, padded to the largest molecule."""

    def __init__(self, frames: list[ase.Atoms], charge: int = 0, multiplicity: int = 1) -> None:
        """Collect labels.

        Args:
            frames: structures with energy (eV) and forces (eV/Angstrom).
            charge: total charge of every molecule, e.
            multiplicity: spin multiplicity of every molecule.

        Raises:
            UsageError: a frame has no energy or no forces.
        """
        largest = max(len(frame) for frame in frames)
        shape = (len(frames), largest)
        # Padding is a known species, because the network looks it up; its energy is masked out.
        self.species = torch.full(shape, int(frames[0].numbers[0]), dtype=torch.int64)
        self.positions = torch.zeros((*shape, 3), dtype=torch.float64)
        self.forces = torch.zeros((*shape, 3), dtype=torch.float64)
        self.energy = torch.zeros(len(frames), dtype=torch.float64)
        self.present = torch.zeros(shape, dtype=torch.bool)
        self.charge = torch.full((len(frames),), charge, dtype=torch.int64)
        self.multiplicity = torch.full((len(frames),), multiplicity, dtype=torch.int64)
        for row, frame in enumerate(frames):
            count = len(frame)
            try:
                energy, forces = frame.get_potential_energy(), frame.get_forces()
            except (RuntimeError, PropertyNotImplementedError) as error:
                raise UsageError(
                    f"Frame {row} of the training data has no energy or no forces. Expected extended XYZ with "
                    "an `energy` entry and a `forces` column, as `transip-md sample` writes."
                ) from error
            self.species[row, :count] = torch.from_numpy(frame.numbers.astype(np.int64))
            self.positions[row, :count] = torch.from_numpy(frame.positions - frame.positions.mean(axis=0))
            self.forces[row, :count] = torch.from_numpy(forces)
            self.energy[row] = energy
            self.present[row, :count] = True
        self.padded = not bool(self.present.all())

    def __len__(self) -> int:
        return len(self.energy)

    def batch(self, rows: torch.Tensor) -> Batch:
        """The molecules of the given rows, int64 [B]."""
        return Batch(
            species=self.species[rows],
            positions=self.positions[rows],
            present=self.present[rows] if self.padded else None,
            charge=self.charge[rows],
            multiplicity=self.multiplicity[rows],
            energy=self.energy[rows],
            forces=self.forces[rows],
        )

    def batches(self, size: int, rows: torch.Tensor | None = None) -> Iterable[Batch]:
        """The molecules of the given rows (all, if None) in order, `size` at a time."""
        for part in (torch.arange(len(self)) if rows is None else rows).split(size):
            yield self.batch(part)

    def known_species(self) -> tuple[int, ...]:
        """Atomic numbers that occur, sorted."""
        return tuple(int(z) for z in self.species[self.present].unique())

    def fit_references(self, species: tuple[int, ...]) -> torch.Tensor:
        """Per-element reference energies by least squares of total energies on composition.

        Args:
            species: atomic numbers in the order of the result.

        Returns:
            float64 [len(species)], eV; the solution of least norm where compositions do not decide.
        """
        composition = torch.stack([((self.species == z) & self.present).sum(dim=1) for z in species], dim=1).double()
        return torch.from_numpy(np.linalg.lstsq(composition.numpy(), self.energy.numpy(), rcond=None)[0])

    def force_scale(self) -> float:
        """Root mean square of a force component, eV/Angstrom."""
        return float(self.forces[self.present].square().mean().sqrt())

    def closest_pair(self) -> float:
        """Shortest distance between two atoms of one molecule in the set, Angstrom."""
        shortest = float("inf")
        for batch in self.batches(1024):
            distances = torch.cdist(batch.positions, batch.positions)
            distances.diagonal(dim1=1, dim2=2).fill_(float("inf"))
            if batch.present is not None:
                absent = ~batch.present
                distances.masked_fill_(absent[:, None, :] | absent[:, :, None], float("inf"))
            shortest = min(shortest, float(distances.min()))
        return shortest


def load_molecules(paths: list[Path], charge: int = 0, multiplicity: int = 1) -> MoleculeSet:
    """Read labelled files into one set; see `MoleculeSet` for what it raises."""
    frames = [frame for path in paths for frame in read_frames(path)]
    return MoleculeSet(frames, charge, multiplicity)
