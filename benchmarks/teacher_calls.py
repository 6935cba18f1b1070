"""Calls of the teacher that `transip-md learn` needs, beside those of sampling by the teacher's own dynamics.

    python benchmarks/teacher_calls.py [--jobs 2] [-o benchmarks/teacher_calls.json]

Paracetamol by examples/learning/paracetamol.yaml, from the shipped model that it names. `learn` moves atoms by the
model and asks the teacher for labels only. `transip-md sample` moves them by the teacher, at the same temperatures:
every step is a call, of which every so many-th gives a frame. All are fine-tuned by the project's recipe on as many
labels; of `learn` it is the first model, which learns from all of them. Errors are of 100 frames of the teacher's
dynamics at 300 K. Runs resume when interrupted.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import ase.io
import numpy as np
import yaml

from cheap_labels import transip_md
from transip_md import load_model
from transip_md.bench.run import machine_facts
from transip_md.data.structures import read_frames
from transip_md.learning.project import Project, read_project
from transip_md.model.checkpoint import load_checkpoint
from transip_md.training.run import TrainingRun

HERE = Path(__file__).resolve().parent
RUNS = HERE / "runs" / "teacher_calls"
PROJECT = HERE.parent / "examples" / "learning" / "paracetamol.yaml"
#: K, frames and seed of the held-out frames.
HELD_OUT = (300, 100, 7)


@dataclass(frozen=True)
class Sampling:
    """How `transip-md sample` moves atoms: steps between frames, and before the first of them."""

    stride: int
    equilibration: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"every_{self.stride}"

    def calls(self, temperatures: int, frames: int) -> int:
        """Calls of the teacher for so many frames at so many temperatures, without those that relax the molecule."""
        return temperatures * (self.equilibration + self.stride * (frames // temperatures))


#: Every call a label; few; and what `transip-md sample` does unless it is told otherwise.
SAMPLINGS = (Sampling(1, 0), Sampling(10, 100), Sampling(20, 1000))


@dataclass(frozen=True)
class Row:
    """Force MAE (meV/Angstrom) of a model that learned from so many labels, which took so many calls of the teacher."""

    source: str
    labels: int
    calls: int
    force_mae: float


def held_out(structure: Path) -> Path:
    """Frames of the teacher's dynamics that nothing learns from."""
    kelvin, frames, seed = HELD_OUT
    path = RUNS / "held_out.extxyz"
    transip_md("sample", structure, "-o", path, "--temperature", kelvin, "--frames", frames, "--seed", seed)
    return path


def learned(project: Project, test: Path, jobs: int) -> list[Row]:
    """Rows of `transip-md learn`, one for each iteration in which something was learned."""
    values = yaml.safe_load(PROJECT.read_text())
    values |= {"structures": [str(path) for path in project.structures], "test": [str(test)], "iterations": 1}
    path = RUNS / "project.yaml"
    path.write_text(yaml.safe_dump(values))
    # Exit code 1: not converged after one iteration.
    transip_md("learn", path, "-o", RUNS / "learn", "--jobs", jobs, passes=(0, 1))
    rows = []
    for summary in sorted((RUNS / "learn").glob("iteration_*/summary.json")):
        of = json.loads(summary.read_text())
        if of["force_mae"]:
            rows.append(Row("learn", of["frames"], of["frames"] + of["failed"], of["force_mae"][0]))
    return rows


def before(project: Project, test: Path) -> Row:
    """The row of the model that everything starts from."""
    model = load_model(RUNS / "learn" / "iteration_00" / "start.pt")
    frames = read_frames(test)
    found = [model.evaluate(frame.numbers, frame.positions).forces for frame in frames]
    error = np.abs(np.array(found) - np.array([frame.get_forces() for frame in frames])).mean()
    return Row(project.start_from, 0, 0, 1000.0 * float(error))


def calibration(test: Path) -> dict[str, float]:
    """What `transip-md deviation` reports of the committee of the first labels on the held-out frames."""
    models = sorted((RUNS / "learn" / "iteration_00").glob("model.*.pt"))
    summary = RUNS / "deviation.json"
    transip_md("deviation", *models, "--frames", test, "--json", summary, "--plot", RUNS / "deviation.png")
    found = json.loads(summary.read_text())["calibration"]
    return {name: found[name] for name in ("spearman", "miscalibration", "scale")}


def sampled(project: Project, test: Path, sampling: Sampling, labels: int) -> Row:
    """The row of so many labels of `transip-md sample`."""
    temperatures = project.exploration.temperatures
    folder = RUNS / f"{sampling.name}_{labels}"
    each = labels // len(temperatures)
    words = [word for kelvin in temperatures for word in ("--temperature", kelvin)]
    steps = ("--stride", sampling.stride, "--equilibration", sampling.equilibration)
    transip_md("sample", *project.structures, "-o", folder, *words, "--frames", each, *steps, "--seed", project.seed)
    frames = [frame for path in sorted(folder.glob("*.extxyz")) for frame in read_frames(path)]
    data = folder / "train.xyz"
    ase.io.write(data, frames, format="extxyz")
    checkpoint = folder / "model.ckpt"
    if not checkpoint.exists():
        of = project.model_copy(update={"test": [test]})
        TrainingRun(of.recipe(data, len(frames), project.start_from, project.seed, drawn=False), checkpoint).train()
    error = load_checkpoint(checkpoint).training["held_out"]["force_mae"]
    calls = sampling.calls(len(temperatures), labels)
    return Row(f"sample, stride {sampling.stride}, equilibration {sampling.equilibration}", len(frames), calls, error)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, help="JSON file to write")
    chosen = parser.parse_args()
    RUNS.mkdir(parents=True, exist_ok=True)
    project = read_project(PROJECT)
    test = held_out(project.structures[0])
    rows = learned(project, test, chosen.jobs)
    rows.insert(0, before(project, test))
    rows += [sampled(project, test, sampling, project.first) for sampling in SAMPLINGS]
    print(f"{'labels by':40} {'labels':>6} {'calls':>6} {'force MAE, meV/A':>17}")
    for row in rows:
        print(f"{row.source:40} {row.labels:6} {row.calls:6} {row.force_mae:17.1f}")
    if chosen.out:
        last = json.loads((RUNS / "learn" / "iteration_01" / "summary.json").read_text())
        found = {
            "machine": machine_facts(), "rows": [asdict(row) for row in rows], "deviation": calibration(test),
            "flagged": last["flagged"], "judged": last["judged"],
        }  # fmt: skip
        chosen.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
