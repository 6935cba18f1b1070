"""Repulsion of two atoms that are closer than a bond: what the network need not learn and training never saw."""

from __future__ import annotations

import ase.data
import torch
from torch import Tensor, nn

from transip_md.common.units import BOHR, HARTREE
from transip_md.model.config import ModelConfig
from transip_md.model.radial import all_distances, envelope, padding_apart

#: Energy of two elementary charges at 1 Angstrom, eV.
COULOMB = HARTREE * BOHR
#: Screening length of two charges of Z = 1, times 2, Angstrom, and the power of Z that shortens it.
SCREENING_LENGTH, SCREENING_POWER = 0.46850, 0.23
#: Universal screening function: amplitudes and decays of its exponentials.
AMPLITUDES = (0.18175, 0.50986, 0.28022, 0.02817)
DECAYS = (3.19980, 0.94229, 0.40290, 0.20162)


class ZieglerBiersackLittmark(nn.Module):
    """Screened repulsion of nuclei, faded out at a share of the sum of the covalent radii.

    E(r) = k Z1 Z2 / r phi(r / a) u(r / (s (R1 + R2))) with k = e^2 / (4 pi eps0), s the configuration's
    `short_range_end`, a = 0.4685 Angstrom / (Z1^0.23 + Z2^0.23) and phi the sum of four exponentials (Ziegler,
    Biersack, Littmark, The Stopping and Range of Ions in Matter, vol. 1, Pergamon 1985; constants as in LAMMPS's
    ``pair_style zbl``). u is `envelope`, and R are covalent radii (Cordero et al., Dalton Trans. 2832 (2008), in
    ase). With s = 1 it is the repulsion of MACE (Batatia et al., arXiv 2401.00096). A model's cutoff, if it has one,
    comes first.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        numbers = list(config.species)
        self.cutoff = float("inf") if config.cutoff is None else config.cutoff
        self.coulomb, self.screening_length = COULOMB, SCREENING_LENGTH
        self.amplitudes, self.decays = AMPLITUDES, DECAYS
        charges = torch.tensor(numbers, dtype=torch.float64)
        self.register_buffer("nuclear_charges", charges)
        self.register_buffer("screening_powers", charges**SCREENING_POWER)
        # Times the share, so that kernels and files go by the radii alone.
        radii = torch.from_numpy(ase.data.covalent_radii[numbers] * config.short_range_end)
        self.register_buffer("covalent_radii", radii)

    def forward(self, first: Tensor, second: Tensor, distances: Tensor) -> Tensor:
        """Energy of pairs.

        Args:
            first: int64 [...], index of the first atom's element in the model's species.
            second: int64, the same of the second; broadcastable.
            distances: float64 [...], Angstrom, not zero.

        Returns:
            float64 [...], eV.
        """
        dtype = distances.dtype
        charges, screening, radii = (
            self.nuclear_charges.to(dtype),
            self.screening_powers.to(dtype),
            self.covalent_radii.to(dtype),
        )
        reach = torch.clamp(radii[first] + radii[second], max=self.cutoff)
        x = distances * (screening[first] + screening[second]) / self.screening_length
        screened = torch.zeros_like(x)
        for amplitude, decay in zip(self.amplitudes, self.decays):  # noqa: B905 - TorchScript knows no strict
            screened = screened + amplitude * torch.exp(-decay * x)
        bare = self.coulomb * charges[first] * charges[second] / distances
        return bare * screened * envelope(distances / reach, 1.0)

    def of_molecules(self, kinds: Tensor, positions: Tensor, present: Tensor | None) -> Tensor:
        """Each atom's half of its pairs' energies in isolated molecules.

        Args:
            kinds: int64 [B, N], indices of the elements in the model's species.
            positions: float64 [B, N, 3], Angstrom.
            present: bool [B, N], false for padding; None if there is none.

        Returns:
            float64 [B, N], eV.
        """
        if present is not None:
            positions = padding_apart(positions, present)
        distances, counts = all_distances(positions, positions.dtype)
        energies = self.forward(kinds[:, :, None], kinds[:, None, :], distances) * counts
        return 0.5 * energies.sum(dim=-1)

    def of_neighbours(self, kinds: Tensor, positions: Tensor, owner: Tensor, neighbours: Tensor) -> Tensor:
        """Each token's half of its pairs' energies; arguments as those of `TransIP.encode_local`.

        Args:
            kinds: int64 [T], indices of the elements in the model's species.
            positions: float64 [I, 3], Angstrom.
            owner: int64 [I].
            neighbours: int64 [T, K], padded with -1.

        Returns:
            float64 [T], eV.
        """
        count, slots = neighbours.shape
        filled = neighbours >= 0
        rows = torch.clamp(neighbours, min=0).reshape(-1)
        there = positions.index_select(0, rows).view(count, slots, 3)
        squared = (there - positions[:count, None]).square().sum(dim=-1)
        # Empty slots are put at a distance before the square root, which has no derivative at zero.
        distances = torch.sqrt(torch.where(filled, squared, torch.full_like(squared, 1.0e4)))
        others = kinds.index_select(0, owner.index_select(0, rows)).view(count, slots)
        energies = self.forward(kinds[:, None].expand(-1, slots), others, distances)
        return 0.5 * torch.where(filled, energies, torch.zeros_like(energies)).sum(dim=-1)
