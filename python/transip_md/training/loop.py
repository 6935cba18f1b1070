"""The training loop: energies and forces, random rotations, AdamW, cosine, moving average of the weights."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transip_md.errors import TransIPError, UsageError
from transip_md.model.checkpoint import save_checkpoint
from transip_md.model.evaluate import Batch, energy_and_forces
from transip_md.model.network import TransIP
from transip_md.model.rotations import random_rotations
from transip_md.training.config import TrainConfig
from transip_md.training.data import MoleculeSet, load_molecules


@dataclass
class Errors:
    """Errors on labelled data.

    Attributes:
        energy_mae: mean absolute error of the energy per atom, meV/atom.
        force_mae: mean absolute error of a force component, meV/Angstrom.
        force_rmse: root mean square error of a force component, meV/Angstrom.
    """

    energy_mae: float
    force_mae: float
    force_rmse: float


#: Molecules that are evaluated at once when errors are measured.
EVALUATION_BATCH = 128


def measure_errors(model: TransIP, data: MoleculeSet, rows: Tensor | None = None) -> Errors:
    """Errors of a model on the given rows of a labelled set (all, if None), structures as they come."""
    energy, absolute, squared, components, molecules = 0.0, 0.0, 0.0, 0, 0
    for batch in data.batches(EVALUATION_BATCH, rows):
        energies, forces = energy_and_forces(model, batch)
        energy += float(((energies - batch.energy).abs() / batch.atom_counts()).sum())
        difference = forces - batch.forces
        if batch.present is not None:
            difference = difference[batch.present]
        absolute += float(difference.abs().sum())
        squared += float(difference.square().sum())
        components += difference.numel()
        molecules += len(batch.energy)
    return Errors(1e3 * energy / molecules, 1e3 * absolute / components, 1e3 * math.sqrt(squared / components))


def loss_of(model: TransIP, batch: Batch, config: TrainConfig) -> Tensor:
    """Weighted mean absolute energy error per atom plus mean length of the force error of an atom."""
    energies, forces = energy_and_forces(model, batch, differentiable=True)
    energy_loss = ((energies - batch.energy).abs() / batch.atom_counts()).mean()
    # The square root has no derivative where a force is exact (padding): a tiny constant keeps it finite.
    lengths = ((forces - batch.forces).square().sum(dim=-1) + 1e-12).sqrt()
    force_loss = lengths.mean() if batch.present is None else lengths[batch.present].mean()
    return config.energy_weight * energy_loss + config.force_weight * force_loss


def _rate(config: TrainConfig, step: int) -> float:
    if step < config.warmup:
        return (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.5 * (1 + math.cos(math.pi * progress))


@dataclass
class Progress:
    """What a training run says of itself at every report."""

    step: int
    steps: int
    seconds: float
    validation: Errors


class Trainer:
    """One training run with its state on disk: interrupted and started again, it goes on where it was saved."""

    def __init__(self, config: TrainConfig, output: Path) -> None:
        """Load the data and set up, or restore, the run.

        Args:
            config: the recipe.
            output: checkpoint to write in the end; the state lies beside it in ``<output>.state``.

        Raises:
            UsageError: data files are missing, unlabelled or too few, or the state is that of another configuration.
        """
        self.config = config
        self.output = output
        self.state_file = output.with_name(output.name + ".state")
        everything = load_molecules(config.data.train)
        if len(everything) <= config.data.validation:
            raise UsageError(
                f"The training data hold {len(everything)} frames, and {config.data.validation} of them are kept for "
                "validation: none are left. Sample more frames, or lower data.validation."
            )
        rows = torch.arange(len(everything))
        self.data = everything
        self.train_rows = rows[: -config.data.validation]
        self.validation_rows = rows[-config.data.validation :]
        torch.manual_seed(config.seed)
        self.model = TransIP(config.model_shape(everything.known_species()))
        self.model.reference_energies.copy_(everything.fit_references(self.model.config.species))
        self.model.energy_scale.fill_(everything.force_scale())
        self.average = copy.deepcopy(self.model)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.generator = torch.Generator().manual_seed(config.seed)
        self.step = 0
        self.seconds = 0.0
        self.order = torch.empty(0, dtype=torch.int64)
        if self.state_file.exists():
            self._restore()

    def _restore(self) -> None:
        state = torch.load(self.state_file, weights_only=True)
        if state["config"] != self.config.model_dump(mode="json"):
            raise UsageError(
                f"{self.state_file} is the state of a run with another configuration. Remove it, or choose another "
                "output."
            )
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.step, self.seconds, self.order = state["step"], state["seconds"], state["order"]

    def _save(self) -> None:
        state = {
            "config": self.config.model_dump(mode="json"),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
            "order": self.order,
        }
        partial = self.state_file.with_name(self.state_file.name + ".part")
        torch.save(state, partial)
        partial.replace(self.state_file)

    def _next_rows(self) -> Tensor:
        if len(self.order) < self.config.batch_size:
            shuffled = torch.randperm(len(self.train_rows), generator=self.generator)
            self.order = torch.cat([self.order, self.train_rows[shuffled]])
        rows, self.order = self.order[: self.config.batch_size], self.order[self.config.batch_size :]
        return rows

    def _advance(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * _rate(self.config, self.step)
        batch = self.data.batch(self._next_rows())
        batch = batch.rotated(random_rotations(len(batch.energy), self.generator))
        self.optimizer.zero_grad(set_to_none=True)
        loss_of(self.model, batch, self.config).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_gradient)
        self.optimizer.step()
        self.step += 1
        # A short memory at first, so that the average forgets the random start.
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)

    def validate(self) -> Errors:
        """Errors of the averaged weights on the validation frames."""
        return measure_errors(self.average, self.data, self.validation_rows)

    def run(self, report: Callable[[Progress], None], advanced: Callable[[int], None] = lambda step: None) -> Errors:
        """Train to the end, write the checkpoint, remove the state and return its errors on the held-out files.

        Args:
            report: called with every validation.
            advanced: called with the number of steps done, after each one.

        Raises:
            TransIPError: training diverged.
        """
        began = time.monotonic() - self.seconds
        while self.step < self.config.steps:
            self._advance()
            advanced(self.step)
            if self.step % self.config.report_every == 0 or self.step == self.config.steps:
                self.seconds = time.monotonic() - began
                self._save()
                errors = self.validate()
                if not math.isfinite(errors.force_mae):
                    raise TransIPError(
                        f"Training diverged before step {self.step}: the model gives forces that are not finite. "
                        f"Lower learning_rate, remove {self.state_file} and start again."
                    )
                report(Progress(self.step, self.config.steps, self.seconds, errors))
        test = measure_errors(self.average, load_molecules(self.config.data.test))
        save_checkpoint(self.output, self.average, self._record(test))
        self.state_file.unlink()
        return test

    def _record(self, test: Errors) -> dict[str, Any]:
        recipe = self.config.model_dump(mode="json")
        for name in ("train", "test"):
            recipe["data"][name] = [Path(file).name for file in recipe["data"][name]]
        return {
            "data": self.config.data.description,
            "level_of_theory": self.config.data.level_of_theory,
            "licence": self.config.data.licence,
            "frames": len(self.train_rows),
            "closest_pair": self.data.closest_pair(),
            "held_out": asdict(test),
            "seconds": round(self.seconds),
            "recipe": recipe,
        }
