"""Fine-tuning where a cheap teacher helps: what docs/training.md describes under "With a cheap method beside it".

The differences between the labels and a semi-empirical method are learned first; they are smaller and smoother than the
labels. Structures of which there are no labels, as many as wanted, then get those of the method with the learned
differences added, and the model is trained on these and on the labels. Everything resumes when interrupted.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import ase.io
import yaml

from transip_md.data.structures import read_frames
from transip_md.learning.select import most_diverse
from transip_md.model.checkpoint import load_checkpoint

TEACHER = "gfn2-xtb"
#: Structures that the method's dynamics and normal modes start from: those of the labelled ones least alike.
STARTS = 4
#: K, and frames of each structure at each of them, from dynamics and from normal modes.
TEMPERATURES = ("300", "600", "1200")
FRAMES = 300
#: Seeds and steps of the models of the differences.
DIFFERENCES = ((1, 6000), (2, 12_000))
#: Width of the feed-forward of the model that is trained in the end.
FEEDFORWARD = 320


@dataclass(frozen=True)
class Part:
    """One part of the training of the final model.

    Attributes:
        name: of its files.
        steps: of them.
        learning_rate: at its highest.
        differences: numbers of those whose mean is added.
        frames: patterns of the files that it is trained on.
    """

    name: str
    steps: int
    learning_rate: float
    differences: tuple[int, ...]
    frames: tuple[str, ...]


#: The second part leaves out displacements along normal modes at high temperature, which dynamics does not meet.
PARTS = (
    Part("first", 20_000, 2.0e-3, (1,), ("dynamics/*.extxyz", "modes/*.extxyz")),
    Part("second", 25_000, 1.5e-3, (2,), ("dynamics/*.extxyz", "modes/*_300K.extxyz")),
)
STEPS = sum(part.steps for part in PARTS)


def transip_md(*words: object) -> None:
    """Run the command ``transip-md``."""
    subprocess.run([Path(sys.executable).parent / "transip-md", *map(str, words)], check=True)


def write_starts(labelled: Sequence[ase.Atoms], folder: Path) -> None:
    """Write the structures that dynamics starts from, without labels."""
    folder.mkdir(exist_ok=True)
    for number, place in enumerate(most_diverse(labelled, [], STARTS)):
        atoms = labelled[place]
        ase.io.write(folder / f"start{number}.xyz", ase.Atoms(atoms.numbers, atoms.positions))


def sample(folder: Path) -> None:
    """Write frames by the cheap method, into folders of their own."""
    each = ("--frames", FRAMES, "--teacher", TEACHER)
    dynamics = [word for kelvin in TEMPERATURES for word in ("--temperature", kelvin)]
    modes = [word for kelvin in TEMPERATURES for word in ("--normal-modes", kelvin)]
    of_dynamics = ("--stride", 10, "--equilibration", 300, "--stop-at-dissociation", "--seed", 1)
    transip_md("sample", folder / "start", "-o", folder / "dynamics", *each, *dynamics, *of_dynamics)
    transip_md("sample", folder / "start", "-o", folder / "modes", *each, *modes, "--seed", 2)


def train(recipe: dict[str, Any], folder: Path, name: str) -> Path:
    """A trained checkpoint of a recipe, which is there already or is made."""
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    checkpoint = folder / f"{name}.ckpt"
    if not checkpoint.exists():
        transip_md("train", folder / f"{name}.yaml", "-o", checkpoint)
    return checkpoint


def train_with_cheap_labels(recipe: dict[str, Any], folder: Path) -> tuple[Path, float]:
    """Fine-tune a model with a cheap teacher beside its labels.

    Args:
        recipe: of the fine-tuning without one; its `train.extxyz` and `test.extxyz` are in the folder.
        folder: where everything goes.

    Returns:
        The checkpoint, and how long all trainings took together, s.
    """
    labelled = folder / "train.extxyz"
    write_starts(read_frames(labelled), folder / "start")
    sample(folder)
    for name in ("train", "test"):
        difference = folder / f"difference_{name}.extxyz"
        transip_md("label", folder / f"{name}.extxyz", "-o", difference, "--teacher", TEACHER, "--subtract")
    models, seconds = {}, 0.0
    for number, (seed, steps) in enumerate(DIFFERENCES, 1):
        files = {"train": ["difference_train.extxyz"], "test": ["difference_test.extxyz"]}
        data = {**recipe["data"], **files, "validation": 5}
        name = f"difference_{number}"
        of_difference = {**recipe, "data": data, "seed": seed, "steps": steps}
        models[number] = folder / f"{name}.pt"
        checkpoint = train(of_difference, folder, name)
        transip_md("export", checkpoint, "-o", models[number])
        seconds += load_checkpoint(checkpoint).training["seconds"]
    start = recipe["start_from"]
    for part in PARTS:
        corrected = folder / f"{part.name}.extxyz"
        frames = [path for pattern in part.frames for path in sorted(folder.glob(pattern))]
        added = [word for number in part.differences for word in ("--add", models[number])]
        transip_md("label", *frames, "-o", corrected, *added)
        # Labels count twice beside what is not known as well.
        data = {**recipe["data"], "train": [corrected.name, labelled.name, labelled.name], "validation": 100}
        of_part = {
            **recipe, "data": data, "start_from": str(start), "model": {"feedforward": FEEDFORWARD},
            "steps": part.steps, "learning_rate": part.learning_rate,
        }  # fmt: skip
        start = train(of_part, folder, part.name)
        seconds += load_checkpoint(start).training["seconds"]
    return start, seconds
