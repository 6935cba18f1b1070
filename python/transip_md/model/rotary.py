"""Three-dimensional rotary position embedding."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from transip_md.model.config import ModelConfig


class RotaryPhases(nn.Module):
    """Phases w.r of every layer, head and feature pair.

    A query at r_i and a key at r_j, each rotated by its own phase, meet in a dot product that depends on
    w.(r_j - r_i) alone (Su et al., RoFormer, arXiv 2104.09864, eq. 13, with a vector w for three dimensions).
    The vectors w are learnable; they start in random directions with magnitudes log-spaced over
    ``[min_frequency, max_frequency]`` rad/Angstrom.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        pairs = config.dim // config.heads // 2
        magnitude = torch.logspace(
            math.log10(config.min_frequency), math.log10(config.max_frequency), pairs, dtype=torch.float64
        )
        direction = torch.randn(config.layers, config.heads, pairs, 3, dtype=torch.float64)
        direction = direction / direction.norm(dim=-1, keepdim=True)
        self.frequencies = nn.Parameter((direction * magnitude[:, None]).to(torch.get_default_dtype()))

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the phases.

        Args:
            positions: float64 [B, N, 3], Angstrom.

        Returns:
            Two tensors [layers, B, N, heads, pairs] in the weights' dtype. Angles, sines and cosines are formed in
            float64 and cast last, so that float32 weights lose no digits far from the origin.
        """
        angles = torch.einsum("bnx,lhpx->lbnhp", positions, self.frequencies.to(positions.dtype))
        dtype = self.frequencies.dtype
        return torch.cos(angles).to(dtype), torch.sin(angles).to(dtype)

    def of_rows(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The same for flat rows: positions float64 [I, 3], two tensors [layers, I, heads, pairs]."""
        cosine, sine = self.forward(positions[None])
        return cosine.squeeze(1), sine.squeeze(1)


def rotate(features: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate feature pairs (x_p, x_{p + P}) by their phases.

    Args:
        features: [..., 2P].
        cosine: cosines of the phases, broadcastable to [..., P].
        sine: sines of the phases, broadcastable to [..., P].

    Returns:
        Rotated features, [..., 2P].
    """
    first, second = features.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
