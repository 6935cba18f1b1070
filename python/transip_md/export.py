"""Export of a checkpoint to a self-describing TorchScript file."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import transip_md
from transip_md.errors import CheckFailedError
from transip_md.metadata import METADATA_NAME, Metadata
from transip_md.model.checkpoint import Checkpoint
from transip_md.model.network import TransIP
from transip_md.runtime import ExportedModel, torchscript_on_purpose
from transip_md.tolerances import PARITY

DTYPES = {"float32": torch.float32, "float64": torch.float64}
#: Random structures that a fresh file is compared on.
CHECK_STRUCTURES = 5


class EngineModel(nn.Module):
    """The forward that every engine calls; its contract is in ``docs/conventions.md``."""

    def __init__(self, model: TransIP) -> None:
        super().__init__()
        self.model = model

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
            positions: float64 [I, 3], Angstrom; all-to-all models take I = T.
            owner: int64 [I], the token whose features a row carries.
            owned: bool [T], tokens whose energy counts.
            neighbours: int64 [T, K]; all-to-all models take K = 0.
            charge: int64 scalar, e.
            multiplicity: int64 scalar.

        Returns:
            Energies float64 [T] in eV, zero where not owned; forces float64 [I, 3] in eV/Angstrom.

        The caller has automatic differentiation switched on: the forward takes the gradient itself.
        """
        tokens = species.shape[0]
        if positions.shape[0] != tokens or neighbours.shape[1] != 0:
            raise RuntimeError("an all-to-all model takes an isolated molecule: no images, no neighbours")
        rows = positions.detach().requires_grad_(True)
        energies = self.model(species[None], rows[None], charge.view(1), multiplicity.view(1), None).squeeze(0)
        energies = torch.where(owned, energies, torch.zeros_like(energies))
        gradient = torch.autograd.grad([energies.sum()], [rows])[0]
        assert gradient is not None
        return energies.detach(), -gradient


def random_structures(species: tuple[int, ...], count: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Random molecules without overlapping atoms.

    Args:
        species: atomic numbers to draw from.
        count: how many molecules, of growing size.
        seed: of the random numbers.

    Yields:
        Atomic numbers [N] and positions [N, 3] in Angstrom, no two atoms closer than 0.9.
    """
    rng = np.random.default_rng(seed)
    for size in range(4, 4 + 3 * count, 3):
        positions = np.empty((0, 3))
        side = 2.0 * size ** (1 / 3)
        while len(positions) < size:
            candidate = rng.uniform(0, side, 3)
            if len(positions) == 0 or np.linalg.norm(positions - candidate, axis=1).min() > 0.9:
                positions = np.vstack([positions, candidate])
        yield rng.choice(species, size), positions


def metadata_of(checkpoint: Checkpoint, dtype: str) -> Metadata:
    """What the exported file says of itself."""
    config = checkpoint.config
    return Metadata(
        species=config.species,
        cutoff=None,
        interaction_range=None,
        dtype=dtype,
        conservative=True,
        charge=config.charge,
        multiplicity=config.multiplicity,
        architecture={"name": "TransIP", **config.model_dump(mode="json")},
        training=checkpoint.training,
        made_with={"torch": torch.__version__, "transip-md": transip_md.__version__},
        source_sha256=checkpoint.sha256,
    )


def script(model: nn.Module, metadata: Metadata, path: Path | str) -> None:
    """Script a module with the engines' forward and write it with its metadata; the file appears whole or not at all.

    Args:
        model: a module with the forward of `EngineModel`.
        metadata: what the file shall say of itself.
        path: file to write.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    with torchscript_on_purpose():
        scripted = torch.jit.script(model)
    scripted.save(str(partial), _extra_files={METADATA_NAME: metadata.to_json()})
    partial.replace(path)


def export(checkpoint: Checkpoint, path: Path | str, dtype: str = "float64") -> Metadata:
    """Write a model file, read it back and compare it with the eager model on random structures.

    Args:
        checkpoint: a trained model.
        path: file to write, by convention ``*.pt``.
        dtype: dtype of the weights, "float32" or "float64"; positions always go in as float64.

    Returns:
        The file's metadata.

    Raises:
        CheckFailedError: the file read back does not give the eager model's energies and forces.
    """
    path = Path(path)
    eager = EngineModel(copy.deepcopy(checkpoint.model)).eval().requires_grad_(False)
    for parameter in eager.parameters():
        parameter.data = parameter.data.to(DTYPES[dtype])
    for module in eager.modules():
        for name, buffer in module.named_buffers(recurse=False):
            # Reference energies stay float64 whatever the weights are.
            if buffer.dtype == torch.float32:
                setattr(module, name, buffer.to(DTYPES[dtype]))
    metadata = metadata_of(checkpoint, dtype)
    partial = path.with_name(path.name + ".unchecked")
    script(eager, metadata, partial)
    try:
        compare_with_eager(eager, ExportedModel(partial, device="cpu"))
    except BaseException:
        partial.unlink()
        raise
    partial.replace(path)
    return metadata


def compare_with_eager(eager: EngineModel, exported: ExportedModel) -> None:
    """Raise CheckFailedError unless an exported model repeats the eager one within the parity tolerances."""
    metadata = exported.metadata
    tolerance = PARITY[metadata.dtype]
    charge, multiplicity = metadata.charge[0], metadata.multiplicity[0]
    for numbers, positions in random_structures(metadata.species, CHECK_STRUCTURES):
        count = len(numbers)
        wanted_energies, wanted_forces = eager(
            torch.from_numpy(numbers),
            torch.from_numpy(positions),
            torch.arange(count),
            torch.ones(count, dtype=torch.bool),
            torch.empty((count, 0), dtype=torch.int64),
            torch.tensor(charge),
            torch.tensor(multiplicity),
        )
        energies, forces = exported.evaluate(numbers, positions, charge, multiplicity)
        energy_error = abs(float(wanted_energies.sum()) - energies.sum())
        force_error = float(np.abs(wanted_forces.numpy() - forces).max())
        if not (energy_error <= tolerance.energy and force_error <= tolerance.force):
            raise CheckFailedError(
                f"The exported file does not repeat the eager model on a random structure of {count} atoms: energy "
                f"differs by {energy_error:.2e} eV (allowed {tolerance.energy:.0e}), forces by {force_error:.2e} "
                f"eV/A (allowed {tolerance.force:.0e}). No file was written."
            )
