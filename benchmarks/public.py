"""Errors on sets that others publish: `python benchmarks/public.py DATA`, or some of its runs by name after that.

3bpa     wB97X/6-31G(d), trained on frames of threebpa_train_300K; held out: threebpa_train_mixedT, by temperature
ethanol  PBE/def2-SVP, trained on frames of ethanol_pbe_train; held out: ethanol_pbe_test

A run is SET-FRAMES-START, such as `3bpa-500-organic_broad`: so many frames to train on, and the shipped model that is
fine-tuned, or `none`: the same network from random weights; `-long` behind it means 10,000 steps instead of 5,000, and
`-cheap` the recipe of benchmarks/cheap_labels.py, with labels of GFN2-xTB beside those of the set. DATA
is a folder with these files (BOTNet-datasets, arXiv 2205.06643). Runs resume when interrupted; what is in
benchmarks/public.json is not made again until it is deleted, and benchmarks/public.md is made of all of it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import yaml
from rich.console import Console

from cheap_labels import STEPS, TEACHER, train_with_cheap_labels, transip_md
from transip_md import load_model, pretrained
from transip_md.bench.run import machine_facts
from transip_md.data.structures import read_frames
from transip_md.model.checkpoint import load_checkpoint

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "public.json"
START = "organic_broad"
STARTS = (START, "organic_large", "none")
#: threebpa_train_mixedT holds its three temperatures one after another: first frame of each, K.
MIXED = {300: 0, 600: 167, 1200: 334}
#: Angstrom: structures of less are the same.
SAME = 1e-3
MILLI = 1e3
console = Console(width=120)


@dataclass(frozen=True)
class Published:
    """Errors that a paper states, force RMSE (meV/Angstrom) of each held-out part."""

    model: str
    source: str
    force_rmse: dict[str, float]


@dataclass(frozen=True)
class Set:
    """Frames of one molecule.

    Attributes:
        train: file to train on.
        labels: level of theory.
        frames: how many frames to train on, for the curve.
        steps: of the runs of all of them.
        published: beside ours.
        remark: how the held-out frames differ from those of the papers.
        long_steps: of a longer run of the fine-tuned model on the most frames; 0 for none.
        cheap: whether there is a run with a cheap teacher on the most frames.
    """

    train: str
    labels: str
    frames: tuple[int, ...]
    steps: int
    published: tuple[Published, ...]
    remark: str
    long_steps: int = 0
    cheap: bool = False


MACE_PAPER = "arXiv 2206.07697"
SETS = {
    "3bpa": Set(
        "threebpa_train_300K", "wB97X/6-31G(d)", (50, 150, 500), 5000,
        tuple(
            Published(model, MACE_PAPER, dict(zip(("300 K", "600 K", "1200 K"), values, strict=True)))
            for model, values in {
                "MACE": (9, 22, 62), "NequIP": (11, 26, 76), "Allegro": (13, 29, 83), "ANI, pretrained": (43, 72, 130),
            }.items()
        ),
        "The papers test on frames of their own at each temperature, which are not these: ours are the 500 of the "
        "mixed training set, without those that are also among the frames trained on.",
        long_steps=10_000, cheap=True,
    ),
    "ethanol": Set(
        "ethanol_pbe_train", "PBE/def2-SVP", (50, 250, 1000), 5000, (),
        "The frames are those of rMD17's ethanol with labels by PBE/def2-SVP of ORCA.",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        set: name of the set.
        frames: how many of its frames.
        start: what it starts from, "none" or a shipped model.
        steps: of the model that is measured.
        teacher: the method whose labels help; empty: none.
    """

    set: str
    frames: int
    start: str
    steps: int
    teacher: str = ""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        kind = "-cheap" if self.teacher else "" if self.steps == SETS[self.set].steps else "-long"
        return f"{self.set}-{self.frames}-{self.start}{kind}"

    def key(self) -> dict[str, Any]:
        """What an entry of the results states of it."""
        return {name: value for name, value in asdict(self).items() if name != "teacher" or value}


