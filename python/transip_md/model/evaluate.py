"""Energies, forces and latent embeddings of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transip_md.model.batch import Batch
from transip_md.model.network import TransIP


@dataclass
class Prediction:
    """The prediction of a network for a batch; L as in `Batch`.

    Attributes:
        energies: float64 [B], eV.
        forces: float64 [L, 3], eV/Angstrom: -dE/dr, or those of the direct head if the model has one.
        embedding: [L, dim], latent embedding of each atom.
    """

    energies: Tensor
    forces: Tensor
    embedding: Tensor

    def halves(self) -> tuple[Prediction, Prediction]:
        """The two views of a batch made by `Batch.with_view`."""
        parts = [values.chunk(2) for values in (self.energies, self.forces, self.embedding)]
        return Prediction(*(part[0] for part in parts)), Prediction(*(part[1] for part in parts))


def predict(model: TransIP, batch: Batch, *, differentiable: bool = False) -> Prediction:
    """Total energies, forces and latent embeddings.

    Args:
        model: the network.
        batch: structures.
        differentiable: keep the graph, so that a loss can be differentiated (training).

    Returns:
        The prediction, detached unless `differentiable`.
    """
    conservative = model.config.conservative
    with torch.set_grad_enabled(conservative or differentiable):
        positions = batch.positions.detach().requires_grad_(conservative)
        embedding = batch.encode(model, positions)
        # Under mixed precision the blocks run in bfloat16, what energies and forces are read off in float32.
        with torch.autocast(embedding.device.type, enabled=False):
            embedding = embedding.to(model.energy_head[0].weight.dtype)
            energies = batch.sum_atoms(batch.atom_energies(model, embedding, positions))
        if conservative:
            (gradient,) = torch.autograd.grad(energies.sum(), positions, create_graph=differentiable)
            forces = -batch.fold(gradient)
        else:
            with torch.autocast(embedding.device.type, enabled=False):
                forces = model.direct_forces(embedding)
    if not differentiable:
        energies, forces, embedding = energies.detach(), forces.detach(), embedding.detach()
    return Prediction(energies, forces, embedding)
