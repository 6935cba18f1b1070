"""What learns rotational symmetry best? `make learned-symmetry`, or `python benchmarks/learned_symmetry.py`.

Every cell of the table is one training run: data set x model x objective x seed. Each goes on until it has done a
number of steps and used up a time, both the same for all, and its errors are measured at either point: one run says
what an objective gives at equal steps and what it gives at equal cost. The time is the CPU time of the training process
in its steps alone, in one thread: evaluations do not count, and a busy machine changes little. The learning rate is
constant and the averaged weights are measured: no point lies in the middle of a schedule.

Finished cells are kept in benchmarks/runs/learned_symmetry and not run again. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import itertools
import json
import math
import multiprocessing
import os
import platform
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from rich.table import Table

from transip_md.cli.console import console, errors
from transip_md.cli.progress import LongTask
from transip_md.common.errors import TransIPError, UsageError
from transip_md.data.frames import Frames, fit_references, open_frames, survey
from transip_md.model.evaluate import predict
from transip_md.model.network import TransIP
from transip_md.plugins.locate import version_of
from transip_md.sampling import SamplingRecipe, sample
from transip_md.training.batches import Collate, EndlessBatches, by_atoms
from transip_md.training.config import DataConfig, EquivarianceConfig, ObjectiveConfig, TrainConfig
from transip_md.training.evaluation import EVALUATION_ATOMS, measure_errors
from transip_md.training.module import TrainingModule

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODELS = {
    "rope": ("plain RoPE", {"preset": "nano", "radial_bias": False}),
    "radial": ("radial bias", {"preset": "nano"}),
}
#: Files that are sampled if they are not there: temperature (K), frames, seed.
SAMPLED = {"ethanol_600K.extxyz": (600.0, 4000, 1), "ethanol_300K.extxyz": (300.0, 500, 2)}
#: Fields of TrainConfig that decide what a run comes to.
DECISIVE = {
    "model", "objective", "seed", "steps", "batch_size", "optimizer", "learning_rate", "schedule", "warmup",
    "weight_decay", "clip_gradient", "ema_decay",
}  # fmt: skip
#: What is measured, by the heading of its column: forces in meV/Angstrom, energies in meV/atom.
ERRORS = {
    "force_mae": "F MAE",
    "rotation_force_mae": "F rotation",
    "energy_mae": "E MAE",
    "energy_mae_less_offset": "E less offset",
    "rotation_energy_mae": "E rotation",
}
POINTS = ("at_steps", "at_time")
TIMED_STEPS, UNTIMED_STEPS = 40, 10

#: In a worker, what fraction of each cell is done; shared with the parent.
_fractions: Any = None


@dataclass(frozen=True)
class Budget:
    """When errors are measured: after so many steps, and after so many seconds of CPU time in training steps."""

    steps: int
    seconds: float


@dataclass(frozen=True)
class Cell:
    """One training run.

    Attributes:
        name: of its result file.
        data: the data set.
        row: what the table says of it besides; equal for all seeds.
        config: the recipe; errors are measured after its `steps`, and
        seconds: after this CPU time, s.
    """

    name: str
    data: str
    row: tuple[str, ...]
    config: TrainConfig
    seconds: float

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, as plain JSON."""
        files = (*self.config.data.train, *self.config.data.test)
        return {
            **self.config.model_dump(mode="json", include=DECISIVE),
            "seconds": self.seconds,
            "data_sha256": {file.name: _digest(file) for file in files},
        }


@functools.cache
def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


