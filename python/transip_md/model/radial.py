"""Functions of distance: the radial bias of the attention logits and the envelope that closes the cutoff."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transip_md.model.config import FIRST_RADIAL_CENTRE, ModelConfig


class RadialBias(nn.Module):
    """MLP of Gaussian radial basis functions of r_ij: one bias per layer and head, all layers in one pass."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = config.layers
        self.heads = config.heads
        last = config.last_radial_centre()
        spacing = (last - FIRST_RADIAL_CENTRE) / (config.radial_functions - 1)
        self.register_buffer("centres", torch.linspace(FIRST_RADIAL_CENTRE, last, config.radial_functions))
        self.inverse_width = 1.0 / spacing
        self.mlp = nn.Sequential(
            nn.Linear(config.radial_functions, config.radial_hidden),
            nn.SiLU(),
            nn.Linear(config.radial_hidden, config.layers * config.heads),
        )

    def forward(self, distances: Tensor) -> Tensor:
        """Bias of every pair.

        Args:
            distances: [...] in the weights' dtype, Angstrom.

        Returns:
            [..., layers, heads].
        """
        basis = torch.exp(-0.5 * ((distances[..., None] - self.centres) * self.inverse_width).square())
        return self.mlp(basis).unflatten(-1, (self.layers, self.heads))


def padding_apart(positions: Tensor, present: Tensor) -> Tensor:
    """Positions with padding far away, each atom to another position.

    Two atoms at one position have no direction between them, and their derivative is NaN even where it is masked.

    Args:
        positions: float64 [B, N, 3], Angstrom.
        present: bool [B, N], false for padding.
    """
    numbers = torch.arange(1, positions.shape[1] + 1, dtype=positions.dtype, device=positions.device)
    return torch.where(present[:, :, None], positions, 1.0e4 * numbers[None, :, None])


def all_distances(positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Distances between all atoms of each molecule.

    Args:
        positions: float64 [B, N, 3], Angstrom. Displacements are formed in float64.
        dtype: of the result.

    Returns:
        Distances [B, N, N], 1 where i = j (the square root has no derivative at zero), and a mask [N, N] in the same
        dtype, 1 where i differs from j.
    """
    displacements = positions[:, None, :, :] - positions[:, :, None, :]
    squared = displacements.to(dtype).square().sum(dim=-1)
    self_pair = torch.eye(positions.shape[1], dtype=dtype, device=positions.device)
    return torch.sqrt(squared + self_pair), 1.0 - self_pair


def envelope(distances: Tensor, cutoff: float) -> Tensor:
    """Weight of a neighbour: 1 at r = 0, and 0 with two continuous derivatives at the cutoff and beyond.

    The polynomial of DimeNet (Gasteiger et al., arXiv 2003.03123, eq. 8) with p = 6, 1 - 28 x^6 + 48 x^7 - 21 x^8 for
    x = r / cutoff, in the factored form (1 - x)^3 (1 + 3x + 6x^2 + 10x^3 + 15x^4 + 21x^5), which loses no digits near
    x = 1.

    Args:
        distances: Angstrom.
        cutoff: Angstrom.

    Returns:
        The same shape as `distances`.
    """
    x = distances / cutoff
    rest = torch.clamp(1.0 - x, min=0.0)
    return rest * rest * rest * (1.0 + x * (3.0 + x * (6.0 + x * (10.0 + x * (15.0 + x * 21.0)))))
