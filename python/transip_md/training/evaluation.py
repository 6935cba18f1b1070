"""Errors of a model on labelled frames, and how far its forces are from rotating with the structure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from transip_md.common.errors import UsageError
from transip_md.data.frames import Frame, Frames
from transip_md.model.batch import Batch
from transip_md.model.config import MAX_ATOMIC_NUMBER, ModelConfig
from transip_md.model.evaluate import Prediction, predict
from transip_md.model.network import TransIP
from transip_md.model.rotations import random_rotations
from transip_md.training.batches import Collate, by_atoms

#: Atoms, padding counted, that are evaluated at once.
EVALUATION_ATOMS = 2000
MILLI = 1e3
#: eV/Angstrom: the direction of a smaller force is rounding.
NO_FORCE = 1e-8


@dataclass(frozen=True)
class ForceError:
    """Errors of force components, meV/Angstrom."""

    mae: float
    rmse: float
    components: int


@dataclass(frozen=True)
class SizeError:
    """Errors on the structures of one number of atoms: energy in meV/atom, force components in meV/Angstrom."""

    structures: int
    energy_mae: float
    energy_rmse: float
    force_mae: float
    force_rmse: float


@dataclass(frozen=True)
class RotationError:
    """What changes when a structure is rotated, each by one rotation drawn uniformly.

    Attributes:
        energy_mae: mean |E(Rx) - E(x)|, meV/atom.
        force_mae: mean |F(Rx) - R F(x)| of a component, meV/Angstrom.
        force_worst: the largest of them, meV/Angstrom.
        force_cosine: mean cosine between F(Rx) and R F(x) of an atom; 1 for an atom that is free of force in both.
    """

    energy_mae: float
    force_mae: float
    force_worst: float
    force_cosine: float


@dataclass(frozen=True)
class Report:
    """Errors on labelled data.

    Attributes:
        structures: how many.
        energy_mae: mean absolute error of the energy per atom, meV/atom.
        energy_rmse: its root mean square, meV/atom.
        force_mae: mean absolute error of a force component, meV/Angstrom.
        force_rmse: its root mean square, meV/Angstrom.
        rotation: errors under rotation; None if they were not measured.
        elements: force errors by element symbol.
        sizes: errors by number of atoms.
    """

    structures: int
    energy_mae: float
    energy_rmse: float
    force_mae: float
    force_rmse: float
    rotation: RotationError | None = None
    elements: dict[str, ForceError] = field(default_factory=dict)
    sizes: dict[int, SizeError] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    def summary(self) -> dict[str, Any]:
        """Plain JSON without the parts: what a model file keeps."""
        return {name: value for name, value in self.to_dict().items() if name not in ("elements", "sizes")}


class Tally:
    """Sums of errors over batches; sums of several processes add up."""

    def __init__(self, largest: int) -> None:
        """Start at zero, for structures of up to `largest` atoms."""
        self.sums = {
            # |dE|/N, (dE/N)^2 and the number of structures, by number of atoms.
            "energy": torch.zeros((largest + 1, 3), dtype=torch.float64),
            # sum |dF|, sum dF^2 and the number of components, by number of atoms and by element.
            "force": torch.zeros((largest + 1, 3), dtype=torch.float64),
            "element": torch.zeros((MAX_ATOMIC_NUMBER + 1, 3), dtype=torch.float64),
            # |dE|/N, structures, sum |dF|, components, sum of cosines, atoms.
            "rotation": torch.zeros(6, dtype=torch.float64),
        }
        self.worst = torch.zeros((), dtype=torch.float64)

    @classmethod
    def total(cls, tallies: Sequence[Tally]) -> Self:
        """The sums of one or more tallies."""
        whole = cls(max(len(tally.sums["energy"]) for tally in tallies) - 1)
        for tally in tallies:
            for name, sums in tally.sums.items():
                whole.sums[name][: len(sums)] += sums
            whole.worst = torch.maximum(whole.worst, tally.worst)
        return whole

    def add(self, batch: Batch, prediction: Prediction) -> None:
        """Count the errors of a batch."""
        counts = batch.atom_counts()
        energy = (prediction.energies - batch.energy) / counts
        force = (prediction.forces - batch.forces).to(torch.float64)
        per_atom = torch.stack([force.abs().sum(-1), force.square().sum(-1), torch.full_like(force[..., 0], 3.0)], -1)
        per_atom = batch.real(per_atom).cpu()
        size = batch.real(batch.per_atom(counts)).long().cpu()
        species = batch.real(batch.species).cpu()
        of_energy = torch.stack([energy.abs(), energy.square(), torch.ones_like(energy)], -1).cpu()
        self.sums["energy"].index_add_(0, counts.long().cpu(), of_energy)
        self.sums["force"].index_add_(0, size, per_atom)
        self.sums["element"].index_add_(0, species, per_atom)

    def add_rotation(self, batch: Batch, straight: Prediction, rotated: Prediction, rotations: Tensor) -> None:
        """Count how far the prediction for rotated structures is from the rotated prediction."""
        energy = ((rotated.energies - straight.energies) / batch.atom_counts()).abs()
        wanted = torch.einsum("lij,lj->li", batch.real(batch.per_atom(rotations)), batch.real(straight.forces).double())
        found = batch.real(rotated.forces).double()
        off = (found - wanted).abs()
        cosine = torch.nn.functional.cosine_similarity(found, wanted, dim=-1)
        free = torch.maximum(found.norm(dim=-1), wanted.norm(dim=-1)) < NO_FORCE
        cosine = torch.where(free, 1.0, cosine)
        numbers = [energy.sum(), len(batch), off.sum(), off.numel(), cosine.sum(), len(cosine)]
        self.sums["rotation"] += torch.tensor([float(number) for number in numbers], dtype=torch.float64)
        self.worst = torch.maximum(self.worst, off.max().cpu())

    def report(self) -> Report:
        """The errors so far."""
        from ase.data import chemical_symbols

        energy, force = self.sums["energy"], self.sums["force"]
        energy_mae, energy_rmse, structures = _mean(energy.sum(dim=0))
        force_mae, force_rmse, _ = _mean(force.sum(dim=0))
        sizes = {}
        for size in energy[:, 2].nonzero().flatten().tolist():
            e, f = _mean(energy[size]), _mean(force[size])
            sizes[size] = SizeError(e[2], e[0], e[1], f[0], f[1])
        elements = {
            chemical_symbols[z]: ForceError(*_mean(self.sums["element"][z]))
            for z in self.sums["element"][:, 2].nonzero().flatten().tolist()
        }
        return Report(
            structures, energy_mae, energy_rmse, force_mae, force_rmse, self._rotation(), elements=elements, sizes=sizes
        )

    def _rotation(self) -> RotationError | None:
        energy, structures, force, components, cosine, atoms = self.sums["rotation"].tolist()
        if not structures:
            return None
        return RotationError(
            MILLI * energy / structures, MILLI * force / components, MILLI * float(self.worst), cosine / atoms
        )


def _mean(sums: Tensor) -> tuple[float, float, int]:
    """Mean absolute error and root mean square in thousandths, and the count."""
    absolute, squared, count = sums.tolist()
    if not count:
        return math.nan, math.nan, 0
    return MILLI * absolute / count, MILLI * math.sqrt(squared / count), int(count)


def tally_batch(tally: Tally, model: TransIP, batch: Batch, generator: torch.Generator | None) -> None:
    """Evaluate a batch and count its errors; with a generator, its rotation error too."""
    straight = predict(model, batch)
    tally.add(batch, straight)
    if generator is not None:
        rotations = random_rotations(len(batch), generator).to(batch.positions.device)
        tally.add_rotation(batch, straight, predict(model, batch.rotated(rotations)), rotations)


def measure_errors(
    model: TransIP,
    frames: Frames,
    rows: np.ndarray | None = None,
    *,
    rotations: bool = True,
    seed: int = 0,
    advanced: Callable[[int], None] = lambda done: None,
) -> Report:
    """Errors of a model on labelled frames; arguments and errors as for `tally_errors`."""
    return tally_errors(model, frames, rows, rotations=rotations, seed=seed, advanced=advanced).report()


def tally_errors(
    model: TransIP,
    frames: Frames,
    rows: np.ndarray | None = None,
    *,
    rotations: bool = True,
    seed: int = 0,
    advanced: Callable[[int], None] = lambda done: None,
) -> Tally:
    """Count the errors of a model on labelled frames, structures as they come.

    Args:
        model: the network; its device is used.
        frames: labelled frames.
        rows: rows of them; None for all.
        rotations: measure the rotation error too.
        seed: of the rotations.
        advanced: called with the number of frames done, after each batch.

    Returns:
        The sums of the errors.

    Raises:
        UsageError: the frames are periodic and the model is all-to-all, or a frame has a charge or a multiplicity that
            the model does not know.
    """
    if frames.periodic and model.config.cutoff is None:
        raise UsageError(
            f"{frames.location(0)} is periodic, but an all-to-all model describes isolated molecules. Expected frames "
            "without `pbc`, or a model that was trained with a cutoff."
        )
    rows = np.arange(len(frames)) if rows is None else rows
    counts = frames.atom_counts()
    collate = Collate(model.config.cutoff)
    device = model.energy_scale.device
    generator = torch.Generator().manual_seed(seed) if rotations else None
    tally, done = Tally(int(counts[rows].max())), 0
    for part in by_atoms(counts, rows, EVALUATION_ATOMS):
        batch = [_known(model.config, frames[int(row)], frames.location(int(row))) for row in part]
        tally_batch(tally, model, collate(batch).to(device), generator)
        done += len(part)
        advanced(done)
    return tally


def _known(config: ModelConfig, frame: Frame, location: str) -> Frame:
    """The frame, if the model knows its charge and multiplicity; messages call it `location`."""
    for name, value, (low, high) in (
        ("charge", frame.charge, config.charge),
        ("multiplicity", frame.multiplicity, config.multiplicity),
    ):
        if not low <= value <= high:
            allowed = f"{low}" if low == high else f"{low} to {high}"
            raise UsageError(
                f"{location} has {name} {value}, expected {allowed}, which the model was trained on. Leave the frame "
                f"out or, if the file does not give its {name}, give it (`--{name}`)."
            )
    return frame
