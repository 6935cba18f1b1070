"""The TransIP network: a plain Transformer over atoms (arXiv 2510.00027).

One implementation serves training, the exported file and the ASE calculator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transip_md.model.attention import Attention
from transip_md.model.config import MAX_ATOMIC_NUMBER, ModelConfig
from transip_md.model.radial import RadialBias, all_distances, envelope, padding_apart
from transip_md.model.rotary import RotaryPhases
from transip_md.model.short_range import ZieglerBiersackLittmark


class FeedForward(nn.Module):
    """SwiGLU feed-forward (Shazeer, arXiv 2002.05202, eq. 6)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_and_value = nn.Linear(config.dim, 2 * config.feedforward)
        self.output = nn.Linear(config.feedforward, config.dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform each token on its own, [tokens, dim] -> [tokens, dim]."""
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
        """One block over all atoms; arguments as for `Attention.forward`."""
        tokens = tokens + self.attention(self.attention_norm(tokens), cosine, sine, bias)
        return tokens + self.feedforward(self.feedforward_norm(tokens))

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
        """One block over neighbours; arguments as for `Attention.local`."""
        normed = self.attention_norm(tokens)
        tokens = tokens + self.attention.local(normed, cosine, sine, bias, owner, neighbours, weight)
        return tokens + self.feedforward(self.feedforward_norm(tokens))


class TransIP(nn.Module):
    """Energies of atoms from species and positions.

    Token: E_Z[Z] + E_Q[charge] + E_S[multiplicity]. Blocks turn tokens into the latent embedding, by `encode` (all
    atoms of isolated molecules) or `encode_local` (neighbours within the cutoff). Energy of an atom:
    scale x MLP(embedding) + reference[Z], its share of the charge's reference energy if the model has them, and half of
    the repulsion of each of its pairs if the model has one.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.cutoff = 0.0 if config.cutoff is None else config.cutoff
        self.lowest_charge = config.charge[0]
        self.lowest_multiplicity = config.multiplicity[0]
        index = torch.full((MAX_ATOMIC_NUMBER + 1,), -1, dtype=torch.int64)
        index[list(config.species)] = torch.arange(len(config.species))
        self.register_buffer("species_index", index, persistent=False)
        self.species_embedding = nn.Embedding(len(config.species), config.dim)
        charges = config.charge[1] - config.charge[0] + 1
        self.charge_embedding = nn.Embedding(charges, config.dim)
        self.multiplicity_embedding = nn.Embedding(config.multiplicity[1] - config.multiplicity[0] + 1, config.dim)
        self.coordinates: nn.Linear | None = nn.Linear(3, config.dim, bias=False) if config.coordinates else None
        self.rotary = RotaryPhases(config)
        self.radial: RadialBias | None = RadialBias(config) if config.radial_bias else None
        self.short_range: ZieglerBiersackLittmark | None = (
            ZieglerBiersackLittmark(config) if config.short_range == "zbl" else None
        )
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.energy_norm = nn.LayerNorm(config.dim)
        self.energy_head = nn.Sequential(nn.Linear(config.dim, config.dim), nn.SiLU(), nn.Linear(config.dim, 1))
        self.force_head: nn.Sequential | None = None
        if not config.conservative:
            self.force_head = nn.Sequential(nn.Linear(config.dim, config.dim), nn.SiLU(), nn.Linear(config.dim, 3))
        # Total energies have more digits than float32 holds, whatever the dtype of the weights.
        self.register_buffer("energy_scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("reference_energies", torch.zeros(len(config.species), dtype=torch.float64))
        self.register_buffer(
            "charge_energies", torch.zeros(charges, dtype=torch.float64) if config.charge_energies else None
        )

    def embed(self, species: Tensor, charge: Tensor, multiplicity: Tensor) -> Tensor:
        """Tokens before the first block.

        Args:
            species: int64 [...], atomic numbers.
            charge: int64, broadcastable to [...], total charge of the atom's system, e.
            multiplicity: int64, broadcastable to [...], its spin multiplicity.

        Returns:
            [..., dim].
        """
        return (
            self.species_embedding(self.species_index[species])
            + self.charge_embedding(charge - self.lowest_charge)
            + self.multiplicity_embedding(multiplicity - self.lowest_multiplicity)
        )

    def encode(
        self, species: Tensor, positions: Tensor, charge: Tensor, multiplicity: Tensor, present: Tensor | None
    ) -> Tensor:
        """Latent embedding of every atom of a batch of isolated molecules; attention goes over all atoms.

        Args:
            species: int64 [B, N], atomic numbers; padding repeats a known one.
            positions: float64 [B, N, 3], Angstrom.
            charge: int64 [B], total charge of each molecule, e.
            multiplicity: int64 [B], spin multiplicity of each molecule.
            present: bool [B, N], false for padding; None if there is none.

        Returns:
            [B, N, dim]; of no meaning for padding.
        """
        batch, count = species.shape
        # Linear layers see flat tokens: on [B, N, dim] torch.compile would make them anew for every B and N.
        tokens = self.embed(species, charge[:, None], multiplicity[:, None]).flatten(0, 1)
        if self.coordinates is not None:
            centre = positions.mean(dim=1, keepdim=True)
            if present is not None:
                real = present.to(positions.dtype)[:, :, None]
                centre = (positions * real).sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True)
            tokens = tokens + self.coordinates((positions - centre).to(tokens.dtype).flatten(0, 1))
        if present is not None:
            positions = padding_apart(positions, present)
        cosine, sine = self.rotary(positions)
        bias = torch.zeros((1, 1, 1, 1, 1), dtype=tokens.dtype, device=tokens.device)
        if self.radial is not None:
            distances, other = all_distances(positions, tokens.dtype)
            bias = (self.radial(distances) * other[None, :, :, None, None]).permute(3, 0, 4, 1, 2)
        if present is not None:
            absent = torch.zeros((batch, count), dtype=tokens.dtype, device=tokens.device)
            absent = absent.masked_fill(~present, float("-inf"))
            bias = bias + absent[None, :, None, None, :]
        bias = bias.expand(len(self.blocks), -1, -1, -1, -1)
        for layer, block in enumerate(self.blocks):
            tokens = block(tokens, cosine[layer], sine[layer], bias[layer])
        return self.energy_norm(tokens).unflatten(0, (batch, count))

    def encode_local(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
    ) -> Tensor:
        """Latent embedding of every token; attention goes over neighbours within the cutoff and the token itself.

        Args:
            species: int64 [T], atomic numbers of the tokens.
            positions: float64 [I, 3], Angstrom; the tokens first, then their images.
            owner: int64 [I], the token whose features a row carries; owner[t] = t.
            neighbours: int64 [T, K], rows of `positions`, padded with -1; rows beyond the cutoff have no effect.
            charge: int64, broadcastable to [T], total charge of the token's system, e.
            multiplicity: int64, broadcastable to [T], its spin multiplicity.

        Returns:
            [T, dim].
        """
        tokens = self.embed(species, charge, multiplicity)
        count, slots = neighbours.shape
        filled = neighbours >= 0
        rows = torch.clamp(neighbours, min=0)
        there = positions.index_select(0, rows.reshape(-1)).view(count, slots, 3)
        displacements = (there - positions[:count, None]).to(tokens.dtype)
        squared = displacements.square().sum(dim=-1)
        # Empty slots are put at the cutoff before the square root, which has no derivative at zero.
        squared = torch.where(filled, squared, torch.full_like(squared, self.cutoff * self.cutoff))
        distances = torch.sqrt(squared)
        weight = torch.where(filled, envelope(distances, self.cutoff), torch.zeros_like(distances))
        cosine, sine = self.rotary.of_rows(positions)
        if self.radial is not None:
            bias = self.radial(distances)
        else:
            bias = torch.zeros(
                (count, slots, len(self.blocks), self.blocks[0].attention.heads),
                dtype=tokens.dtype,
                device=tokens.device,
            )
        for layer, block in enumerate(self.blocks):
            tokens = block.local(tokens, cosine[layer], sine[layer], bias[:, :, layer], owner, rows, weight)
        return self.energy_norm(tokens)

    def atom_energies(self, embedding: Tensor, species: Tensor) -> Tensor:
        """Energies from the latent embedding [..., dim] and species int64 [...] alone: float64 [...], eV."""
        raw = self.energy_head(embedding.reshape(-1, embedding.shape[-1])).view(species.shape)
        return raw.to(torch.float64) * self.energy_scale + self.reference_energies[self.species_index[species]]

    def molecule_energies(
        self, embedding: Tensor, species: Tensor, positions: Tensor, charge: Tensor, present: Tensor | None
    ) -> Tensor:
        """Energies of atoms of isolated molecules, float64 [B, N], eV, of the embedding [B, N, dim].

        The charge's reference energy and the repulsion are among them. Other arguments as those of `encode`.
        """
        energies = self.atom_energies(embedding, species)
        if self.charge_energies is not None:
            whole = self.charge_energies[charge - self.lowest_charge]
            share = whole / species.shape[1] if present is None else whole / present.sum(dim=1)
            energies = energies + share[:, None]
        if self.short_range is not None:
            energies = energies + self.short_range.of_molecules(self.species_index[species], positions, present)
        return energies

    def local_energies(
        self, embedding: Tensor, species: Tensor, positions: Tensor, owner: Tensor, neighbours: Tensor
    ) -> Tensor:
        """Energies of tokens, float64 [T], eV: of the embedding [T, dim] and the repulsion.

        Other arguments as those of `encode_local`.
        """
        energies = self.atom_energies(embedding, species)
        if self.short_range is not None:
            kinds = self.species_index[species]
            energies = energies + self.short_range.of_neighbours(kinds, positions, owner, neighbours)
        return energies

    def direct_forces(self, embedding: Tensor) -> Tensor:
        """Forces of the direct head, which are no gradient: float64 [..., 3], eV/Angstrom, from [..., dim]."""
        if self.force_head is not None:
            flat = self.force_head(embedding.reshape(-1, embedding.shape[-1]))
            return flat.unflatten(0, embedding.shape[:-1]).to(torch.float64) * self.energy_scale
        else:  # TorchScript follows this form only
            raise RuntimeError("this model has no direct force head: its forces are the gradient of the energy")

    def forward(
        self, species: Tensor, positions: Tensor, charge: Tensor, multiplicity: Tensor, present: Tensor | None
    ) -> Tensor:
        """Energy of every atom of a batch of isolated molecules; arguments as for `encode`.

        Returns:
            float64 [B, N], eV; zero for padding.
        """
        embedding = self.encode(species, positions, charge, multiplicity, present)
        energies = self.molecule_energies(embedding, species, positions, charge, present)
        if present is not None:
            energies = torch.where(present, energies, torch.zeros_like(energies))
        return energies

    def parameter_count(self) -> int:
        """Number of trainable weights."""
        return sum(p.numel() for p in self.parameters())
