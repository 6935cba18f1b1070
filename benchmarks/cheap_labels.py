"""Fine-tuning where a cheap teacher helps: what docs/training.md describes under "With a cheap method beside it".

The differences between the labels and a semi-empirical method are learned first; they are smaller and smoother than the
labels. Structures of which there are no labels, as many as wanted, then get those of the method with the learned
differences added, and the model is trained on these and on the labels. Everything resumes when interrupted.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Difference:
    """One model of the differences.

    Attributes:
        seed: of its training.
        steps: of it.
        start: number of the difference that it goes on from; 0: what the recipe starts from.
        model: keys of its model that differ from those of what it starts from.
    """

    seed: int
    steps: int
    start: int = 0
    model: dict[str, int] = field(default_factory=dict)


#: By their numbers.
DIFFERENCES = {1: Difference(1, 6000), 2: Difference(2, 12_000), 3: Difference(3, 24_000, 2, {"feedforward": 320})}


@dataclass(frozen=True)
class Part:
    """One part of the training of the final model.

    Attributes:
        name: of its files.
        steps: of them.
        learning_rate: at its highest.
        difference: number of that which is added.
        frames: patterns of the files that it is trained on.
        labelled: how often the labelled frames count beside those: labels weigh more than what is not known as well.
        model: keys of the model that differ from those of the part before.
        views: of each frame in a step; one: twice the frames, whose views need not agree.
    """

    name: str
    steps: int
    learning_rate: float
    difference: int
    frames: tuple[str, ...]
    labelled: int = 2
    model: dict[str, int] = field(default_factory=dict)
    views: int = 2


#: The second part leaves out displacements along normal modes at high temperature, which dynamics does not meet; those
#: after it are for the lower temperatures.
PARTS = (
    Part("first", 20_000, 2.0e-3, 1, ("dynamics/*.extxyz", "modes/*.extxyz"), model={"feedforward": 320}),
    Part("second", 25_000, 1.5e-3, 2, ("dynamics/*.extxyz", "modes/*_300K.extxyz")),
    Part(
        "third",
        15_000,
        1.5e-3,
        2,
        ("dynamics/*_[36]00K.extxyz", "modes/*_300K.extxyz"),
        labelled=3,
        model={"layers": 5},
    ),
    Part("fourth", 16_000, 1.2e-3, 3, ("dynamics/*_[36]00K.extxyz",), labelled=6),
    Part("fifth", 20_000, 1.2e-3, 3, ("dynamics/*_[36]00K.extxyz",), labelled=6, views=1),
    Part("sixth", 8000, 6.0e-4, 3, ("dynamics/*_[36]00K.extxyz",), labelled=6),
)
STEPS = sum(part.steps for part in PARTS)


def transip_md(*words: object, passes: Sequence[int] = (0,)) -> None:
    """Run the command ``transip-md``. Raises CalledProcessError: its exit code is none of those that pass."""
    done = subprocess.run([Path(sys.executable).parent / "transip-md", *map(str, words)])
    if done.returncode not in passes:
        done.check_returncode()


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
    for number, difference in DIFFERENCES.items():
        files = {"train": ["difference_train.extxyz"], "test": ["difference_test.extxyz"]}
        data = {**recipe["data"], **files, "validation": 5}
        name = f"difference_{number}"
        start = folder / f"difference_{difference.start}.ckpt" if difference.start else recipe["start_from"]
        of_difference = {
            **recipe, "data": data, "start_from": str(start), "seed": difference.seed, "steps": difference.steps,
            "model": difference.model,
        }  # fmt: skip
        models[number] = folder / f"{name}.pt"
        checkpoint = train(of_difference, folder, name)
        # Labels name the file by its hash, and an export anew is another file.
        if not models[number].exists():
            transip_md("export", checkpoint, "-o", models[number])
        seconds += load_checkpoint(checkpoint).training["seconds"]
    start, changes = recipe["start_from"], {}
    for part in PARTS:
        corrected = folder / f"{part.name}.extxyz"
        frames = [path for pattern in part.frames for path in sorted(folder.glob(pattern))]
        transip_md("label", *frames, "-o", corrected, "--add", models[part.difference])
        data = {**recipe["data"], "train": [corrected.name, *part.labelled * [labelled.name]], "validation": 100}
        changes |= part.model
        of_part = {
            **recipe, "data": data, "start_from": str(start), "model": changes, "steps": part.steps,
            "learning_rate": part.learning_rate,
        }  # fmt: skip
        if part.views == 1:
            of_part["batch_size"] = 2 * recipe["batch_size"]
            of_part["objective"] = {**recipe["objective"], "consistency": 0.0}
        start = train(of_part, folder, part.name)
        seconds += load_checkpoint(start).training["seconds"]
    return start, seconds
