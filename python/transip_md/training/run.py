"""A training run from configuration to checkpoint, by Lightning."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from ase.data import chemical_symbols
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.common.locks import exclusive
from transip_md.data.frames import Frames, Survey, fit_references, open_frames, survey
from transip_md.model.checkpoint import load_named, save_checkpoint
from transip_md.model.config import ModelConfig
from transip_md.model.network import TransIP
from transip_md.training.batches import Collate, EndlessBatches, by_atoms
from transip_md.training.callbacks import GracefulEnd, Progress, ReportProgress, State, check_recipe
from transip_md.training.config import TrainConfig, atomic_number
from transip_md.training.evaluation import EVALUATION_ATOMS, Report, measure_errors
from transip_md.training.latent_sample import latent_sample
from transip_md.training.module import LOG_EVERY, TrainingModule
from transip_md.training.widening import widened


class ResumableLoader(DataLoader):
    """A loader whose sampler starts where the run stopped: nothing is left to restore."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the sampler knows its position from the number of steps."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do."""


class TrainingRun:
    """One training run with its state on disk: interrupted and started again, it resumes where it was saved.

    Attributes:
        step: steps that a saved state has behind it.
        folder: ``<output>.run``: state, metrics.csv and TensorBoard's files.
        added: what the model of `start_from` did not know and is given.
    """

    def __init__(self, config: TrainConfig, output: Path) -> None:
        """Load the data and set up the model.

        Args:
            config: the recipe.
            output: checkpoint to write in the end.

        Raises:
            UsageError: data files are missing, unlabelled or too few, or the state is that of another configuration.
        """
        self.config, self.output = config, output
        self.folder = output.with_name(output.name + ".run")
        self._module: TrainingModule | None = None
        self.state_file = self.folder / "state.ckpt"
        self.recipe = _recipe(config)
        self.step = 0
        if self.state_file.exists():
            saved = torch.load(self.state_file, weights_only=True, map_location="cpu")
            check_recipe(saved, self.recipe, self.state_file)
            self.step = saved["global_step"]
            if self.step > config.steps:
                raise UsageError(
                    f"{self.state_file} has {self.step} steps behind it, and the configuration asks for "
                    f"{config.steps}. Raise steps, type `--set steps={self.step}` to end the run where it is, or "
                    "remove the state."
                )
        start = None if config.start_from is None else load_named(config.start_from)
        species = config.model_species() if start is None else None
        self.frames = self._open(config.data.train, species)
        self.train_rows, self.validation_rows = self._split()
        self.survey = survey(self.frames, np.concatenate([self.train_rows, self.validation_rows]))
        torch.manual_seed(config.seed)
        self.added: list[str] = []
        self.model = self._new_model() if start is None else self._widened(start.model)
        self.test_frames = self._open(config.data.test, self.model.config.species)
        self._check_layout(self.model.config)
        self._set_references(self.model, fresh=start is None)

    def _open(self, paths: list[Path], species: tuple[int, ...] | None) -> Frames:
        data = self.config.data
        return open_frames(paths, species=species, charge=data.charge, multiplicity=data.multiplicity)

    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows to train on and rows to validate on, drawn by the seed."""
        data, total = self.config.data, len(self.frames)
        wanted = data.validation + (data.frames or 1)
        if total < wanted:
            raise UsageError(
                f"The training data hold {total} frames, and {data.validation} of them are kept for validation: "
                f"{max(0, total - data.validation)} are left, {data.frames or 1} are wanted. Sample more frames, or "
                "lower data.validation or data.frames."
            )
        drawn = np.random.default_rng([self.config.seed, 1]).permutation(total)
        chosen = drawn[data.validation :][: data.frames]
        if data.bootstrap:
            chosen = np.random.default_rng([self.config.seed, 2]).choice(chosen, len(chosen))
        return np.sort(chosen), np.sort(drawn[: data.validation])

    def _new_model(self) -> TransIP:
        found: Survey = self.survey
        return TransIP(self.config.model_shape(found.species, found.charge, found.multiplicity))

    def _widened(self, model: TransIP) -> TransIP:
        """The network that training starts from, which knows what the data hold; notes what is added."""
        found, known = self.survey, model.config
        shape = self.config.widened_shape(known, found.species, found.charge, found.multiplicity)
        if shape == known:
            return model
        new = [chemical_symbols[z] for z in shape.species[len(known.species) :]]
        self.added += [f"elements {', '.join(new)}"] if new else []
        for name in ("charge", "multiplicity"):
            low, high = getattr(shape, name)
            self.added += [f"{name} {low} to {high}"] if (low, high) != getattr(known, name) else []
        for name in ("short_range", "short_range_end", "charge_energies", "layers", "feedforward"):
            value = getattr(shape, name)
            self.added += [f"{name} {value}"] if value != getattr(known, name) else []
        return widened(model, shape)

    def _check_layout(self, shape: ModelConfig) -> None:
        if shape.cutoff is None and self.frames.periodic:
            raise UsageError(
                "The training data are periodic, and an all-to-all model describes isolated molecules. Give the model "
                "a cutoff (Angstrom), such as `cutoff: 4.5` under `model`."
            )

    def _set_references(self, model: TransIP, *, fresh: bool) -> None:
        """Reference energies, given or fitted, of elements and charges that occur; others keep theirs."""
        species, occurring = model.config.species, self.survey.species
        charges = tuple(charge for charge in self.survey.charges if charge) if model.config.charge_energies else ()
        given = None
        if self.config.data.references is not None:
            energies = {atomic_number(element): energy for element, energy in self.config.data.references.items()}
            missing = set(occurring) - set(energies)
            if missing:
                raise UsageError(f"data.references lack atomic numbers {sorted(missing)}, which the data hold.")
            given = np.array([energies[z] for z in occurring])
        if given is not None and not charges:
            fitted = given
        else:
            fitted = fit_references(self.frames, occurring, self.train_rows, charges=charges, given=given)
        for z, energy in zip(occurring, fitted.tolist(), strict=False):
            model.reference_energies[species.index(z)] = energy
        for charge, energy in zip(charges, fitted[len(occurring) :].tolist(), strict=True):
            model.charge_energies[charge - model.lowest_charge] = energy
        if fresh:
            model.energy_scale.fill_(self.survey.force_scale)

    def _loaders(self, trainer: pl.Trainer) -> tuple[DataLoader, DataLoader]:
        config, counts = self.config, self.frames.atom_counts()
        rank, world = trainer.global_rank, trainer.world_size
        sampler = EndlessBatches(
            self.train_rows,
            counts,
            seed=config.seed,
            batch_size=config.batch_size,
            batch_atoms=config.batch_atoms,
            start=self.step,
            rank=rank,
            world=world,
        )
        validation = [part.tolist() for part in by_atoms(counts, self.validation_rows[rank::world], EVALUATION_ATOMS)]
        common: dict[str, Any] = {
            "collate_fn": Collate(self.model.config.cutoff),
            "num_workers": config.data.workers,
            "persistent_workers": config.data.workers > 0,
            # Forked children of a process that has used threads or CUDA may hang.
            "multiprocessing_context": "spawn" if config.data.workers else None,
        }
        return (
            ResumableLoader(self.frames, batch_sampler=sampler, **common),
            ResumableLoader(self.frames, batch_sampler=validation, **common),
        )

    def _trainer(self, callbacks: list[pl.Callback]) -> pl.Trainer:
        config = self.config
        if config.accelerator == "cuda" and not torch.cuda.is_available():
            raise EnvironmentFaultError(
                f"accelerator: cuda was asked for, but torch {torch.__version__} sees no CUDA device. "
                "Type `--set accelerator=cpu`."
            )
        if config.precision == "tf32":
            torch.set_float32_matmul_precision("high")
        several = config.devices * config.nodes > 1
        return pl.Trainer(
            accelerator={"cuda": "gpu"}.get(config.accelerator, config.accelerator),
            devices=config.devices,
            num_nodes=config.nodes,
            strategy="ddp" if several else "auto",
            precision="bf16-mixed" if config.precision == "bf16" else "32-true",
            max_steps=config.steps,
            val_check_interval=min(config.report_every, config.steps),
            check_val_every_n_epoch=None,
            gradient_clip_val=config.clip_gradient,
            logger=[
                # A logger starts its file anew: each part of an interrupted run has its own.
                CSVLogger(self.folder, name="csv", version=f"from_step_{self.step}"),
                TensorBoardLogger(self.folder, name="tensorboard", version=f"from_step_{self.step}"),
            ],
            log_every_n_steps=LOG_EVERY,
            callbacks=callbacks,
            # The state is saved by `State`, progress is shown by the caller.
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            inference_mode=False,
            benchmark=False,
        )

    def loss(self) -> float | None:
        """The loss of the last batch that was trained on, without unit; None before the first."""
        if self._module is None or self._module.loss is None:
            return None
        return float(self._module.loss)

    def train(
        self,
        report: Callable[[Progress], None] = lambda progress: None,
        advanced: Callable[[int], None] = lambda step: None,
    ) -> Report:
        """Train to the end, write the checkpoint, remove the state and return the errors on the held-out files.

        A state with as many steps behind it as the configuration asks for ends where it is: nothing is trained.

        Args:
            report: called with every validation.
            advanced: called with the number of steps done, after each one.

        Raises:
            TransIPError: training diverged.
            EnvironmentFaultError: another process trains into the same folder.
            KeyboardInterrupt: SIGINT or SIGTERM came; the state is saved.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        # Ranks of one run share its folder: the first holds it for all.
        held = exclusive(self.folder) if int(os.environ.get("LOCAL_RANK", "0")) == 0 else contextlib.nullcontext()
        with held:
            return self._train(report, advanced)

    def _train(self, report: Callable[[Progress], None], advanced: Callable[[int], None]) -> Report:
        """Train in a folder that this process holds; see `train`."""
        config = self.config
        state = State(self.state_file, self.recipe, config.report_every)
        largest = int(self.frames.atom_counts()[self.validation_rows].max())
        module = self._module = TrainingModule(self.model, config, largest)
        if self.step == config.steps:
            saved = torch.load(self.state_file, weights_only=True, map_location="cpu")
            module.load_state_dict(saved["state_dict"])
            state.take_up(saved)
            return self._end(module, state, self.step)
        end = GracefulEnd(state)
        callbacks: list[pl.Callback] = [state, ReportProgress(state, report, advanced), end]
        if config.patience is not None:
            callbacks.append(EarlyStopping("val/force_mae", patience=config.patience))
        with _quiet(), denormals_as_zero():
            trainer = self._trainer(callbacks)
            train, validation = self._loaders(trainer)
            resume = self.state_file if self.step else None
            trainer.fit(module, train, validation, ckpt_path=resume, weights_only=True)
        if end.caught is not None:
            raise KeyboardInterrupt
        if not trainer.is_global_zero and module.validation is not None:
            return module.validation
        return self._end(module, state, trainer.global_step)

    def _end(self, module: TrainingModule, state: State, steps: int) -> Report:
        """Write the checkpoint of the averaged weights, remove the state and return the errors on held-out files."""
        model = module.average.cpu().eval()
        test = measure_errors(model, self.test_frames)
        transport = None if module.transport is None else module.transport.cpu().state_dict()
        sample = latent_sample(model, self.frames, self.train_rows, self.validation_rows, self.config.seed)
        save_checkpoint(self.output, model, self._record(test, steps, state), transport, sample)
        self.state_file.unlink(missing_ok=True)
        return test

    def _record(self, test: Report, steps: int, state: State) -> dict[str, Any]:
        data = self.config.data
        return {
            "data": data.description,
            "level_of_theory": data.level_of_theory,
            "licence": data.licence,
            "frames": len(self.train_rows),
            "closest_pair": self.survey.closest_pair,
            "largest": self.survey.largest,
            "held_out": test.summary(),
            "steps": steps,
            "seconds": round(state.elapsed()),
            "recipe": recorded_recipe(self.config),
            # Parts of the run that were planned for another number of steps.
            "planned": state.planned,
        }


def _recipe(config: TrainConfig) -> dict[str, Any]:
    """The recipe as it stands in a state; states of before there was a bootstrap do not name it."""
    recipe = config.model_dump(mode="json")
    if not config.data.bootstrap:
        del recipe["data"]["bootstrap"]
    return recipe


def recorded_recipe(config: TrainConfig) -> dict[str, Any]:
    """The recipe as it stands in a checkpoint: files by their names, without folders."""
    recipe = _recipe(config)
    for name in ("train", "test"):
        recipe["data"][name] = [Path(file).name for file in recipe["data"][name]]
    if recipe["start_from"] is not None:
        recipe["start_from"] = Path(recipe["start_from"]).name
    return recipe


@contextlib.contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Compute with 0 for numbers below 1e-38: the tails of the radial functions are full of them, and slow."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning from printing hints: the command reports what users need to know."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            # DDP's hint about memory layout of a one-row weight.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
