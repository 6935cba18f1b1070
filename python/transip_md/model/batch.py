"""Structures as the network takes them: isolated molecules padded side by side, or flat rows with neighbours."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

from transip_md.model.network import TransIP


@dataclass
class Batch:
    """What batches of either layout share.

    Atoms are counted by a leading shape L: [B, N] with padding for molecules, [T] for flat rows.

    Attributes:
        species: int64 [L], atomic numbers; padding repeats a known one.
        positions: float64, Angstrom: [B, N, 3], or rows [I, 3].
        charge: int64 [B], e.
        multiplicity: int64 [B].
        energy: float64 [B], eV, labels.
        forces: float64 [L, 3], eV/Angstrom, labels, zero for padding.
    """

    species: Tensor
    positions: Tensor
    charge: Tensor
    multiplicity: Tensor
    energy: Tensor
    forces: Tensor

    def to(self, device: torch.device) -> Self:
        """The batch on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) if isinstance(v, Tensor) else v for k, v in moved.items()})

    def __len__(self) -> int:
        """Number of structures."""
        return len(self.energy)

    def encode(self, model: TransIP, positions: Tensor) -> Tensor:
        """Latent embeddings [L, dim] for these positions, which have the shape of `self.positions`."""
        raise NotImplementedError

    def atom_energies(self, model: TransIP, embedding: Tensor, positions: Tensor) -> Tensor:
        """Energies of atoms, float64 [L], eV, of what `encode` gave for these positions."""
        raise NotImplementedError

    def sum_atoms(self, values: Tensor) -> Tensor:
        """Sum over the atoms of each structure: [L, ...] -> [B, ...]."""
        raise NotImplementedError

    def per_atom(self, values: Tensor) -> Tensor:
        """Hand each atom the value of its structure: [B, ...] -> [L, ...]."""
        raise NotImplementedError

    def real(self, values: Tensor) -> Tensor:
        """The values of real atoms, without padding: [L, ...] -> [atoms, ...]."""
        raise NotImplementedError

    def fold(self, rows: Tensor) -> Tensor:
        """Add what stands on images to the atoms that own them: the shape of `positions` -> [L, 3]."""
        raise NotImplementedError

    def rotated(self, rotations: Tensor) -> Self:
        """The batch with each structure rotated by its own rotation matrix, float64 [B, 3, 3]; cells rotate along."""
        raise NotImplementedError

    def with_view(self, other: Self) -> Self:
        """One batch of these structures and, after them, of another view of the same batch: what `rotated` gives.

        The shape L doubles: the first half of a result along its first axis is of this view, the second of the other.
        """
        raise NotImplementedError

    def atom_counts(self) -> Tensor:
        """Number of atoms of each structure, float64 [B]."""
        return self.sum_atoms(torch.ones(self.species.shape, dtype=torch.float64, device=self.species.device))


@dataclass
class MoleculeBatch(Batch):
    """Isolated molecules, padded to the size of the largest.

    Attributes:
        present: bool [B, N], false for padding; None if nothing is padded.
    """

    present: Tensor | None = None

    def encode(self, model: TransIP, positions: Tensor) -> Tensor:
        """See `Batch`."""
        return model.encode(self.species, positions, self.charge, self.multiplicity, self.present)

    def atom_energies(self, model: TransIP, embedding: Tensor, positions: Tensor) -> Tensor:
        """See `Batch`."""
        return model.molecule_energies(embedding, self.species, positions, self.charge, self.present)

    def sum_atoms(self, values: Tensor) -> Tensor:
        """See `Batch`."""
        if self.present is not None:
            mask = self.present.view(self.present.shape + (1,) * (values.dim() - 2))
            values = torch.where(mask, values, torch.zeros_like(values))
        return values.sum(dim=1)

    def per_atom(self, values: Tensor) -> Tensor:
        """See `Batch`."""
        return values[:, None].expand(-1, self.species.shape[1], *values.shape[1:])

    def real(self, values: Tensor) -> Tensor:
        """See `Batch`."""
        return values.flatten(0, 1) if self.present is None else values[self.present]

    def fold(self, rows: Tensor) -> Tensor:
        """See `Batch`."""
        return rows

    def rotated(self, rotations: Tensor) -> Self:
        """See `Batch`."""
        return replace(
            self,
            positions=torch.einsum("bij,bnj->bni", rotations, self.positions),
            forces=torch.einsum("bij,bnj->bni", rotations, self.forces),
        )

    def with_view(self, other: Self) -> Self:
        """See `Batch`."""
        return replace(self, **_stacked(self, other, "positions", "present"))


