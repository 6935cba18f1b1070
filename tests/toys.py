"""Analytic models in the model file format: energies and forces are known without any network."""

from __future__ import annotations

from pathlib import Path

import ase
import numpy as np
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from torch import Tensor, nn

from transip_md.exporting.export import script
from transip_md.modelfile.metadata import Metadata

STIFFNESS = 2.5  # eV/Angstrom^2
LENGTH = 1.7  # Angstrom


class Springs(nn.Module):
    """A spring between every two atoms: E = sum_{i<j} k/2 (r_ij - r0)^2; half of each belongs to either atom."""

    def __init__(self, unfair: bool = False) -> None:
        """Unfair springs push one atom around besides: their forces are no gradient."""
        super().__init__()
        self.stiffness = STIFFNESS
        self.length = LENGTH
        self.unfair = unfair

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
        if positions.shape[0] != species.shape[0]:
            raise RuntimeError("springs take no images")
        rows = positions.detach().requires_grad_(True)
        count = rows.shape[0]
        other = 1.0 - torch.eye(count, dtype=rows.dtype)
        distances = ((rows[:, None] - rows[None]).square().sum(dim=-1) + (1.0 - other)).sqrt()
        pairs = 0.25 * self.stiffness * (distances - self.length).square() * other
        energies = torch.where(owned, pairs.sum(dim=1), torch.zeros(count, dtype=rows.dtype))
        gradient = torch.autograd.grad([energies.sum()], [rows])[0]
        assert gradient is not None
        forces = -gradient
        if self.unfair:
            whirl = torch.zeros_like(forces)
            whirl[0, 0], whirl[0, 1] = -positions[0, 1], positions[0, 0]
            forces = forces + whirl
        return energies.detach(), forces


def springs(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energy of each atom (eV) and forces (eV/Angstrom) of `Springs`, written out by hand."""
    energies, forces = np.zeros(len(positions)), np.zeros_like(positions)
    for i, here in enumerate(positions):
        for j, there in enumerate(positions):
            if i != j:
                away = here - there
                distance = np.linalg.norm(away)
                energies[i] += 0.25 * STIFFNESS * (distance - LENGTH) ** 2
                forces[i] -= STIFFNESS * (distance - LENGTH) * away / distance
    return energies, forces


def labelled_springs(count: int, seed: int, periodic: bool = False) -> list[ase.Atoms]:
    """Molecules of two sizes, labelled by springs and per-element energies."""
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(count):
        numbers = [6, 1, 1] if index % 2 else [6, 6, 1, 1]
        positions = np.array([[0, 0, 0], [1.5, 0, 0], [0, 1.5, 0], [0, 0, 1.5]])[: len(numbers)]
        positions = positions + rng.normal(scale=0.15, size=positions.shape)
        energies, forces = springs(positions)
        atoms = ase.Atoms(numbers, positions, cell=12 * np.eye(3), pbc=periodic)
        energy = energies.sum() - 10.0 * numbers.count(1) - 1000.0 * numbers.count(6)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    return frames


def toy_metadata(**changes) -> Metadata:
    values = {
        "species": (1, 6, 8),
        "cutoff": None,
        "interaction_range": None,
        "dtype": "float64",
        "conservative": True,
        "charge": (-1, 1),
        "multiplicity": (1, 2),
        "architecture": {"name": "springs"},
        "training": {"data": "none: an analytic model", "level_of_theory": "springs"},
        "made_with": {"torch": torch.__version__},
        "source_sha256": "",
        "weights": {},
    }
    return Metadata(**{**values, **changes})


def write_toy(path: Path, unfair: bool = False, **changes) -> Path:
    script(Springs(unfair), toy_metadata(**changes), path)
    return path


def hollow_model_file(path: Path) -> Path:
    """A file whose transip.json is good and whose TorchScript is gone."""
    import zipfile

    whole = write_toy(path.with_suffix(".whole"))
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            if "/code/" not in name and not name.endswith("data.pkl"):
                target.writestr(name, source.read(name))
    return path


def bad_model_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that no engine may accept, by name: the path, and words that its error must hold."""
    import json
    import zipfile

    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "text.pt"
    text.write_text("not a model\n")
    archive = folder / "archive.pt"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/readme.txt", "an archive that torch did not write")
    bare = folder / "bare.pt"
    torch.jit.script(Springs()).save(str(bare))
    future = folder / "future.pt"
    values = json.loads(toy_metadata().to_json())
    torch.jit.script(Springs()).save(
        str(future), _extra_files={"transip.json": json.dumps({**values, "format": 3, "new": 1})}
    )
    strange = folder / "strange.pt"
    torch.jit.script(Springs()).save(str(strange), _extra_files={"transip.json": json.dumps({**values, "novel": 1})})
    truncated = folder / "truncated.pt"
    truncated.write_bytes(future.read_bytes()[:-2000])
    return {
        "truncated": (truncated, "not a TorchScript file"),
        "missing": (folder / "missing.pt", "No such model file"),
        "text": (text, "not a TorchScript file"),
        "archive": (archive, "not a TorchScript file"),
        "bare": (bare, "without transip.json"),
        "future": (future, "format 3"),
        "strange": (strange, "novel"),
    }
