"""From labelled frames to batches: collation, batches by number of atoms, an order that the step number decides."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler

from transip_md.data.frames import Frame
from transip_md.data.neighbours import find_neighbours
from transip_md.model.batch import Batch, LocalBatch, MoleculeBatch


class Collate:
    """Turns frames into a batch of the layout that the model takes. Picklable: data workers call it."""

    def __init__(self, cutoff: float | None) -> None:
        """Batches for a model with this cutoff, Angstrom; None for all-to-all attention."""
        self.cutoff = cutoff

    def __call__(self, frames: list[Frame]) -> Batch:
        """Collate frames."""
        return _molecules(frames) if self.cutoff is None else _local(frames, self.cutoff)


def _labels(frames: list[Frame]) -> dict[str, torch.Tensor]:
    return {
        "charge": torch.tensor([frame.charge for frame in frames]),
        "multiplicity": torch.tensor([frame.multiplicity for frame in frames]),
        "energy": torch.tensor([frame.energy for frame in frames], dtype=torch.float64),
    }


def _molecules(frames: list[Frame]) -> MoleculeBatch:
    sizes = np.array([len(frame.numbers) for frame in frames])
    shape = (len(frames), sizes.max())
    # Padding is a known species, because the network looks it up; its energy is masked out.
    species = np.full(shape, frames[0].numbers[0], dtype=np.int64)
    positions, forces = np.zeros((*shape, 3)), np.zeros((*shape, 3))
    for row, (frame, size) in enumerate(zip(frames, sizes, strict=True)):
        species[row, :size] = frame.numbers
        positions[row, :size] = frame.positions - frame.positions.mean(axis=0)
        forces[row, :size] = frame.forces
    present = np.arange(shape[1]) < sizes[:, None]
    return MoleculeBatch(
        species=torch.from_numpy(species),
        positions=torch.from_numpy(positions),
        forces=torch.from_numpy(forces),
        present=None if present.all() else torch.from_numpy(present),
        **_labels(frames),
    )


def _local(frames: list[Frame], cutoff: float) -> LocalBatch:
    """Atoms of all frames first, then the images of all frames: an atom is a row of the same number."""
    found = [find_neighbours(frame.positions, frame.cell, frame.periodic, cutoff) for frame in frames]
    sizes = np.array([len(frame.numbers) for frame in frames])
    first_atom = np.cumsum(sizes) - sizes
    images = np.array([len(one.owner) for one in found]) - sizes
    first_image = sizes.sum() + np.cumsum(images) - images
    slots = max(one.neighbours.shape[1] for one in found)
    rows, owners, neighbours = [], [], []
    for frame, one, size, atom, image in zip(frames, found, sizes, first_atom, first_image, strict=True):
        rows.append(one.rows(frame.positions))
        owners.append(one.owner + atom)
        shifted = np.where(one.neighbours < size, one.neighbours + atom, one.neighbours - size + image)
        shifted[one.neighbours < 0] = -1
        neighbours.append(np.pad(shifted, ((0, 0), (0, slots - shifted.shape[1])), constant_values=-1))

    def atoms_first(parts: list[np.ndarray]) -> torch.Tensor:
        heads = [part[:size] for part, size in zip(parts, sizes, strict=True)]
        tails = [part[size:] for part, size in zip(parts, sizes, strict=True)]
        return torch.from_numpy(np.concatenate(heads + tails))

    return LocalBatch(
        species=torch.from_numpy(np.concatenate([frame.numbers for frame in frames])),
        positions=atoms_first(rows),
        forces=torch.from_numpy(np.concatenate([frame.forces for frame in frames])),
        owner=atoms_first(owners),
        neighbours=torch.from_numpy(np.concatenate(neighbours)),
        structure=torch.from_numpy(np.repeat(np.arange(len(frames)), sizes)),
        **_labels(frames),
    )


def by_atoms(atom_counts: np.ndarray, order: np.ndarray, batch_atoms: int) -> list[np.ndarray]:
    """Cut rows into batches of structures of like size.

    Args:
        atom_counts: int [len(set)], atoms of each row of the set.
        order: rows in random order; rows of equal size keep it.
        batch_atoms: largest (structures x atoms of the largest) of a batch; a larger structure makes a batch alone.

    Returns:
        Batches of rows, the smallest structures first.
    """
    batches: list[np.ndarray] = []
    ascending = order[np.argsort(atom_counts[order], kind="stable")]
    start = 0
    for end in range(1, len(ascending) + 1):
        full = end == len(ascending) or (end + 1 - start) * atom_counts[ascending[end]] > batch_atoms
        if full:
            batches.append(ascending[start:end])
            start = end
    return batches


class EndlessBatches(Sampler[list[int]]):
    """Batches of rows without end, each decided by the seed and the number of the batch alone.

    A run that resumes at step s asks for the batches from s on and gets those of the unbroken run. With several
    processes each takes every world-th batch.
    """

    def __init__(
        self,
        rows: np.ndarray,
        atom_counts: np.ndarray,
        *,
        seed: int,
        batch_size: int | None = None,
        batch_atoms: int | None = None,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Make the sampler.

        Args:
            rows: rows of the set to draw from.
            atom_counts: int [len(set)].
            seed: of the order.
            batch_size: structures in a batch, or
            batch_atoms: atoms in a batch.
            start: steps that are done already.
            rank: number of this process.
            world: number of processes.
        """
        self.rows, self.atom_counts, self.seed = rows, atom_counts, seed
        self.batch_size, self.batch_atoms = batch_size, batch_atoms
        self.start, self.rank, self.world = start, rank, world

    def _epoch(self, number: int) -> list[np.ndarray]:
        rng = np.random.default_rng([self.seed, number])
        order = rng.permutation(self.rows)
        if self.batch_atoms is not None:
            batches = by_atoms(self.atom_counts, order, self.batch_atoms)
        else:
            size = min(self.batch_size or 1, len(order))
            batches = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
        return [batches[i] for i in rng.permutation(len(batches))]

    def __iter__(self) -> Iterator[list[int]]:
        """Batches of rows from `start` on."""
        wanted, epoch, first = self.start * self.world + self.rank, 0, 0
        while True:
            batches = self._epoch(epoch)
            while wanted < first + len(batches):
                yield batches[wanted - first].tolist()
                wanted += self.world
            first += len(batches)
            epoch += 1
