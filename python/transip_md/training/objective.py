"""The objective L = w_E L_E + w_F L_F + w_eq L_eq (arXiv 2510.00027)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from transip_md.model.batch import Batch
from transip_md.model.evaluate import Prediction
from transip_md.training.config import EquivarianceConfig, ObjectiveConfig


class Transport(nn.Module):
    """The two-layer network T: embedding of one view and the relative rotation in, embedding of the other view out."""

    def __init__(self, dim: int, hidden: int | None = None) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim + 9, hidden or 2 * dim)
        self.output = nn.Linear(hidden or 2 * dim, dim)

    def forward(self, embedding: Tensor, rotation: Tensor) -> Tensor:
        """Predict the embedding of the rotated view.

        Args:
            embedding: [..., dim], of the view at hand.
            rotation: [..., 3, 3], rotates this view into the other one.

        Returns:
            [..., dim].
        """
        features = torch.cat([embedding, rotation.flatten(-2).to(embedding.dtype)], dim=-1)
        return self.output(nn.functional.silu(self.hidden(features)))


def label_losses(prediction: Prediction, batch: Batch) -> tuple[Tensor, Tensor]:
    """L_E, mean |dE| / N in eV, and L_F, mean length of the force error of an atom in eV/Angstrom."""
    energy = ((prediction.energies - batch.energy).abs() / batch.atom_counts()).mean()
    # The square root has no derivative where a force is exact: a tiny constant keeps it finite.
    lengths = ((prediction.forces - batch.forces).square().sum(dim=-1) + 1e-12).sqrt()
    return energy, batch.real(lengths).mean()


def consistency_losses(view: Prediction, other: Prediction, rotations: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """How far two views of the same structures disagree, in the measures of `label_losses`.

    Args:
        view: the network's prediction for the view at hand.
        other: of the other view.
        rotations: float64 [B, 3, 3], rotate the view at hand into the other one.
        batch: the structures.

    Returns:
        Mean |E(Rx) - E(x)| / N, eV, and the mean length of F(Rx) - R F(x) of an atom, eV/Angstrom.
    """
    rotated = torch.einsum("...ij,...j->...i", batch.per_atom(rotations).to(view.forces.dtype), view.forces)
    return label_losses(other, replace(batch, energy=view.energies, forces=rotated))


def equivariance_loss(
    transport: Transport, view: Tensor, other: Tensor, rotations: Tensor, batch: Batch, config: EquivarianceConfig
) -> Tensor:
    """L_eq: how far T's prediction is from the embedding of the other view.

    Args:
        transport: T.
        view: [L, dim], embedding of each atom in the view at hand; L as in `Batch`.
        other: [L, dim], in the other view.
        rotations: [B, 3, 3], rotate the view at hand into the other one.
        batch: the structures.
        config: which of the forms.

    Returns:
        Scalar: mean squared error of a component, or InfoNCE (van den Oord et al., arXiv 1807.03748, eq. 4) with the
        other structures (or atoms) of the batch as negatives.
    """
    if config.embedding == "pooled":
        counts = batch.atom_counts()[:, None].to(view.dtype)
        source, target = batch.sum_atoms(view) / counts, batch.sum_atoms(other) / counts
    else:
        source, target = batch.real(view), batch.real(other)
        rotations = batch.real(batch.per_atom(rotations))
    if config.stop_gradient:
        target = target.detach()
    predicted = transport(source, rotations)
    if config.normalise:
        predicted, target = (nn.functional.layer_norm(x, x.shape[-1:]) for x in (predicted, target))
    if config.loss == "squared":
        return (predicted - target).square().mean()
    predicted, target = (nn.functional.normalize(x, dim=-1) for x in (predicted, target))
    logits = predicted @ target.T / config.temperature
    return nn.functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def ramp(config: EquivarianceConfig, step: int) -> float:
    """Weight of L_eq at a step: it rises linearly to `weight` over `ramp` steps."""
    return config.weight * (1.0 if config.ramp == 0 else min(1.0, step / config.ramp))


def weighted(objective: ObjectiveConfig, energy: Tensor, force: Tensor) -> Tensor:
    """w_E L_E + w_F L_F."""
    return objective.energy_weight * energy + objective.force_weight * force
