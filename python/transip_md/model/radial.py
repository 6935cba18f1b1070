"""Radial bias: distances enter the attention logits through smooth radial basis functions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transip_md.model.config import ModelConfig

#: Centre of the first radial basis function, Angstrom: shorter than any bond.
FIRST_CENTRE = 0.5


class RadialBias(nn.Module):
    """MLP of Gaussian radial basis functions of r_ij: one bias per layer and head, all layers in one pass."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = config.layers
        self.heads = config.heads
        spacing = (config.radial_range - FIRST_CENTRE) / (config.radial_functions - 1)
        self.register_buffer("centres", torch.linspace(FIRST_CENTRE, config.radial_range, config.radial_functions))
        self.inverse_width = 1.0 / spacing
        self.mlp = nn.Sequential(
            nn.Linear(config.radial_functions, config.radial_hidden),
            nn.SiLU(),
            nn.Linear(config.radial_hidden, config.layers * config.heads),
        )

    def forward(self, positions: Tensor) -> Tensor:
        """Bias of every pair.

        Args:
            positions: float64 [B, N, 3], Angstrom.

        Returns:
            [layers, B, heads, N, N] in the weights' dtype, zero where i = j. Displacements are formed in float64.
        """
        batch, count, _ = positions.shape
        displacements = positions[:, None, :, :] - positions[:, :, None, :]
        squared = displacements.to(self.centres.dtype).square().sum(dim=-1)
        self_pair = torch.eye(count, dtype=squared.dtype, device=squared.device)
        # The square root has no derivative at zero: self pairs get a distance of 1 and a bias of 0.
        distances = torch.sqrt(squared + self_pair)
        basis = torch.exp(-0.5 * ((distances[..., None] - self.centres) * self.inverse_width).square())
        bias = self.mlp(basis) * (1.0 - self_pair)[None, :, :, None]
        return bias.view(batch, count, count, self.layers, self.heads).permute(3, 0, 4, 1, 2)
