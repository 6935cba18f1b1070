"""The TransIP network: a plain Transformer over atoms (arXiv 2510.00027).

One implementation serves training, the exported file and the ASE calculator.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from transip_md.model.config import MAX_ATOMIC_NUMBER, ModelConfig
from transip_md.model.radial import RadialBias
from transip_md.model.rotary import RotaryPhases, rotate


class Attention(nn.Module):
    """Multi-head attention with rotary queries and keys, and optionally rotary values."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.width = config.dim // config.heads
        self.rotary_values = config.rotary_values
        self.query_key_value = nn.Linear(config.dim, 3 * config.dim)
        self.output = nn.Linear(config.dim, config.dim)

    def forward(self, tokens: Tensor, cosine: Tensor, sine: Tensor, bias: Tensor) -> Tensor:
        """Attend over all atoms.

        Args:
            tokens: [B, N, dim].
            cosine: cosines of the rotary phases, [B, N, heads, pairs].
            sine: sines of the rotary phases, [B, N, heads, pairs].
            bias: added to the logits, broadcastable to [B, heads, N, N].

        Returns:
            [B, N, dim].
        """
        batch, count, dim = tokens.shape
        qkv = self.query_key_value(tokens).view(batch, count, 3, self.heads, self.width)
        if self.rotary_values:
            rotated = rotate(qkv, cosine[:, :, None], sine[:, :, None])
            values = rotated[:, :, 2]
        else:
            rotated = rotate(qkv[:, :, :2], cosine[:, :, None], sine[:, :, None])
            values = qkv[:, :, 2]
        queries = rotated[:, :, 0].transpose(1, 2)
        keys = rotated[:, :, 1].permute(0, 2, 3, 1)
        logits = torch.matmul(queries * (1.0 / math.sqrt(self.width)), keys) + bias
        mixed = torch.matmul(torch.softmax(logits, dim=-1), values.transpose(1, 2)).transpose(1, 2)
        if self.rotary_values:
            # Turned back by the receiver's phase, so that values too depend on r_j - r_i only.
            mixed = rotate(mixed, cosine, -sine)
        return self.output(mixed.reshape(batch, count, dim))


class FeedForward(nn.Module):
    """SwiGLU feed-forward (Shazeer, arXiv 2002.05202, eq. 6)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_and_value = nn.Linear(config.dim, 2 * config.feedforward)
        self.output = nn.Linear(config.feedforward, config.dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform each token on its own, [B, N, dim] -> [B, N, dim]."""
        gate, value = self.gate_and_value(tokens).chunk(2, dim=-1)
        return self.output(nn.functional.silu(gate) * value)


class Block(nn.Module):
    """Pre-norm Transformer block."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = Attention(config)
        self.feedforward_norm = nn.LayerNorm(config.dim)
        self.feedforward = FeedForward(config)

    def forward(self, tokens: Tensor, cosine: Tensor, sine: Tensor, bias: Tensor) -> Tensor:
        """One block; arguments as for `Attention.forward`."""
        tokens = tokens + self.attention(self.attention_norm(tokens), cosine, sine, bias)
        return tokens + self.feedforward(self.feedforward_norm(tokens))


class TransIP(nn.Module):
    """Energies of atoms from species and positions.

    Token: E_Z[Z] + E_Q[charge] + E_S[multiplicity]. Energy of an atom: scale x MLP(final token) + reference[Z].
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.padding_distance = 1.0e4  # Angstrom, between places of padding
        self.lowest_charge = config.charge[0]
        self.lowest_multiplicity = config.multiplicity[0]
        index = torch.full((MAX_ATOMIC_NUMBER + 1,), -1, dtype=torch.int64)
        index[list(config.species)] = torch.arange(len(config.species))
        self.register_buffer("species_index", index, persistent=False)
        self.species_embedding = nn.Embedding(len(config.species), config.dim)
        self.charge_embedding = nn.Embedding(config.charge[1] - config.charge[0] + 1, config.dim)
        self.multiplicity_embedding = nn.Embedding(config.multiplicity[1] - config.multiplicity[0] + 1, config.dim)
        self.rotary = RotaryPhases(config)
        self.radial: RadialBias | None = RadialBias(config) if config.radial_bias else None
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.energy_norm = nn.LayerNorm(config.dim)
        self.energy_head = nn.Sequential(nn.Linear(config.dim, config.dim), nn.SiLU(), nn.Linear(config.dim, 1))
        # Total energies have more digits than float32 holds, whatever the dtype of the weights.
        self.register_buffer("energy_scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("reference_energies", torch.zeros(len(config.species), dtype=torch.float64))

    def forward(
        self, species: Tensor, positions: Tensor, charge: Tensor, multiplicity: Tensor, present: Tensor | None
    ) -> Tensor:
        """Energy of every atom of a batch of isolated molecules.

        Args:
            species: int64 [B, N], atomic numbers.
            positions: float64 [B, N, 3], Angstrom.
            charge: int64 [B], total charge of each molecule, e.
            multiplicity: int64 [B], spin multiplicity of each molecule.
            present: bool [B, N], false for padding; None if there is none.

        Returns:
            float64 [B, N], eV; zero for padding.
        """
        index = self.species_index[species]
        tokens = (
            self.species_embedding(index)
            + self.charge_embedding(charge - self.lowest_charge)[:, None]
            + self.multiplicity_embedding(multiplicity - self.lowest_multiplicity)[:, None]
        )
        batch, count = species.shape
        if present is not None:
            # Padding goes far away, each to a place of its own: two atoms in one place have no direction between them,
            # and their derivative is not a number even where it is masked.
            apart = self.padding_distance * torch.arange(1, count + 1, dtype=positions.dtype, device=positions.device)
            positions = torch.where(present[:, :, None], positions, apart[None, :, None])
        cosine, sine = self.rotary(positions)
        bias = torch.zeros((1, 1, 1, 1, 1), dtype=tokens.dtype, device=tokens.device)
        if self.radial is not None:
            bias = self.radial(positions)
        if present is not None:
            absent = torch.zeros((batch, count), dtype=tokens.dtype, device=tokens.device)
            absent = absent.masked_fill(~present, float("-inf"))
            bias = bias + absent[None, :, None, None, :]
        bias = bias.expand(len(self.blocks), -1, -1, -1, -1)
        for layer, block in enumerate(self.blocks):
            tokens = block(tokens, cosine[layer], sine[layer], bias[layer])
        raw = self.energy_head(self.energy_norm(tokens)).squeeze(-1)
        energies = raw.to(torch.float64) * self.energy_scale + self.reference_energies[index]
        if present is not None:
            energies = torch.where(present, energies, torch.zeros_like(energies))
        return energies

    def parameter_count(self) -> int:
        """Number of trainable weights."""
        return sum(p.numel() for p in self.parameters())