class Learner:
    """A training run step by step: TrainingModule without a Trainer, which would end it after a number of steps.

    Attributes:
        done: steps behind it.
        seconds: CPU time in them.
        average: the averaged weights.
    """

    def __init__(self, config: TrainConfig, model: TransIP, frames: Frames) -> None:
        """Train `model` on all `frames`."""
        counts = frames.atom_counts()
        self.frames, self.clip = frames, config.clip_gradient
        self.module = TrainingModule(model, config, int(counts.max()))
        self.average = self.module.average
        configured = self.module.configure_optimizers()
        self.optimizer, self.schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
        self.parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        rows = np.arange(len(frames))
        self.batches = iter(EndlessBatches(rows, counts, seed=config.seed, batch_size=config.batch_size))
        self.collate = Collate(model.config.cutoff)
        self.done, self.seconds = 0, 0.0

    def advance(self) -> None:
        """Do one step, as Lightning does it."""
        began = time.process_time()
        batch = self.collate([self.frames[row] for row in next(self.batches)])
        loss, _ = self.module.losses(batch, self.done)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        self.module.move_average(self.done)
        self.schedule.step()
        self.done += 1
        self.seconds += time.process_time() - began


def new_model(config: TrainConfig, frames: Frames) -> TransIP:
    """A model before training, drawn by the seed, with reference energies and scale of the training frames."""
    found = survey(frames)
    torch.manual_seed(config.seed)
    model = TransIP(config.model_shape(found.species, found.charge, found.multiplicity))
    model.reference_energies.copy_(torch.from_numpy(fit_references(frames, found.species)))
    model.energy_scale.fill_(found.force_scale)
    return model


def measure(model: TransIP, test: Frames) -> dict[str, float | None]:
    """Errors on held-out frames by the names of ERRORS, meV/atom and meV/Angstrom; None for what is not finite."""
    report = measure_errors(model, test)
    assert report.rotation is not None
    found = {
        "force_mae": report.force_mae,
        "rotation_force_mae": report.rotation.force_mae,
        "energy_mae": report.energy_mae,
        "energy_mae_less_offset": energy_error_less_offset(model, test),
        "rotation_energy_mae": report.rotation.energy_mae,
    }
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def energy_error_less_offset(model: TransIP, test: Frames) -> float:
    """Mean absolute error of the energy per atom when the mean error is taken off, meV/atom."""
    collate, counts, found = Collate(model.config.cutoff), test.atom_counts(), []
    for rows in by_atoms(counts, np.arange(len(test)), EVALUATION_ATOMS):
        batch = collate([test[row] for row in rows])
        found.append((predict(model, batch).energies - batch.energy) / batch.atom_counts())
    error = torch.cat(found)
    return 1000.0 * float((error - error.mean()).abs().mean())


def run_cell(cell: Cell, tell: Callable[[float], None] = lambda fraction: None) -> dict[str, Any]:
    """Train one cell and measure it at both points.

    Args:
        cell: what to train.
        tell: called with the fraction that is done, after every step.

    Returns:
        The result as plain JSON.
    """
    config = cell.config
    frames, test = open_frames(config.data.train), open_frames(config.data.test)
    learner = Learner(config, new_model(config, frames), frames)
    points: dict[str, Any] = {}
    while len(points) < len(POINTS):
        learner.advance()
        due = {"at_steps": learner.done >= config.steps, "at_time": learner.seconds >= cell.seconds}
        for point in POINTS:
            if due[point] and point not in points:
                measured = measure(learner.average, test)
                points[point] = {"steps": learner.done, "seconds": learner.seconds, "errors": measured}
        tell(min(1.0, learner.done / config.steps, learner.seconds / cell.seconds))
    return {
        "cell": cell.name,
        "settings": cell.settings(),
        **points,
        "ms_per_step": 1000.0 * learner.seconds / learner.done,
        "machine": machine(),
    }