@dataclass
class LocalBatch(Batch):
    """Structures one after another, each with its images and neighbours; see `transip_md.data.neighbours`.

    Attributes:
        owner: int64 [I], the atom whose features a row carries; owner[t] = t.
        neighbours: int64 [T, K], rows, padded with -1.
        structure: int64 [T], the structure that an atom belongs to.
    """

    owner: Tensor
    neighbours: Tensor
    structure: Tensor

    def encode(self, model: TransIP, positions: Tensor) -> Tensor:
        """See `Batch`."""
        charge, multiplicity = self.per_atom(self.charge), self.per_atom(self.multiplicity)
        return model.encode_local(self.species, positions, self.owner, self.neighbours, charge, multiplicity)

    def atom_energies(self, model: TransIP, embedding: Tensor, positions: Tensor) -> Tensor:
        """See `Batch`."""
        return model.local_energies(embedding, self.species, positions, self.owner, self.neighbours)

    def sum_atoms(self, values: Tensor) -> Tensor:
        """See `Batch`."""
        total = torch.zeros((len(self), *values.shape[1:]), dtype=values.dtype, device=values.device)
        return total.index_add(0, self.structure, values)

    def per_atom(self, values: Tensor) -> Tensor:
        """See `Batch`."""
        return values.index_select(0, self.structure)

    def real(self, values: Tensor) -> Tensor:
        """See `Batch`."""
        return values

    def fold(self, rows: Tensor) -> Tensor:
        """See `Batch`."""
        return torch.zeros_like(self.forces).index_add(0, self.owner, rows)

    def rotated(self, rotations: Tensor) -> Self:
        """See `Batch`."""
        of_atoms = rotations.index_select(0, self.structure)
        return replace(
            self,
            positions=torch.einsum("rij,rj->ri", of_atoms.index_select(0, self.owner), self.positions),
            forces=torch.einsum("tij,tj->ti", of_atoms, self.forces),
        )

    def with_view(self, other: Self) -> Self:
        """See `Batch`."""
        atoms, rows = len(self.species), len(self.positions)
        images = rows - atoms

        def joined(one: Tensor, two: Tensor) -> Tensor:
            # The atoms of both views stand before the images of both.
            return torch.cat([one[:atoms], two[:atoms], one[atoms:], two[atoms:]])

        def first(row: Tensor) -> Tensor:
            return torch.where(row < atoms, row, row + atoms)

        def second(row: Tensor) -> Tensor:
            return torch.where(row < atoms, row + atoms, row + atoms + images)

        def slots(moved: Tensor) -> Tensor:
            return torch.where(self.neighbours < 0, self.neighbours, moved)

        return replace(
            self,
            **_stacked(self, other),
            positions=joined(self.positions, other.positions),
            owner=joined(self.owner, self.owner + atoms),
            neighbours=torch.cat([slots(first(self.neighbours)), slots(second(self.neighbours))]),
            structure=torch.cat([self.structure, self.structure + len(self)]),
        )


def _stacked(one: Batch, two: Batch, *more: str) -> dict[str, Tensor]:
    """What is given by atom or by structure in every batch, and more fields unless they are None: one, then two."""
    names = ("species", "charge", "multiplicity", "energy", "forces", *more)
    pairs = {name: (getattr(one, name), getattr(two, name)) for name in names}
    return {name: torch.cat(pair) for name, pair in pairs.items() if pair[0] is not None}
