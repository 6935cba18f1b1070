"""One training step and one validation, as Lightning wants them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from transip_md.common.errors import TransIPError
from transip_md.model.batch import Batch
from transip_md.model.evaluate import Prediction, predict
from transip_md.model.network import TransIP
from transip_md.model.rotations import random_rotations
from transip_md.training.compiled import CompiledPredict
from transip_md.training.config import TrainConfig
from transip_md.training.evaluation import Report, Tally, tally_batch
from transip_md.training.groups import parameter_groups
from transip_md.training.muon import MuonAdamW
from transip_md.training.objective import (
    Transport,
    consistency_losses,
    equivariance_loss,
    label_losses,
    ramp,
    weighted,
)

#: Steps between logged training losses.
LOG_EVERY = 50


class TrainingModule(pl.LightningModule):
    """The model, the moving average of its weights and the transport network T, with the objective.

    Everything random in a step is drawn from the seed and the number of the step, so that a resumed run repeats the
    unbroken one.
    """

    def __init__(self, model: TransIP, config: TrainConfig, largest: int) -> None:
        """Set up.

        Args:
            model: the network.
            config: the recipe.
            largest: atoms of the largest structure in the validation frames.
        """
        super().__init__()
        self.model = model
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.config = config
        self.largest = largest
        self._predict: Callable[[Batch], Prediction] = (
            CompiledPredict(model) if config.compile else partial(predict, model, differentiable=True)
        )
        self.validation: Report | None = None
        self.loss: Tensor | None = None
        equivariance = config.objective.equivariance
        self.transport: Transport | None = None
        if equivariance is not None:
            self.transport = Transport(model.config.dim, equivariance.hidden)

    def losses(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """L of a batch and its parts without their weights; what is random is drawn for this step.

        Args:
            batch: labelled structures as they come.
            step: steps done before this one.

        Returns:
            L, with the graph, and `energy` (eV), `force` (eV/Angstrom) and, if they are on, `consistency_energy`,
            `consistency_force` and `equivariance`.
        """
        generator = self._generator(step)
        objective = self.config.objective
        first = random_rotations(len(batch), generator).to(batch.positions.device)
        view = labelled = batch.rotated(first) if objective.rotations else batch
        if objective.consistency or objective.equivariance is not None:
            relative = random_rotations(len(batch), generator).to(batch.positions.device)
            other = view.rotated(relative)
        if objective.consistency:
            labelled = view.with_view(other)
        prediction = self._predict(labelled)
        energy, force = label_losses(prediction, labelled)
        losses = {"energy": energy, "force": force}
        loss = weighted(objective, energy, force)
        here, there = prediction, None
        if objective.consistency:
            here, there = prediction.halves()
            energy, force = consistency_losses(here, there, relative, view)
            losses |= {"consistency_energy": energy, "consistency_force": force}
            loss = loss + objective.consistency * weighted(objective, energy, force)
        if objective.equivariance is not None:
            assert self.transport is not None
            embedding = other.encode(self.model, other.positions) if there is None else there.embedding
            losses["equivariance"] = equivariance_loss(
                self.transport, here.embedding, embedding, relative, view, objective.equivariance
            )
            loss = loss + ramp(objective.equivariance, step) * losses["equivariance"]
        return loss, losses

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        """The loss of a batch."""
        step = self.global_step
        loss, losses = self.losses(batch, step)
        if (step + 1) % LOG_EVERY == 0:
            self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()}, batch_size=len(batch))
        self.loss = loss.detach()
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then move the average.

        Here and not in `on_train_batch_end`, because the state is saved before that hook is called.
        """
        super().optimizer_step(*args, **kwargs)
        self.move_average(self.global_step)

    def move_average(self, step: int) -> None:
        """Move the averaged weights towards the model's; `step` is that of `losses`."""
        # A short memory at first, so that the average forgets the random start.
        decay = min(self.config.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)

    def on_validation_epoch_start(self) -> None:
        """Start to count errors."""
        self._tally = Tally(self.largest)
        self._rotations = torch.Generator().manual_seed(self.config.seed + self.global_rank)

    def validation_step(self, batch: Batch, _index: int) -> None:
        """Count the errors of the averaged weights."""
        tally_batch(self._tally, self.average, batch, self._rotations)

    def on_validation_epoch_end(self) -> None:
        """Add the processes' errors up and log them."""
        if self.trainer.world_size > 1:
            for name, sums in self._tally.sums.items():
                self._tally.sums[name] = self.trainer.strategy.reduce(sums.to(self.device), reduce_op="sum").cpu()
            worst = self.trainer.strategy.reduce(self._tally.worst.to(self.device), reduce_op="max")
            self._tally.worst = worst.cpu()
        report = self._tally.report()
        if not math.isfinite(report.force_mae):
            raise TransIPError(
                f"Training diverged before step {self.global_step}: the model gives forces that are not finite. "
                "Lower learning_rate, remove the saved state and start again."
            )
        self.validation = report
        assert report.rotation is not None
        self.log_dict(
            {
                "val/energy_mae": report.energy_mae,
                "val/force_mae": report.force_mae,
                "val/force_rmse": report.force_rmse,
                "val/rotation_energy": report.rotation.energy_mae,
                "val/rotation_force": report.rotation.force_mae,
            }
        )

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW or Muon with linear warm-up, then a cosine to zero or a constant rate."""
        config = self.config
        muon = config.optimizer == "muon"
        groups = parameter_groups(self, config.learning_rate, muon, config.layer_decay)
        kind: type[torch.optim.Optimizer] = MuonAdamW if muon else torch.optim.AdamW
        optimizer = kind(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        config = self.config
        if step < config.warmup:
            return (step + 1) / config.warmup
        if config.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - config.warmup) / max(1, config.steps - config.warmup)))

    def _generator(self, step: int) -> torch.Generator:
        """Random numbers of one step and process."""
        state = np.random.SeedSequence([self.config.seed, step, self.global_rank]).generate_state(2)
        return torch.Generator().manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch; Lightning cannot know its class."""
        return batch.to(device)