def machine() -> dict[str, str]:
    """Processor and versions, which decide the time of a step."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file() and (model := re.search(r"model name\s*:\s*(.+)", info.read_text())):
        cpu = model.group(1)
    packages = {name: version_of(name) or "" for name in ("transip-md", "torch", "numpy")}
    return {"cpu": cpu, "python": platform.python_version(), **packages}


def write(file: Path, text: str) -> None:
    """Write a file; it appears whole or not at all."""
    partial = file.with_name(file.name + ".part")
    partial.write_text(text)
    partial.replace(file)


def load_result(cell: Cell, runs: Path) -> dict[str, Any] | None:
    """The kept result of a cell; None if there is none with these settings."""
    file = runs / f"{cell.name}.json"
    if not file.is_file():
        return None
    result = json.loads(file.read_text())
    return result if result["settings"] == cell.settings() else None


def _begin_worker(fractions: Any) -> None:
    global _fractions
    _fractions = fractions
    # An interrupt is for the parent, which ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _work(index: int, cell: Cell, runs: Path) -> dict[str, Any]:
    result = run_cell(cell, functools.partial(_fractions.__setitem__, index))
    write(runs / f"{cell.name}.json", json.dumps(result, indent=1) + "\n")
    return result


def run_missing(cells: list[Cell], runs: Path, jobs: int) -> None:
    """Run the cells that have no result yet, each in one thread, and keep the results.

    Args:
        cells: what shall be there in the end.
        runs: folder of results, one JSON file a cell.
        jobs: cells at a time.
    """
    waiting = [cell for cell in cells if load_result(cell, runs) is None]
    console.print(f"{len(cells)} cells, {len(cells) - len(waiting)} of them done before")
    if not waiting:
        return
    context = multiprocessing.get_context("spawn")
    fractions = context.Array("d", len(waiting))
    shown = LongTask("learned symmetry", len(waiting), unit="cells")
    with context.Pool(jobs, _begin_worker, (fractions,)) as pool, shown:
        pending = [pool.apply_async(_work, (index, cell, runs)) for index, cell in enumerate(waiting)]
        while pending:
            pending[0].wait(1.0)
            shown.update(sum(fractions))
            for one in [one for one in pending if one.ready()]:
                result = one.get()
                pending.remove(one)
                console.print(f"{result['cell']}: {_at_a_glance(result)}")


def _at_a_glance(result: dict[str, Any]) -> str:
    found = [result[point]["errors"]["force_mae"] for point in POINTS]
    at_steps, at_time = ("diverged" if value is None else f"{value:.1f} meV/Å" for value in found)
    return (
        f"force MAE {at_steps} after {result['at_steps']['steps']} steps, {at_time} after "
        f"{result['at_time']['steps']} of equal time, {result['ms_per_step']:.1f} ms a step"
    )


def data_sets(folder: Path) -> dict[str, DataConfig]:
    """The data sets by name.

    Args:
        folder: of sampled files; published ones are in the folder that TRANSIP_MD_DATA names, or there too.
    """
    published = Path(os.environ.get("TRANSIP_MD_DATA") or folder)
    return {
        "ethanol_pbe": DataConfig(
            train=[published / "ethanol_pbe_train.extxyz.xz"],
            test=[published / "ethanol_pbe_test.extxyz.xz"],
            description="ethanol, 1,000 frames to train on and 1,000 held out, rMD17 geometries (arXiv 2205.06643)",
            level_of_theory="PBE/def2-SVP",
            licence="MIT",
        ),
        "xtb4k": DataConfig(
            train=[folder / "ethanol_600K.extxyz"],
            test=[folder / "ethanol_300K.extxyz"],
            description="ethanol, 4,000 frames at 600 K to train on and 500 at 300 K held out, Langevin dynamics",
            level_of_theory="GFN2-xTB",
            licence="MIT",
        ),
    }


def prepare(data: DataConfig) -> None:
    """Sample the files that can be sampled and are not whole yet.

    Raises:
        UsageError: another file is missing.
    """
    for file in (*data.train, *data.test):
        if file.name not in SAMPLED:
            if not file.is_file():
                raise UsageError(
                    f"No such data file: {file}. Set TRANSIP_MD_DATA to the folder of {file.name}, or leave that data "
                    "set out: type `--only xtb4k`."
                )
            continue
        temperature, frames, seed = SAMPLED[file.name]
        file.parent.mkdir(parents=True, exist_ok=True)
        recipe = SamplingRecipe(teacher="gfn2-xtb", temperature=temperature, seed=seed)
        with LongTask(f"sampling {file.name}", frames, unit="frames") as shown:
            for done in sample(ROOT / "examples" / "ethanol.xyz", file, frames, recipe):
                shown.update(done)


def objectives(options: argparse.Namespace) -> dict[str, tuple[str, EquivarianceConfig | None]]:
    """What is trained for: name, words for the table, L_eq beside augmentation."""
    form = {"normalise": options.normalise, "stop_gradient": options.stop_gradient, "ramp": options.ramp}

    def squared(embedding: str) -> EquivarianceConfig:
        return EquivarianceConfig(weight=options.weight_squared, embedding=embedding, loss="squared", **form)

    contrastive = EquivarianceConfig(
        weight=options.weight_contrastive,
        embedding="pooled",
        loss="contrastive",
        temperature=options.temperature,
        **form,
    )
    return {
        "augmentation": ("augmentation alone", None),
        "pooled": ("+ pooled, squared", squared("pooled")),
        "atoms": ("+ per atom, squared", squared("atoms")),
        "contrastive": ("+ pooled, contrastive", contrastive),
    }


def recipe_of(
    data: DataConfig, model: str, equivariance: EquivarianceConfig | None, seed: int, steps: int
) -> TrainConfig:
    """The recipe of a cell: what is not an argument is the same for all."""
    return TrainConfig(
        data=data,
        model=MODELS[model][1],
        objective=ObjectiveConfig(equivariance=equivariance),
        seed=seed,
        steps=steps,
        batch_size=16,
        optimizer="muon",
        learning_rate=2e-3,
        schedule="constant",
        warmup=200,
        ema_decay=0.995,
        accelerator="cpu",
    )


def table_cells(sets: dict[str, DataConfig], options: argparse.Namespace, budget: Budget) -> list[Cell]:
    """All cells of the table, seeds of a row side by side."""
    return [
        Cell(
            f"{data}.{model}.{objective}.seed{seed}",
            data,
            (MODELS[model][0], words),
            recipe_of(sets[data], model, equivariance, seed, budget.steps),
            budget.seconds,
        )
        for data in sets
        for model in MODELS
        for objective, (words, equivariance) in objectives(options).items()
        for seed in options.seeds
    ]


def sweep_cells(data: DataConfig, options: argparse.Namespace, budget: Budget) -> list[Cell]:
    """Plain RoPE and pooled squared L_eq in all its forms, after augmentation alone; all on ethanol_pbe."""
    forms: list[tuple[str, tuple[str, ...], EquivarianceConfig | None]] = [
        ("augmentation", ("0 (augmentation alone)", "", "", ""), None)
    ]
    for weight, normalise, stop, ramp in itertools.product(
        options.weights, (True, False), (False, True), options.ramps
    ):
        name = f"pooled-{weight:g}-{'normalised' if normalise else 'raw'}-{'stopped' if stop else 'free'}-ramp{ramp}"
        row = (f"{weight:g}", "yes" if normalise else "no", "yes" if stop else "no", str(ramp))
        equivariance = EquivarianceConfig(
            weight=weight, embedding="pooled", loss="squared", normalise=normalise, stop_gradient=stop, ramp=ramp
        )
        forms.append((name, row, equivariance))
    return [
        Cell(
            f"ethanol_pbe.rope.{name}.seed{seed}",
            "ethanol_pbe",
            row,
            recipe_of(data, "rope", equivariance, seed, budget.steps),
            budget.seconds,
        )
        for name, row, equivariance in forms
        for seed in options.seeds
    ]


def time_steps(configs: dict[str, TrainConfig], frames: Frames) -> dict[str, float]:
    """CPU time of a training step of each recipe, ms: medians of steps taken in turns, so that all share the noise."""
    learners = {name: Learner(config, new_model(config, frames), frames) for name, config in configs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in configs}
    for _ in range(UNTIMED_STEPS + TIMED_STEPS):
        for name, learner in learners.items():
            before = learner.seconds
            learner.advance()
            seconds[name].append(learner.seconds - before)
    return {name: 1000.0 * float(np.median(times[UNTIMED_STEPS:])) for name, times in seconds.items()}


def choose_steps(data: DataConfig, options: argparse.Namespace, runs: Path) -> int:
    """Steps that the dearest model and objective manages in the time; measured once, then kept beside the results."""
    kept = runs / "steps.json"
    if kept.is_file():
        known = json.loads(kept.read_text())
        if known["minutes"] == options.minutes:
            return known["steps"]
    console.print("Timing a step of every model and objective")
    torch.set_num_threads(1)
    configs = {
        f"{model}.{objective}": recipe_of(data, model, equivariance, 0, 1)
        for model in MODELS
        for objective, (_, equivariance) in objectives(options).items()
    }
    timings = time_steps(configs, open_frames(data.train))
    for name, milliseconds in timings.items():
        console.print(f"  {name}: {milliseconds:.1f} ms")
    steps = max(1, int(60_000.0 * options.minutes / max(timings.values())))
    write(kept, json.dumps({"minutes": options.minutes, "steps": steps, "ms_per_step": timings}, indent=1) + "\n")
    return steps


def statistic(values: list[float | None]) -> dict[str, Any] | None:
    """Mean and half the range over seeds; None if a run diverged."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return {"mean": sum(known) / len(known), "half_range": (max(known) - min(known)) / 2.0, "values": known}


