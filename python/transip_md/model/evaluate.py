"""Energy and forces of a batch of molecules, forces by automatic differentiation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transip_md.model.network import TransIP


@dataclass
class Batch:
    """Isolated molecules, padded to the size of the largest.

    Attributes:
        species: int64 [B, N], atomic numbers; padding repeats a known species.
        positions: float64 [B, N, 3], Angstrom.
        present: bool [B, N], false for padding; None if nothing is padded.
        charge: int64 [B], e.
        multiplicity: int64 [B].
        energy: float64 [B], eV, labels.
        forces: float64 [B, N, 3], eV/Angstrom, labels, zero for padding.
    """

    species: Tensor
    positions: Tensor
    present: Tensor | None
    charge: Tensor
    multiplicity: Tensor
    energy: Tensor
    forces: Tensor

    def atom_counts(self) -> Tensor:
        """Number of real atoms of each molecule, float64 [B]."""
        if self.present is None:
            return torch.full_like(self.energy, self.species.shape[1])
        return self.present.sum(dim=1).to(self.energy.dtype)

    def rotated(self, rotations: Tensor) -> Batch:
        """The batch with each molecule turned by its own rotation matrix, float64 [B, 3, 3]."""
        turned = dict(self.__dict__)
        turned["positions"] = torch.einsum("bij,bnj->bni", rotations, self.positions)
        turned["forces"] = torch.einsum("bij,bnj->bni", rotations, self.forces)
        return Batch(**turned)


def energy_and_forces(model: TransIP, batch: Batch, *, differentiable: bool = False) -> tuple[Tensor, Tensor]:
    """Total energies and forces -dE/dr.

    Args:
        model: the network.
        batch: molecules.
        differentiable: keep the graph, so that a loss on forces can be differentiated (training).

    Returns:
        Energies float64 [B] in eV and forces float64 [B, N, 3] in eV/Angstrom.
    """
    with torch.enable_grad():
        positions = batch.positions.detach().requires_grad_(True)
        energies = model(batch.species, positions, batch.charge, batch.multiplicity, batch.present).sum(dim=1)
        (gradient,) = torch.autograd.grad(energies.sum(), positions, create_graph=differentiable)
    if not differentiable:
        energies = energies.detach()
    return energies, -gradient
