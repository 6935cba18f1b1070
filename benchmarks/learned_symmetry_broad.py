"""What learns rotational symmetry best on many molecules: `python benchmarks/learned_symmetry_broad.py [RUN ...]`.

Trains on frames of 1,269 molecules, and measures on molecules that are not among them: on those of `make
train-organic-broad` and `make train-organic-large`, or, with `--data many`, on the more than 100,000 that `make
learned-symmetry-many` labels. A run is MODEL-OBJECTIVE-seedN, such as `rope-contrastive-seed0`:

rope, radial   plain RoPE, and with the radial bias
augmentation   every structure rotated at random
contrastive    augmentation and L_eq of pooled embeddings, InfoNCE
consistency    half of the steps augmentation, half of them two views of half as many structures, which must agree

All runs have as many steps of as many labelled atoms. They resume when interrupted; a checkpoint that is in a run's
folder is not trained again. `--recipes` writes the recipes into the runs' folders and trains nothing: `make gpu-train
RECIPE=...` takes one to a GPU, whose checkpoint belongs beside it. Results: learned_symmetry_broad.json and .md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import yaml
from rich.console import Console

from cheap_labels import transip_md
from transip_md.bench.run import machine_facts
from transip_md.model.checkpoint import load_checkpoint
from transip_md.model.presets import PRESETS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "learned_symmetry_broad.json"
RUNS = HERE / "runs" / "learned_symmetry_broad"
BROAD = ROOT / "recipes" / "organic_broad" / "data"
TEST = BROAD / "held_out"
console = Console(width=120)


@dataclass(frozen=True)
class Data:
    """Labelled frames to train on.

    Attributes:
        files: extended XYZ.
        description: what they hold, for the model file.
        advice: the command that makes them and those of TEST.
    """

    files: tuple[Path, ...]
    description: str
    advice: str


DATA = {
    "recipes": Data(
        (BROAD / "selected.extxyz", ROOT / "recipes" / "organic_large" / "data" / "dynamics.extxyz"),
        "1,269 molecules displaced along normal modes, scans, dimers, and dynamics",
        "`make train-organic-broad` and `make train-organic-large`, which label them",
    ),
    "many": Data(
        (BROAD / "selected_many.extxyz",),
        "1,269 molecules displaced along normal modes at 300, 600 and 1,200 K, scans of bonds and torsions",
        "`make learned-symmetry-many`, which labels them and trains",
    ),
}
MODELS = {"rope": ("plain RoPE", {"radial_bias": False}), "radial": ("radial bias", {})}
OBJECTIVES: dict[str, tuple[str, dict[str, Any]]] = {
    "augmentation": ("augmentation alone", {}),
    "contrastive": ("+ pooled, contrastive", {"equivariance": {"weight": 0.1, "stop_gradient": True}}),
    # Not from the first step on: forces of zero agree best, and plain RoPE learned nothing else.
    "consistency": ("then views that must agree", {"consistency": 3.0}),
}


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        model: of MODELS.
        objective: of OBJECTIVES.
        seed: of weights, batches and rotations.
        preset: size of the network.
        steps: of training.
        atoms: labelled atoms of one step, padding counted.
        data: of DATA, what it trains on.
    """

    model: str
    objective: str
    seed: int
    preset: str
    steps: int
    atoms: int
    data: str = "recipes"

    @property
    def name(self) -> str:
        """What the command calls it."""
        return f"{self.model}-{self.objective}-seed{self.seed}"

    @property
    def folder(self) -> str:
        """Name of its folder: another size, length or set of data is another run."""
        data = "" if self.data == "recipes" else f"-{self.data}"
        return f"{self.name}-{self.preset}-{self.steps}x{self.atoms}{data}"

    def recipes(self, folder: Path) -> dict[str, dict[str, Any]]:
        """The training recipes of its parts, by the names of their checkpoints in its folder."""
        if self.objective != "consistency":
            return {"model": self._recipe(self.objective, self.steps)}
        second = self._recipe("consistency", self.steps // 2)
        del second["model"]
        return {
            "first": self._recipe("augmentation", self.steps // 2),
            "model": {**second, "start_from": str(folder / "first.ckpt")},
        }

    def _recipe(self, name: str, steps: int) -> dict[str, Any]:
        objective = OBJECTIVES[name][1]
        views = 2 if name == "consistency" else 1
        data = DATA[self.data]
        return {
            "data": {
                "train": [str(file) for file in data.files], "test": [str(TEST / "*modes_600K.extxyz")],
                "validation": 300,
                "description": data.description, "level_of_theory": "GFN2-xTB (tblite)", "licence": "MIT",
            },
            "model": {
                "preset": self.preset, "short_range": "zbl", "charge_energies": True, **MODELS[self.model][1],
            },
            "objective": {"energy_weight": 4.0, "force_weight": 10.0, **objective},
            "seed": self.seed, "steps": steps, "batch_atoms": self.atoms // views, "optimizer": "muon",
            "learning_rate": 2e-3, "warmup": 500, "report_every": 2000, "compile": True,
        }  # fmt: skip


def write_recipes(run: Run, folder: Path) -> list[Path]:
    """Write the recipes of a run into its folder among the runs, in the order of training."""
    mine = folder / run.folder
    mine.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, recipe in run.recipes(mine).items():
        paths.append(mine / f"{name}.yaml")
        paths[-1].write_text(yaml.safe_dump(recipe))
    return paths


def train(run: Run, folder: Path) -> dict[str, Any]:
    """Train a run, unless its checkpoint is there, and give its entry of the results."""
    seconds = 0
    for recipe in write_recipes(run, folder):
        checkpoint = recipe.with_suffix(".ckpt")
        if not checkpoint.exists():
            transip_md("train", recipe, "-o", checkpoint)
        record = load_checkpoint(checkpoint).training
        seconds += record["seconds"]
    return {"run": asdict(run), "frames": record["frames"], "seconds": seconds, "held_out": record["held_out"]}


def figure(values: list[float], decimals: int) -> str:
    """Mean over the seeds, and half the range of more than one."""
    spread = f" ± {(max(values) - min(values)) / 2:.{decimals}f}" if len(values) > 1 else ""
    return f"{np.mean(values):,.{decimals}f}{spread}"


def row(model: str, objective: str, entries: list[dict[str, Any]]) -> str:
    """A line of the table: all seeds of a model and an objective."""
    errors = [entry["held_out"] for entry in entries]
    rotation = [error["rotation"] for error in errors]
    cells = (
        MODELS[model][0],
        OBJECTIVES[objective][0],
        figure([error["force_mae"] for error in errors], 1),
        figure([error["force_mae"] for error in rotation], 1),
        figure([error["energy_mae"] for error in errors], 1),
        figure([error["energy_mae"] for error in rotation], 2),
        figure([entry["seconds"] / 60 for entry in entries], 0),
        str(len(entries)),
    )
    return f"| {' | '.join(cells)} |"


def report(entries: list[dict[str, Any]]) -> str:
    """The results, as Markdown: a table for each size, number of steps and set of frames."""
    lines = [
        "# What learns rotational symmetry best on many molecules",
        "",
        "Written by `python benchmarks/learned_symmetry_broad.py`, which states what is compared. Errors on frames",
        "along normal modes at 600 K of molecules that are not trained on: forces in meV/Angstrom, energies in",
        "meV/atom; means over seeds, ± half the range. Minutes are those of training, with other runs beside it.",
    ]
    by_size: dict[tuple[str, int, int, int], dict[tuple[str, str], list[dict[str, Any]]]] = {}
    for entry in entries:
        run = Run(**entry["run"])
        rows = by_size.setdefault((run.preset, run.steps, run.atoms, entry["frames"]), {})
        rows.setdefault((run.model, run.objective), []).append(entry)
    for (preset, steps, atoms, frames), rows in sorted(by_size.items()):
        lines += [
            "", f"## `{preset}`, {steps:,} steps of {atoms} atoms, {frames:,} frames", "",
            "| model | objective | F MAE | F rotation | E MAE | E rotation | min | seeds |", "|---" * 8 + "|",
        ]  # fmt: skip
        lines += [row(*key, rows[key]) for key in itertools.product(MODELS, OBJECTIVES) if key in rows]
    return "\n".join(lines) + "\n"


def known() -> dict[str, Any]:
    """The results so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {"machine": machine_facts(), "entries": []}


def main() -> None:
    """Train what is asked for and not there, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="all without")
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--atoms", type=int, default=160, help="labelled atoms of a step, padding counted")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="nano", help="size of the network")
    parser.add_argument("--data", choices=DATA, default="recipes", help="frames to train on")
    parser.add_argument("--models", choices=MODELS, nargs="+", default=list(MODELS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--folder", type=Path, default=RUNS, help="what training writes")
    parser.add_argument("--recipes", action="store_true", help="write the recipes and train nothing")
    options = parser.parse_args()
    runs = {
        run.name: run
        for seed in options.seeds
        for model in options.models
        for objective in OBJECTIVES
        for run in [Run(model, objective, seed, options.preset, options.steps, options.atoms, options.data)]
    }
    if unknown := sorted(set(options.runs) - set(runs)):
        parser.error(f"no run is called {', '.join(unknown)}; choose of {', '.join(runs)}")
    chosen = [runs[name] for name in options.runs or runs]
    data = DATA[options.data]
    if missing := [file for file in (*data.files, TEST) if not file.exists()]:
        parser.error(f"no such data: {', '.join(map(str, missing))}. Type {data.advice}.")
    folder = options.folder.resolve()
    if options.recipes:
        for run in chosen:
            for path in write_recipes(run, folder):
                console.print(path, markup=False, soft_wrap=True)
        return
    there = [Run(**entry["run"]) for entry in known()["entries"]]
    waiting = [run for run in chosen if run not in there]
    with ThreadPoolExecutor(options.jobs) as pool:
        for future in as_completed([pool.submit(train, run, folder) for run in waiting]):
            entry = future.result()
            # Another command may have written since.
            found = known()
            found["entries"].append(entry)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            RESULTS.with_suffix(".md").write_text(report(found["entries"]))
    console.print(report(known()["entries"]), markup=False)


if __name__ == "__main__":
    main()