def summarise(cells: list[Cell], results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Statistics over the seeds of every row at both points.

    Args:
        cells: all cells of the table.
        results: by the cell's name, as far as there are any.

    Returns:
        For each data set, row and point: `data`, `row`, `point`, `runs` (how many seeds are in), and if there are any
        `steps`, `ms_per_step` and the names of ERRORS with what `statistic` gives.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = {}
    for cell in cells:
        group = groups.setdefault((cell.data, cell.row), [])
        if cell.name in results:
            group.append(results[cell.name])
    summary = []
    for point in POINTS:
        for (data, row), found in groups.items():
            entry: dict[str, Any] = {"data": data, "row": list(row), "point": point, "runs": len(found)}
            if found:
                entry["steps"] = statistic([result[point]["steps"] for result in found])
                entry["ms_per_step"] = statistic([result["ms_per_step"] for result in found])
                for name in ERRORS:
                    entry[name] = statistic([result[point]["errors"][name] for result in found])
            summary.append(entry)
    return summary


def figure(entry: dict[str, Any], name: str) -> str:
    """A statistic in words: three significant figures of the mean (counts whole), the spread to the same decimals."""
    if entry["runs"] == 0:
        return "–"
    found = entry[name]
    if found is None:
        return "diverged"
    mean = found["mean"]
    counts = all(isinstance(value, int) for value in found["values"])
    decimals = 0 if counts or mean == 0.0 else max(0, 2 - math.floor(math.log10(abs(mean))))
    spread = f" ± {found['half_range']:.{decimals}f}" if found["half_range"] else ""
    return f"{mean:.{decimals}f}{spread}"


@dataclass(frozen=True)
class Sheet:
    """One table, for the terminal and for Markdown; empty if no cell of it was run."""

    title: str
    header: list[str]
    rows: list[list[str]]
    empty: bool

    def rich(self) -> Table:
        """For the terminal."""
        table = Table(title=self.title, caption="forces in meV/Å, energies in meV/atom")
        for heading in self.header:
            table.add_column(heading)
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For a file."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return f"### {self.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def sheets(summary: list[dict[str, Any]], labels: tuple[str, ...], budget: Budget) -> Iterator[Sheet]:
    """One table for each data set and point; `labels` head the columns of `row`."""
    words = {
        "at_steps": f"after {budget.steps} steps",
        "at_time": f"after {budget.seconds / 60:g} min of CPU time in training steps",
    }
    for data in dict.fromkeys(entry["data"] for entry in summary):
        for point in POINTS:
            entries = [entry for entry in summary if (entry["data"], entry["point"]) == (data, point)]
            rows = [
                [
                    *entry["row"],
                    *(figure(entry, name) for name in (*ERRORS, "steps", "ms_per_step")),
                    str(entry["runs"]),
                ]
                for entry in entries
            ]
            header = [*labels, *ERRORS.values(), "steps", "ms/step", "runs"]
            yield Sheet(f"{data}, {words[point]}", header, rows, not any(entry["runs"] for entry in entries))


def introduction(title: str, cells: list[Cell], form: str, results: list[dict[str, Any]]) -> str:
    """What stands above the tables in Markdown; `form` says what L_eq is like."""
    config = cells[0].config
    machines = {json.dumps(result["machine"]) for result in results}
    made = ["; ".join(f"{key} {value}" for key, value in json.loads(one).items()) for one in sorted(machines)]
    sets = {cell.data: cell.config.data for cell in cells}
    data = "".join(f"- {name}: {one.description}; {one.level_of_theory}\n" for name, one in sets.items())
    return f"""# {title}

Written by `benchmarks/learned_symmetry.py`; `benchmarks/README.md` explains the columns. Forces in meV/Å,
energies in meV/atom; means over seeds, ± half the range. All runs: model `nano`, {config.batch_size} frames a step,
every structure rotated at random, optimizer {config.optimizer}, learning rate {config.learning_rate:g} (constant
after {config.warmup} steps), averaged weights (decay {config.ema_decay:g}), one thread. {form}

{data}
Made with: {" and ".join(made) or "nothing yet"}.
"""


def form_of(options: argparse.Namespace) -> str:
    """What L_eq is like, in words."""
    if options.sweep:
        return "L_eq: pooled, squared."
    return (
        f"L_eq: weight {options.weight_squared:g} squared and {options.weight_contrastive:g} contrastive (temperature "
        f"{options.temperature:g}),\nramp of {options.ramp} steps; embeddings "
        f"{'normalised' if options.normalise else 'as they are'}; "
        f"{'no gradient' if options.stop_gradient else 'gradients'} through the target."
    )


def report(
    name: str, title: str, labels: tuple[str, ...], cells: list[Cell], options: argparse.Namespace, budget: Budget
) -> None:
    """Show the tables and write them as NAME.md and NAME.json."""
    folder: Path = options.folder
    results = {}
    for cell in cells:
        result = load_result(cell, runs_folder(folder))
        if result is not None:
            results[cell.name] = result
    summary = summarise(cells, results)
    parts = [introduction(title, cells, form_of(options), list(results.values()))]
    for sheet in sheets(summary, labels, budget):
        if not sheet.empty:
            console.print(sheet.rich())
        parts.append(sheet.markdown())
    write(folder / f"{name}.md", "\n".join(parts))
    record = {
        "minutes": options.minutes,
        "steps": budget.steps,
        "machine": machine(),
        "summary": summary,
        "cells": list(results.values()),
    }
    write(folder / f"{name}.json", json.dumps(record, indent=1) + "\n")
    console.print(f"{folder / name}.md and .json: {len(results)} of {len(cells)} cells")


def runs_folder(folder: Path) -> Path:
    """Where results of cells are kept."""
    return folder / "runs" / "learned_symmetry"


def select(cells: list[Cell], pattern: str) -> list[Cell]:
    """Cells whose names match.

    Raises:
        UsageError: not a regular expression, or nothing matches.
    """
    try:
        chosen = [cell for cell in cells if re.search(pattern, cell.name)]
    except re.error as error:
        raise UsageError(f"--only {pattern}: {error}. Expected a regular expression.") from error
    if not chosen:
        raise UsageError(f"--only {pattern} matches no cell. Expected a part of names such as {cells[0].name}.")
    return chosen


def run(options: argparse.Namespace) -> None:
    """Everything that the command does."""
    runs = runs_folder(options.folder)
    runs.mkdir(parents=True, exist_ok=True)
    sets = data_sets(options.folder / "data")

    def cells_for(budget: Budget) -> list[Cell]:
        if options.sweep:
            return sweep_cells(sets["ethanol_pbe"], options, budget)
        return table_cells(sets, options, budget)

    seconds = 60.0 * options.minutes
    # Names do not depend on the number of steps, and which data are needed must be known before steps can be timed.
    names = {cell.name: cell.data for cell in select(cells_for(Budget(1, seconds)), options.only)}
    for data in dict.fromkeys(names.values()):
        prepare(sets[data])
    steps = options.steps or choose_steps(sets[next(iter(names.values()))], options, runs)
    budget = Budget(steps, seconds)
    console.print(f"Errors after {steps} steps, and after {options.minutes:g} min of CPU time in training steps")
    cells = cells_for(budget)
    run_missing([cell for cell in cells if cell.name in names], runs, options.jobs)
    if options.sweep:
        labels = ("weight", "normalised", "gradient stopped", "ramp (steps)")
        report("learned_symmetry_sweep", "Settings of pooled squared L_eq, plain RoPE", labels, cells, options, budget)
    else:
        labels = ("model", "objective")
        report("learned_symmetry", "What learns rotational symmetry best", labels, cells, options, budget)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=_positive(float), default=3.0, help="CPU time of training steps (3)")
    parser.add_argument("--steps", type=_positive(int), help="default: what the dearest cell manages in that time")
    parser.add_argument("--seeds", type=_count, nargs="+", default=[0, 1])
    parser.add_argument("--only", default="", metavar="REGEX", help="run the cells whose names match")
    parser.add_argument("--jobs", type=_positive(int), default=1, help="cells at a time, one thread each")
    parser.add_argument("--folder", type=Path, default=HERE, help="where data, runs and tables are")
    form = parser.add_argument_group("L_eq")
    form.add_argument("--weight-squared", type=_positive(float), default=1.0, help="(1)")
    form.add_argument("--weight-contrastive", type=_positive(float), default=0.1, help="(0.1)")
    form.add_argument("--temperature", type=_positive(float), default=0.1, help="of InfoNCE (0.1)")
    form.add_argument("--normalise", action=argparse.BooleanOptionalAction, default=True)
    form.add_argument("--stop-gradient", action=argparse.BooleanOptionalAction, default=False)
    form.add_argument("--ramp", type=_count, default=0, help="steps over which the weight rises from zero (0)")
    sweep = parser.add_argument_group("sweep")
    sweep.add_argument("--sweep", action="store_true", help="plain RoPE, pooled squared L_eq in all its forms instead")
    sweep.add_argument("--weights", type=_positive(float), nargs="+", default=[0.01, 0.1, 1.0], help="(0.01 0.1 1)")
    sweep.add_argument("--ramps", type=_count, nargs="+", default=[0, 1000], help="(0 1000)")
    return parser.parse_args(arguments)


def _positive(number: type[int] | type[float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = number(text)
        if not (value > 0 and math.isfinite(value)):
            raise argparse.ArgumentTypeError(f"expected a number above zero, got {text}")
        return value

    return read


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected zero or more, got {text}")
    return value


def main() -> int:
    """Run the command; errors become one paragraph and an exit code."""
    options = parse()
    # Ended from outside, the command must end its workers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(options)
    except TransIPError as error:
        errors.print(f"Error: {error}", markup=False, soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt:
        errors.print("Interrupted. The cells that are done are kept; the same command resumes.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
