"""Padding of local batches to one shape, so that a network that is compiled for this shape takes all of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from transip_md.model.batch import LocalBatch

#: Multiples that sizes are rounded up to.
ATOMS, IMAGES, SLOTS, STRUCTURES = 64, 1024, 8, 256


class FixedShape:
    """The shape of the batches so far, which grows when one comes that does not fit."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self.atoms = self.images = self.slots = self.structures = 0

    def pad(self, batch: LocalBatch) -> LocalBatch:
        """The batch with atoms, images, slots of neighbours and structures added up to the shape.

        Atoms that are added have no neighbours and belong to a structure of their own, behind the others: the
        energies, forces and embeddings of the real ones are the first, and what they are.
        """
        atoms, slots = batch.neighbours.shape
        images, structures = len(batch.owner) - atoms, len(batch)
        self.atoms = max(self.atoms, _rounded(atoms, ATOMS))
        self.images = max(self.images, _rounded(images, IMAGES))
        self.slots = max(self.slots, _rounded(slots, SLOTS))
        self.structures = max(self.structures, _rounded(structures + 1, STRUCTURES))
        more_atoms, more_images = self.atoms - atoms, self.images - images

        def more(values: Tensor, count: int, fill: Tensor) -> Tensor:
            return torch.cat([values, fill.expand(count, *values.shape[1:])])

        def rows(values: Tensor, fill: Tensor) -> Tensor:
            head, tail = more(values[:atoms], more_atoms, fill), more(values[atoms:], more_images, values[:1])
            return torch.cat([head, tail])

        neighbours = torch.where(batch.neighbours < atoms, batch.neighbours, batch.neighbours + more_atoms)
        last = torch.tensor(self.structures - 1, device=batch.structure.device)
        by_structure = {
            name: more(values, self.structures - structures, values[:1])
            for name, values in (
                ("charge", batch.charge),
                ("multiplicity", batch.multiplicity),
                ("energy", batch.energy),
            )
        }
        return replace(
            batch,
            **by_structure,
            species=more(batch.species, more_atoms, batch.species[:1]),
            positions=rows(batch.positions, batch.positions[:1]),
            forces=more(batch.forces, more_atoms, batch.forces[:1]),
            owner=rows(batch.owner, torch.arange(atoms, self.atoms, device=batch.owner.device)),
            neighbours=pad(neighbours, (0, self.slots - slots, 0, more_atoms), value=-1),
            structure=more(batch.structure, more_atoms, last),
        )


def _rounded(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
