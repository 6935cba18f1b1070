"""Attention with rotary positions: over all atoms of a molecule, or over neighbours within a cutoff."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from transip_md.model.config import ModelConfig
from transip_md.model.rotary import rotate


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
            tokens: [B N, dim], those of one molecule after those of the other.
            cosine: cosines of the rotary phases, [B, N, heads, pairs].
            sine: sines of the rotary phases, [B, N, heads, pairs].
            bias: added to the logits, broadcastable to [B, heads, N, N].

        Returns:
            [B N, dim].
        """
        batch, count = cosine.shape[:2]
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
            # Rotated back by the receiver's phase, so that values too depend on r_j - r_i only.
            mixed = rotate(mixed, cosine, -sine)
        return self.output(mixed.reshape(tokens.shape))

    def local(
        self,
        tokens: Tensor,
        cosine: Tensor,
        sine: Tensor,
        bias: Tensor,
        owner: Tensor,
        neighbours: Tensor,
        weight: Tensor,
    ) -> Tensor:
        """Attend over neighbours and the atom itself.

        Keys and values are rotated once for each row and then gathered. A neighbour's share of the softmax is
        multiplied by its weight, in the numerator and in the denominator, so that an atom that leaves takes nothing
        with it; the atom itself has weight 1 and logit q.k without bias.

        Args:
            tokens: [T, dim].
            cosine: cosines of the rotary phases of every row, [I, heads, pairs].
            sine: sines of the rotary phases of every row, [I, heads, pairs].
            bias: added to the logits, [T, K, heads].
            owner: int64 [I], the token whose features a row carries; owner[t] = t.
            neighbours: int64 [T, K], rows; where `weight` is zero any row will do.
            weight: [T, K], between 0 and 1.

        Returns:
            [T, dim].
        """
        count = tokens.shape[0]
        slots = neighbours.shape[1]
        queries, keys, values = self.query_key_value(tokens).view(count, 3, self.heads, self.width).unbind(dim=1)
        queries = rotate(queries, cosine[:count], sine[:count]) * (1.0 / math.sqrt(self.width))
        keys = rotate(keys.index_select(0, owner), cosine, sine)
        values = values.index_select(0, owner)
        if self.rotary_values:
            values = rotate(values, cosine, sine)
        own_logit = (queries * keys[:count]).sum(dim=-1)[:, None]
        flat = neighbours.reshape(-1)
        # Heads in front, so that each head's products are plain matrix products: [heads, T, K, width].
        their_keys = keys.transpose(0, 1).index_select(1, flat).view(self.heads, count, slots, self.width)
        their_values = values.transpose(0, 1).index_select(1, flat).view(self.heads, count, slots, self.width)
        logits = torch.matmul(their_keys, queries.transpose(0, 1)[..., None]).squeeze(-1).permute(1, 2, 0) + bias
        # What is beyond the cutoff must not set the scale of the exponentials either.
        logits = torch.where((weight > 0.0)[:, :, None], logits, own_logit)
        logits = torch.cat([own_logit, logits], dim=1)
        shares = torch.exp(logits - logits.detach().amax(dim=1, keepdim=True))
        own, others = shares[:, 0], shares[:, 1:] * weight[:, :, None]
        mixed = torch.matmul(others.permute(2, 0, 1)[:, :, None], their_values).squeeze(2).transpose(0, 1)
        total = own + others.sum(dim=1)
        mixed = (mixed + own[..., None] * values[:count]) / total[..., None]
        if self.rotary_values:
            mixed = rotate(mixed, cosine[:count], -sine[:count])
        return self.output(mixed.reshape(tokens.shape))
