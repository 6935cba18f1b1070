"""Committees of small models, and their deviations from evaluations one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ase
import numpy as np
import torch

from networks import small_checkpoint
from transip_md.evaluators.library_model import LibraryModel
from transip_md.exporting.export import export
from transip_md.model.checkpoint import Checkpoint

MODELS = 4


def make_committee(folder: Path, **shape) -> list[Path]:
    """Files of small untrained models of one shape whose weights differ."""
    return perturbed(lambda: small_checkpoint(**shape), folder, 0.05)


def perturbed(make: Callable[[], Checkpoint], folder: Path, by: float, models: int = MODELS) -> list[Path]:
    """Files of models whose weights differ from those of a checkpoint by normally distributed numbers.

    Args:
        make: gives the checkpoint, anew for each model.
        folder: where 0.pt, 1.pt and so on are written.
        by: standard deviation of what is added to a weight.
        models: how many.
    """
    files = []
    for number in range(models):
        checkpoint = make()
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for weight in checkpoint.model.parameters():
                weight += by * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        files.append(folder / f"{number}.pt")
        export(checkpoint, files[-1])
    return files


def single_evaluations(files, atoms: ase.Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energies [K], forces [K, N, 3] and virials [K, 3, 3] of the models, each by itself."""
    periodic = {"cell": atoms.cell.array, "periodic": atoms.pbc} if atoms.pbc.any() else {}
    found = [LibraryModel(file).evaluate(atoms.numbers, atoms.positions, **periodic) for file in files]
    return (
        np.array([one.energies.sum() for one in found]),
        np.array([one.forces for one in found]),
        np.array([one.virial for one in found]),
    )


def deviations(energies, forces, virials) -> np.ndarray:
    """The line of a deviation file behind the step, by the definitions of DeePMD-kit's documentation."""
    atoms = forces.shape[1]
    of_forces = np.linalg.norm(forces.std(axis=0), axis=1)
    of_virials = virials.std(axis=0) / atoms
    return np.array(
        [
            of_virials.max(), of_virials.min(), np.sqrt(np.mean(of_virials**2)),
            of_forces.max(), of_forces.min(), of_forces.mean(), energies.std() / atoms,
        ]
    )  # fmt: skip