def runs_of(name: str) -> list[Run]:
    """The runs of a set, in the order in which they are made."""
    made = SETS[name]
    runs = [Run(name, frames, start, made.steps) for frames in reversed(made.frames) for start in STARTS]
    most = max(made.frames)
    if made.long_steps:
        runs.append(Run(name, most, START, made.long_steps))
    if made.cheap:
        runs.append(Run(name, most, START, STEPS, TEACHER))
    return runs


RUNS = {run.name: run for name in SETS for run in runs_of(name)}


def held_out_parts(name: str, data: Path, trained: list[ase.Atoms]) -> dict[str, list[ase.Atoms]]:
    """Held-out frames by part, none of them among those that may be trained on."""
    if name == "ethanol":
        return {"test": read_frames(data / "ethanol_pbe_test.extxyz.xz")}
    frames = read_frames(data / "threebpa_train_mixedT.extxyz.xz")
    bounds = pairwise([*MIXED.values(), len(frames)])
    known = np.array([frame.positions for frame in trained])

    def unseen(frame: ase.Atoms) -> bool:
        return bool((np.abs(known - frame.positions).max(axis=(1, 2)) > SAME).all())

    return {
        f"{kelvin} K": [frame for frame in frames[first:last] if unseen(frame)]
        for kelvin, (first, last) in zip(MIXED, bounds, strict=True)
    }


def chosen_frames(frames: list[ase.Atoms], count: int) -> list[ase.Atoms]:
    """So many of the frames, of one seed; fewer are among more."""
    order = np.random.default_rng(1).permutation(len(frames))
    return [frames[row] for row in sorted(order[:count])]


