"""Lennard-Jones in the model file format, sound or with one fault planted."""

from __future__ import annotations

from pathlib import Path

import ase
import ase.build
import torch
from torch import Tensor, nn

from toys import toy_metadata
from transip_md.exporting.export import script
from transip_md.symmetry.module import Symmetry

DEPTH = 0.2  # eV
SIGMA = 1.5  # Angstrom
CUTOFF = 4.5  # Angstrom
#: Distance of the pair's minimum without the envelope, Angstrom.
NEAREST = 2 ** (1 / 6) * SIGMA


class LennardJones(nn.Module):
    """E = 1/2 sum_ij 4 eps [(s/r)^12 - (s/r)^6] f_c(r), f_c as the network's envelope.

    Faults: "scaled" forces by 1.001; "no envelope"; "origin": energy depends on where the atoms are; "float32":
    coordinates rounded; "folded": forces of images on their owners; "misplaced": on other atoms; "lopsided": energy
    depends on orientation; "crowd": energy of an atom depends on how many there are; "order": the first atom has its
    own depth; "step": a pair's energy falls by 50 meV at 2.2 Angstrom; "hole": the wall falls in below 1.1 Angstrom;
    "dent": the wall is 1 eV lower around 1.3 Angstrom; "far": all atoms see each other.
    """

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        self.depth = DEPTH
        self.sigma = SIGMA
        self.cutoff = CUTOFF
        self.symmetry = Symmetry()

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
        rows = positions.detach().requires_grad_(True)
        count, slots = neighbours.shape
        places = rows
        if self.fault == "float32":
            places = rows.to(torch.float32).to(torch.float64)
        filled = neighbours >= 0
        there = places.index_select(0, torch.clamp(neighbours, min=0).reshape(-1)).view(count, slots, 3)
        away = there - places[:count, None]
        squared = torch.where(filled, away.square().sum(dim=-1), torch.ones_like(away[:, :, 0]) * self.cutoff**2)
        distance = squared.sqrt()
        inverse = (self.sigma**2 / squared) ** 3
        pairs = 4.0 * self.depth * (inverse * inverse - inverse)
        x = (distance / self.cutoff).clamp(max=1.0)
        envelope = 1.0 - 28.0 * x**6 + 48.0 * x**7 - 21.0 * x**8
        if self.fault == "no envelope":
            envelope = (x < 1.0).to(pairs.dtype)
        if self.fault == "lopsided":
            pairs = pairs * (1.0 + 0.4 * away[:, :, 2].square() / squared)
        if self.fault == "step":
            pairs = pairs - 0.05 * (distance < 2.2).to(pairs.dtype)
        if self.fault == "hole":
            pairs = pairs - 2.5 * pairs.abs() * torch.sigmoid((1.1 - distance) / 0.02)
        if self.fault == "dent":
            pairs = pairs - torch.exp(-(((distance - 1.3) / 0.05) ** 2))
        pairs = 0.5 * torch.where(filled, pairs * envelope, torch.zeros_like(pairs))
        if self.fault == "order":
            factor = torch.ones_like(pairs)
            factor[:1] = 1.01
            pairs = pairs * factor
        energies = pairs.sum(dim=1)
        if self.fault == "origin":
            energies = energies + 1e-4 * places[:count, 0].square()
        if self.fault == "crowd":
            energies = energies * (1.0 + 1e-3 * count)
        if self.fault == "far":
            energies = energies + 1e-3 / (1.0 + (places[:count] - places[:count].mean(dim=0)).square().sum(dim=1))
        energies = torch.where(owned, energies, torch.zeros_like(energies))
        gradient = torch.autograd.grad([energies.sum()], [rows])[0]
        assert gradient is not None
        forces = -gradient
        if self.fault == "scaled":
            forces = 1.001 * forces
        if self.fault == "folded":
            forces = torch.zeros_like(forces).index_add(0, owner, forces)
        if self.fault == "misplaced":
            wrong = torch.where(torch.arange(len(owner)) < count, owner, (owner + 1) % count)
            forces = torch.zeros_like(forces).index_add(0, wrong, forces)
        return energies.detach(), forces.detach()

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
        energies, forces = torch.zeros_like(positions[: len(species), 0]), torch.zeros_like(positions)
        for row in range(len(weights)):
            rotated = positions @ rotations[row].t()
            energy, force = self.forward(species, rotated, owner, owned, neighbours, charge, multiplicity)
            energies, forces = energies + weights[row] * energy, forces + weights[row] * (force @ rotations[row])
        return energies, forces


def write_pairs(path: Path, fault: str = "", **changes) -> Path:
    metadata = toy_metadata(
        **{
            "cutoff": CUTOFF,
            "interaction_range": CUTOFF,
            "architecture": {"name": "Lennard-Jones"},
            "symmetry": ("average", "random"),
            **changes,
        }
    )
    script(LennardJones(fault), metadata, path)
    return path


def crystal_of_pairs() -> ase.Atoms:
    """An fcc crystal near its equilibrium, eight atoms in a cell that is shorter than the cutoff in two directions."""
    return ase.build.bulk("C", "fcc", a=2**0.5 * NEAREST * 0.98, cubic=True).repeat((2, 1, 1))


def cluster_of_pairs() -> ase.Atoms:
    """A bent chain of three atoms and a fourth apart: bonds that can be stretched."""
    return ase.Atoms("CCOH", [[0, 0, 0], [NEAREST, 0, 0], [1.5 * NEAREST, 1.4, 0], [1.5 * NEAREST, 1.4, 3.0]])
