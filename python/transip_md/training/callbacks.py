"""What happens around training steps: progress, saved states, a clean end when interrupted."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl

from transip_md.common.errors import UsageError
from transip_md.common.whole_files import replacing
from transip_md.training.evaluation import Report
from transip_md.training.module import TrainingModule


@dataclass(frozen=True)
class Progress:
    """What a training run reports at every validation."""

    step: int
    steps: int
    seconds: float
    validation: Report


class State(pl.Callback):
    """Saves the run's state and counts the time of all its parts.

    Attributes:
        planned: parts of the run that were planned for another number of steps, and hence another learning rate.
    """

    def __init__(self, path: Path, recipe: dict[str, Any], every: int) -> None:
        """Save to `path` after every so many steps; `recipe` is plain JSON."""
        self.path, self.recipe, self.every = path, recipe, every
        self.seconds = 0.0
        self.planned: list[dict[str, int]] = []
        self._began: float | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def elapsed(self) -> float:
        """Seconds of training, all parts of an interrupted run together."""
        return self.seconds + (0.0 if self._began is None else time.monotonic() - self._began)

    def save(self, trainer: pl.Trainer) -> None:
        """Write the state; the file appears whole or not at all."""
        if not trainer.is_global_zero:
            # All ranks gather the state, the first one writes it.
            trainer.save_checkpoint(self.path)
            return
        with replacing(self.path) as partial:
            trainer.save_checkpoint(partial)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save when it is time."""
        if trainer.global_step % self.every == 0:
            self.save(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the recipe, the time and the plan."""
        checkpoint["transip_recipe"], checkpoint["transip_seconds"] = self.recipe, self.elapsed()
        checkpoint["transip_planned"] = self.planned

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take up what a saved state says."""
        self.take_up(checkpoint)

    def take_up(self, saved: dict[str, Any]) -> None:
        """Take up the time of a saved state, and note a change of plan."""
        self.seconds = saved["transip_seconds"]
        self.planned = list(saved.get("transip_planned", []))
        planned = saved["transip_recipe"]["steps"]
        if planned != self.recipe["steps"]:
            self.planned.append({"until_step": saved["global_step"], "steps": planned})


def check_recipe(state: dict[str, Any], recipe: dict[str, Any], path: Path) -> None:
    """Raise UsageError if a saved state is that of another recipe. Another number of steps is allowed."""
    saved = state.get("transip_recipe") or {}
    if {**saved, "steps": 0} != {**recipe, "steps": 0}:
        raise UsageError(
            f"{path} is the state of a run with another configuration. Remove it, or choose another output."
        )


class ReportProgress(pl.Callback):
    """Hands steps and validations to whoever shows them."""

    def __init__(self, state: State, report: Callable[[Progress], None], advanced: Callable[[int], None]) -> None:
        """Call `advanced` after every step and `report` after every validation."""
        self.state, self.report, self.advanced = state, report, advanced

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Report the number of steps."""
        self.advanced(trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Report."""
        if trainer.is_global_zero and pl_module.validation is not None:
            self.report(Progress(trainer.global_step, trainer.max_steps, self.state.elapsed(), pl_module.validation))


class GracefulEnd(pl.Callback):
    """On SIGINT or SIGTERM ends the run after the step at hand, its state saved; a second signal ends it at once."""

    def __init__(self, state: State) -> None:
        """Save by `state`."""
        self.state = state
        self.caught: int | None = None
        self._before: dict[int, Any] = {}

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self.caught = number
        signal.signal(number, self._before[number])

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Catch signals from now on."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._catch)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save and stop if a signal came to any process."""
        if trainer.strategy.reduce_boolean_decision(self.caught is not None, all=False):
            self.caught = self.caught or signal.SIGTERM
            self.state.save(trainer)
            trainer.should_stop = True

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