def recipe(run: Run, folder: Path) -> dict[str, Any]:
    """The training recipe of a run, for the files in its folder."""
    made = SETS[run.set]
    # One in ten watches the progress.
    validation = max(5, run.frames // 10)
    found: dict[str, Any] = {
        "data": {
            "train": ["train.extxyz"], "test": ["test.extxyz"], "validation": validation, "description": run.name,
            "level_of_theory": made.labels, "licence": "MIT",
        },
        "seed": 1, "steps": run.steps, "report_every": 1000,
        "batch_size": 5, "optimizer": "muon", "learning_rate": 1.5e-3, "warmup": 200, "ema_decay": 0.999,
        "compile": True,
        "objective": {"energy_weight": 4.0, "force_weight": 10.0, "consistency": 1.0},
    }  # fmt: skip
    if run.start == "none":
        shape = pretrained(START).config.model_dump(mode="json")
        for key in ("species", "charge", "multiplicity", "references"):
            shape.pop(key, None)
        return {**found, "model": shape, "learning_rate": 3e-3}
    return {**found, "start_from": run.start}


def errors(model: Path, frames: list[ase.Atoms]) -> dict[str, float]:
    """Errors of an exported model: of force components, meV/Angstrom, and of the energy of a structure, meV."""
    potential = load_model(model)
    of_forces, of_energies = [], []
    for frame in frames:
        found = potential.evaluate(frame.numbers, frame.positions)
        of_forces.append(found.forces - frame.get_forces())
        of_energies.append(found.energies.sum() - frame.get_potential_energy())
    forces = np.concatenate(of_forces)
    return {
        "frames": len(frames),
        "force_mae": MILLI * float(np.abs(forces).mean()),
        "force_rmse": MILLI * float(np.sqrt((forces**2).mean())),
        "energy_rmse": MILLI * float(np.sqrt(np.square(of_energies).mean())),
    }


def train(run: Run, data: Path, folder: Path) -> dict[str, Any]:
    """Train one and measure it on every part.

    Args:
        run: which.
        data: folder of the published files.
        folder: of the runs; this one has a folder of its own there.
    """
    mine = folder / run.name
    mine.mkdir(parents=True, exist_ok=True)
    available = read_frames(data / f"{SETS[run.set].train}.extxyz.xz")
    parts = held_out_parts(run.set, data, available)
    ase.io.write(mine / "train.extxyz", chosen_frames(available, run.frames))
    ase.io.write(mine / "test.extxyz", [frame for frames in parts.values() for frame in frames])
    (mine / "train.yaml").write_text(yaml.safe_dump(recipe(run, mine)))
    checkpoint = mine / "model.ckpt"
    if run.teacher:
        checkpoint, seconds = train_with_cheap_labels(recipe(run, mine), mine)
    else:
        if not checkpoint.exists():
            transip_md("train", mine / "train.yaml", "-o", checkpoint)
        seconds = load_checkpoint(checkpoint).training["seconds"]
    transip_md("export", checkpoint, "-o", mine / "model.pt")
    rotation = load_checkpoint(checkpoint).training["held_out"]["rotation"]
    return {
        **run.key(),
        "seconds": seconds, "rotation_force": rotation["force_mae"],
        "parts": {name: errors(mine / "model.pt", frames) for name, frames in parts.items()},
    }  # fmt: skip


def table(name: str, entries: list[dict[str, Any]]) -> list[str]:
    """Ours and the published ones of one set, as lines of Markdown."""
    made = SETS[name]
    mine = [entry for entry in entries if entry["set"] == name]
    if not mine:
        return []
    parts = list(mine[0]["parts"])
    lines = ["", f"## {name}: {made.labels}", "", made.remark, ""]
    of_forces = [f"force RMSE, {part}" for part in parts]
    columns = ["model", "frames", "steps", *of_forces, "energy RMSE, meV", "rotation error", "s"]
    lines.append(f"| {' | '.join(columns)} |")
    lines.append("|---" * len(columns) + "|")
    for entry in sorted(mine, key=lambda entry: (-entry["frames"], entry["start"] == "none", -entry["steps"])):
        label = "from random weights" if entry["start"] == "none" else f"fine-tuned `{entry['start']}`"
        if "teacher" in entry:
            label += f", {entry['teacher']} beside"
        forces = " | ".join(f"{entry['parts'][part]['force_rmse']:.1f}" for part in parts)
        energies = ", ".join(f"{entry['parts'][part]['energy_rmse']:.0f}" for part in parts)
        rest = f"{energies} | {entry['rotation_force']:.1f} | {entry['seconds']:,.0f}"
        lines.append(f"| {label} | {entry['frames']} | {entry['steps']:,} | {forces} | {rest} |")
    for paper in made.published:
        forces = " | ".join(f"{paper.force_rmse[part]:.0f}" for part in parts)
        lines.append(f"| {paper.model} ({paper.source}) | {max(made.frames)} | | {forces} | | | |")
    return lines


def report(entries: list[dict[str, Any]]) -> str:
    """All results, as Markdown."""
    lines = [
        "# Errors on sets that others publish",
        "",
        "Made by `python benchmarks/public.py DATA`. Force RMSE of a component and rotation error of forces in",
        "meV/Angstrom; energies are those of the whole molecule. One thread each.",
    ]
    for name in SETS:
        lines += table(name, entries)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train what is asked for and not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("runs", nargs="*", metavar="RUN", help="all if left out: " + ", ".join(RUNS))
    parser.add_argument("--folder", type=Path, default=HERE / "runs" / "public", help="what training writes")
    options = parser.parse_args()
    if unknown := sorted(set(options.runs) - set(RUNS)):
        parser.error(f"no run is called {', '.join(unknown)}; choose of {', '.join(RUNS)}")
    for name in options.runs or RUNS:
        found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"machine": machine_facts(), "entries": []}
        run = RUNS[name]
        if any(
            run.key().items() <= entry.items() and entry.get("teacher", "") == run.teacher for entry in found["entries"]
        ):
            continue
        console.print(f"{name} ...")
        found["entries"].append(train(run, options.data.resolve(), options.folder.resolve()))
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        (HERE / "public.md").write_text(report(found["entries"]))
    console.print((HERE / "public.md").read_text(), markup=False)


if __name__ == "__main__":
    main()
