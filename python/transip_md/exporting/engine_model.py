"""The module that an exported file holds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transip_md.model.latent_sample import LatentSample
from transip_md.model.network import TransIP
from transip_md.symmetry.module import BATCH, CPU_BATCH, Symmetry, rotated_back


class EngineModel(nn.Module):
    """The forward that every engine calls; its contract is in ``docs/conventions.md``."""

    # Constants of the script: branches that a model does not take are not compiled.
    __constants__ = ("conservative", "local")

    def __init__(self, model: TransIP, sample: LatentSample | None = None) -> None:
        super().__init__()
        self.model = model
        self.latent_sample: LatentSample | None = sample
        self.local = model.config.cutoff is not None
        self.conservative = model.config.conservative
        self.symmetry = Symmetry()
        self.batch, self.cpu_batch = BATCH, CPU_BATCH

    def forward(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Energies of tokens and forces on position rows.

        Args:
            species: int64 [T], atomic numbers of the tokens.
            positions: float64 [I, 3], Angstrom, tokens first; all-to-all models take I = T.
            owner: int64 [I], the token whose features a row carries.
            owned: bool [T], tokens whose energy counts.
            neighbours: int64 [T, K], rows, padded with -1; all-to-all models take K = 0.
            charge: int64 scalar, e.
            multiplicity: int64 scalar.

        Returns:
            Energies float64 [T] in eV, zero where not owned; forces float64 [I, 3] in eV/Angstrom, -dE/d(row). A model
            with a direct force head puts its forces on the tokens that are owned.

        The caller has automatic differentiation switched on: the forward takes the gradient itself.
        """
        tokens = species.shape[0]
        rows = positions.detach().requires_grad_(self.conservative)
        embedding = self.embed(species, rows, owner, neighbours, charge, multiplicity)
        energies = self.owned_energies(embedding, species, rows, owner, owned, neighbours, charge)
        if self.conservative:
            gradient = torch.autograd.grad([energies.sum()], [rows])[0]
            assert gradient is not None
            forces = -gradient
        else:
            forces = torch.zeros_like(positions)
            direct = self.model.direct_forces(embedding)
            forces[:tokens] = torch.where(owned[:, None], direct, torch.zeros_like(direct))
        return energies.detach(), forces.detach()

    @torch.jit.export
    def energies(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
    ) -> Tensor:
        """The energies of `forward`, of the same arguments, without forces; the caller switches differentiation off."""
        embedding = self.embed(species, positions, owner, neighbours, charge, multiplicity)
        return self.owned_energies(embedding, species, positions, owner, owned, neighbours, charge)

    @torch.jit.export
    def distances(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
    ) -> Tensor:
        """How far each token is from the sample of the training set, float64 [T]; see `LatentSample.forward`.

        Arguments as those of `forward`; the caller switches differentiation off.
        """
        embedding = self.embed(species, positions, owner, neighbours, charge, multiplicity)
        if self.latent_sample is not None:
            return self.latent_sample(embedding, self.model.species_index[species])
        else:  # TorchScript follows this form only
            raise RuntimeError("the file has no sample of its training set")

    @torch.jit.export
    def forward_frame(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
        masses: Tensor,
        reference: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The `forward` of a molecule rotated into the frame of a reference; masses and reference by `make_frame`.

        The energy does not change when the molecule is rotated; forces are its exact gradient.
        """
        rotated, rotation = self.symmetry.into_frame(positions, masses, reference)
        energies, forces = self.forward(species, rotated, owner, owned, neighbours, charge, multiplicity)
        return energies, self.symmetry.out_of_frame(forces, rotated, rotation, masses, reference)

    @torch.jit.export
    def forward_average(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
        rotations: Tensor,
        weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The `forward` averaged over rotations [N, 3, 3] with weights [N], several at a time."""
        energies = torch.zeros(species.shape[0], dtype=torch.float64, device=species.device)
        forces = torch.zeros_like(positions)
        cost = species.shape[0] if self.local else species.shape[0] * species.shape[0]
        limit = self.cpu_batch if self.local and not species.is_cuda else self.batch
        at_once = max(1, limit // max(1, cost))
        for first in range(0, rotations.shape[0], at_once):
            part, shares = rotations[first : first + at_once], weights[first : first + at_once]
            if self.local:
                stacked = self.symmetry.stack(species, positions, owner, owned, neighbours, part)
                outputs = self.forward(stacked[0], stacked[1], stacked[2], stacked[3], stacked[4], charge, multiplicity)
                more, push = self.symmetry.unstack(outputs[0], outputs[1], part, shares)
            else:
                more, push = self.average_of_molecule(
                    species, positions, owned, neighbours, charge, multiplicity, part, shares
                )
            energies = energies + more
            forces = forces + push
        return energies, forces

    def average_of_molecule(
        self,
        species: Tensor,
        positions: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
        rotations: Tensor,
        weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Weighted sum over the rotated copies of an isolated molecule, all in one batch."""
        self.check_isolated(species, positions, neighbours)
        copies = rotations.shape[0]
        rows = torch.matmul(positions.detach(), rotations.transpose(1, 2)).requires_grad_(self.conservative)
        kinds = species[None].expand(copies, -1)
        charges = charge.expand(copies)
        embedding = self.model.encode(kinds, rows, charges, multiplicity.expand(copies), None)
        energies = self.where_owned(self.model.molecule_energies(embedding, kinds, rows, charges, None), owned)
        if self.conservative:
            gradient = torch.autograd.grad([energies.sum()], [rows])[0]
            assert gradient is not None
            forces = -gradient
        else:
            forces = torch.where(owned[:, None], self.model.direct_forces(embedding), torch.zeros_like(rows))
        return weights @ energies.detach(), rotated_back(forces.detach(), rotations, weights)

    def check_isolated(self, species: Tensor, rows: Tensor, neighbours: Tensor) -> None:
        """Raise RuntimeError unless there are no images and no neighbours."""
        if rows.shape[0] != species.shape[0] or neighbours.shape[1] != 0:
            raise RuntimeError("an all-to-all model takes an isolated molecule: no images, no neighbours")

    def embed(
        self, species: Tensor, rows: Tensor, owner: Tensor, neighbours: Tensor, charge: Tensor, multiplicity: Tensor
    ) -> Tensor:
        """Latent embedding of each token; arguments as those of `forward`."""
        if self.local:
            return self.model.encode_local(species, rows, owner, neighbours, charge, multiplicity)
        self.check_isolated(species, rows, neighbours)
        return self.model.encode(species[None], rows[None], charge.view(1), multiplicity.view(1), None).squeeze(0)

    def owned_energies(
        self,
        embedding: Tensor,
        species: Tensor,
        rows: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
    ) -> Tensor:
        """Energy of each token, eV, zero where not owned; arguments as those of `forward`."""
        if self.local:
            energies = self.model.local_energies(embedding, species, rows, owner, neighbours)
        else:
            energies = self.model.molecule_energies(
                embedding[None], species[None], rows[None], charge.view(1), None
            ).squeeze(0)
        return self.where_owned(energies, owned)

    def where_owned(self, energies: Tensor, owned: Tensor) -> Tensor:
        """Energies, zero where a token is not owned."""
        return torch.where(owned, energies, torch.zeros_like(energies))
