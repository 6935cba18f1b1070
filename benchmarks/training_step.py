"""What a training step costs on the CPU: numbers below 1e-38 as they are or as 0, and compiled by torch.compile.

    python benchmarks/training_step.py [--rounds 15] [-o training_step.json]

Two batches, of rattled copies of the structures in examples/: one box of water for the network of `water`, and sixteen
molecules of ethanol for that of `ethanol`, both as two views that must agree. Labels are random numbers of 1 eV and
1 eV/Angstrom: no time depends on them. Processor time of one thread; a step is the loss and its derivatives, without
the optimizer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from pathlib import Path

import ase
import ase.io
import numpy as np
import torch
from ase.calculators.singlepoint import SinglePointCalculator

from transip_md.data.frames import open_frames
from transip_md.model.batch import Batch
from transip_md.model.checkpoint import load_named
from transip_md.training.batches import Collate
from transip_md.training.config import TrainConfig
from transip_md.training.module import TrainingModule
from transip_md.training.run import denormals_as_zero

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CASES = {"water": ("openmm/water.pdb", 1), "ethanol": ("ethanol.xyz", 16)}
#: Standard deviation of what each position is moved by, Angstrom.
RATTLE = 0.05


def batch_of(name: str, cutoff: float | None) -> Batch:
    """The batch of a case, for a model with this cutoff, Angstrom, or none."""
    file, copies = CASES[name]
    atoms = ase.io.read(EXAMPLES / file)
    assert isinstance(atoms, ase.Atoms)
    random = np.random.default_rng(1)
    moved = [atoms.copy() for _ in range(copies)]
    for seed, structure in enumerate(moved):
        structure.rattle(RATTLE, seed=seed)
        structure.calc = SinglePointCalculator(
            structure, energy=random.normal(), forces=random.normal(size=(len(atoms), 3))
        )
    with tempfile.TemporaryDirectory() as folder:
        ase.io.write(Path(folder) / "frames.extxyz", moved)
        frames = open_frames([Path(folder) / "frames.extxyz"])
    return Collate(cutoff)([frames[row] for row in range(copies)])


class Step:
    """One way to do a training step."""

    def __init__(self, name: str, *, denormals: bool, compiled: bool) -> None:
        """Prepare the model of this name; nothing is compiled yet."""
        self.denormals = denormals
        model = load_named(name).model
        self.batch = batch_of(name, model.config.cutoff)
        recipe = TrainConfig.model_validate(
            {
                "data": {"train": ["-"], "test": ["-"], "description": "-", "level_of_theory": "-", "licence": "-"},
                "steps": 1,
                "batch_size": 1,
                "objective": {"consistency": 1.0},
                "compile": compiled,
            }
        )
        self.module = TrainingModule(model.requires_grad_(True), recipe, 1)
        self.seconds: list[float] = []

    def run(self) -> None:
        """Do one step."""
        with contextlib.nullcontext() if self.denormals else denormals_as_zero():
            start = time.process_time()
            loss, _ = self.module.losses(self.batch, len(self.seconds))
            loss.backward()
            self.seconds.append(time.process_time() - start)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("-o", "--output", type=Path)
    arguments = options.parse_args()
    torch.set_num_threads(1)
    record: dict[str, dict[str, float]] = {}
    for name in CASES:
        steps = {
            "as_they_are": Step(name, denormals=True, compiled=False),
            "as_zero": Step(name, denormals=False, compiled=False),
            "compiled": Step(name, denormals=False, compiled=True),
        }
        for step in steps.values():
            step.run()
        first = steps["compiled"].seconds[0]
        for _ in range(arguments.rounds):
            for step in steps.values():
                step.run()
        record[name] = {key: round(1e3 * statistics.median(step.seconds[1:]), 1) for key, step in steps.items()}
        print(f"{name}: ms a step {record[name]}; the first compiled one took {first:.0f} s", flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps({"torch": torch.__version__, "milliseconds": record}, indent=1) + "\n")


if __name__ == "__main__":
    main()
