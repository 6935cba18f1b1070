"""Iterations of active learning, each in a folder of its own; every step is a file that appears whole."""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import ase
import ase.io
import numpy as np
import torch

from transip_md.common.errors import UsageError
from transip_md.common.locks import exclusive
from transip_md.common.whole_files import replacing, write_whole
from transip_md.learning.explore import explore
from transip_md.learning.label import label
from transip_md.learning.project import Project
from transip_md.learning.select import most_diverse
from transip_md.model.checkpoint import load_checkpoint, load_named
from transip_md.training.config import TrainConfig

PROJECT, SUMMARY, SELECTED, LABELLED = "project.json", "summary.json", "selected.extxyz", "labelled.extxyz"
FEWEST_LABELS = 5
#: Key of the project that is kept: from which model on they learn from draws. Projects begun without it draw for all.
DRAWN_FROM = "drawn_from"


@dataclass(frozen=True)
class Iteration:
    """What an iteration did.

    Attributes:
        number: 0 is the one before there is a committee.
        judged: structures of dynamics whose deviation was looked at.
        flagged: those above the lower level of trust.
        labelled: structures that the teacher labelled.
        failed: structures that it failed on.
        frames: labelled frames of all iterations.
        force_mae: of each model on the test files, meV/Angstrom; without test files on its own labels; empty if nothing
            was learned.
    """

    number: int
    judged: int
    flagged: int
    labelled: int
    failed: int
    frames: int
    force_mae: list[float]

    @property
    def share(self) -> float:
        """Share of judged structures that were flagged."""
        return self.flagged / self.judged if self.judged else 0.0


@dataclass(frozen=True)
class Steps:
    """Whom the loop keeps informed.

    Attributes:
        say: takes a line.
        labelling: called with the number of structures labelled and their number.
    """

    say: Callable[[str], None] = print
    labelling: Callable[[int, int], None] = lambda done, total: None


def learn(project: Project, output: Path, *, jobs: int = 1, steps: Steps | None = None) -> list[Iteration]:
    """Run, or resume, a project until few structures are flagged or all iterations are done.

    Args:
        project: what to do.
        output: folder of everything; a project that was interrupted resumes where it ended.
        jobs: models trained at the same time, one thread each.
        steps: whom to inform.

    Returns:
        The iterations; the last one's folder holds the models.

    Raises:
        UsageError: the folder is of another project.
        WaitingError: the teacher is "wait", and labels are missing.
        EnvironmentFaultError: LAMMPS, its plugin or the teacher is not installed, or another process holds the folder.
    """
    steps = steps or Steps()
    output.mkdir(parents=True, exist_ok=True)
    with exclusive(output):
        drawn_from = _check_project(project, output)
        done: list[Iteration] = []
        for number in range(project.iterations + 1):
            folder = output / f"iteration_{number:02d}"
            done.append(_iterate(project, output, folder, done, drawn_from, jobs, steps))
            last = done[-1]
            judged = (
                f"{last.flagged} of {last.judged} structures flagged" if number else f"{last.judged} structures met"
            )
            steps.say(
                f"iteration {number}: {judged}, {last.labelled} labelled, {last.failed} failed, {last.frames} frames"
                + _errors(last)
            )
            if number and last.share <= project.converged:
                break
        return done


def models_of(output: Path, iterations: list[Iteration]) -> list[Path]:
    """The model files of the last iteration in which something was learned."""
    learned = [iteration for iteration in iterations if iteration.force_mae]
    folder = output / f"iteration_{learned[-1].number:02d}"
    return sorted(folder.glob("model.*.pt"))


def _errors(iteration: Iteration) -> str:
    if not iteration.force_mae:
        return ""
    return (
        f", force MAE {sum(iteration.force_mae) / len(iteration.force_mae):.1f} meV/Angstrom on average of the models"
    )


def _check_project(project: Project, output: Path) -> int:
    """Keep the project beside what it makes; the number of iterations and the bound may change.

    Returns:
        The number of the first model that learns from a draw, counted from 1.
    """
    values = project.model_dump(mode="json", exclude={"iterations", "converged"})
    path = output / PROJECT
    if not path.is_file():
        write_whole(path, json.dumps(values | {DRAWN_FROM: 2}, indent=1) + "\n")
    kept = json.loads(path.read_text())
    drawn_from = kept.pop(DRAWN_FROM, 1)
    if kept != values:
        raise UsageError(f"{output} is of another project. Choose another --output, or remove the folder.")
    return int(drawn_from)


def _iterate(
    project: Project, output: Path, folder: Path, before: list[Iteration], drawn_from: int, jobs: int, steps: Steps
) -> Iteration:
    number = len(before)
    if (folder / SUMMARY).is_file():
        return Iteration(**json.loads((folder / SUMMARY).read_text()))
    folder.mkdir(exist_ok=True)
    labelled = [frame for n in range(number) for frame in _labels_of(output / f"iteration_{n:02d}")]
    models = models_of(output, before) if number else [_start(project, folder)]
    met = explore(project, models, folder, number)
    picked = _select(project, folder, met.candidates, labelled, project.each if number else project.first)
    converged = bool(number) and met.flagged <= project.converged * met.judged
    frames: list[ase.Atoms] = []
    failed = 0
    if not converged and picked:
        frames, failed = label(
            picked, project.teacher, folder / "labels", lambda done: steps.labelling(done, len(picked))
        )
    if not number and len(frames) < FEWEST_LABELS:
        raise UsageError(
            f"The teacher {project.teacher} labelled {len(frames)} of {len(picked)} structures, which is not enough to "
            f"learn from; why it failed stands in {folder / 'labels'}."
        )
    errors: list[float] = []
    if frames:
        with replacing(folder / LABELLED) as partial:
            ase.io.write(partial, frames, format="extxyz")
        tasks = _tasks(project, output, folder, before, len(labelled) + len(frames), drawn_from)
        errors = _train(tasks, jobs, steps.say)
    found = Iteration(number, met.judged, met.flagged, len(frames), failed, len(labelled) + len(frames), errors)
    write_whole(folder / SUMMARY, json.dumps(asdict(found), indent=1) + "\n")
    return found


def _start(project: Project, folder: Path) -> Path:
    """The model file of what everything starts from."""
    from transip_md.exporting.export import export

    path = folder / "start.pt"
    if not path.is_file():
        export(load_named(project.start_from), path, "float32")
    return path


def _labels_of(folder: Path) -> list[ase.Atoms]:
    path = folder / LABELLED
    return ase.io.read(path, index=":", format="extxyz") if path.is_file() else []


def _select(
    project: Project, folder: Path, candidates: list[ase.Atoms], labelled: list[ase.Atoms], count: int
) -> list[ase.Atoms]:
    path = folder / SELECTED
    if not path.is_file():
        if project.selection == "random":
            number = int(folder.name.rpartition("_")[2])
            chosen = np.random.default_rng([project.seed, number]).permutation(len(candidates))[:count].tolist()
        else:
            chosen = most_diverse(candidates, labelled, count)
        picked = [candidates[index] for index in chosen]
        with replacing(path) as partial:
            ase.io.write(partial, picked, format="extxyz")
    return ase.io.read(path, index=":", format="extxyz") if path.stat().st_size else []


def _tasks(
    project: Project, output: Path, folder: Path, before: list[Iteration], frames: int, drawn_from: int
) -> list[tuple[TrainConfig, Path]]:
    """Recipe and checkpoint of every member, which starts from where it stands; those from one on learn from draws."""
    data = folder / "training.extxyz"
    with replacing(data) as partial, partial.open("w") as target:
        for number in range(len(before) + 1):
            part = output / f"iteration_{number:02d}" / LABELLED
            if part.is_file():
                with part.open() as source:
                    shutil.copyfileobj(source, target)
    learned = [iteration.number for iteration in before if iteration.force_mae]
    tasks = []
    for member in range(1, project.members + 1):
        start = project.start_from
        if learned:
            start = str(output / f"iteration_{learned[-1]:02d}" / f"model.{member}.ckpt")
        seed = project.seed * 1009 + len(before) * 101 + member
        recipe = project.recipe(data, frames, start, seed, drawn=member >= drawn_from)
        tasks.append((recipe, folder / f"model.{member}.ckpt"))
    return tasks


def _train(tasks: list[tuple[TrainConfig, Path]], jobs: int, say: Callable[[str], None]) -> list[float]:
    """Train every member; returns the force MAE of each, meV/Angstrom."""
    errors: list[float] = []
    with contextlib.ExitStack() as stack:
        found: Iterable[float] = itertools.starmap(_train_one, tasks)
        if jobs > 1:
            # Threads of torch do not survive a fork: forks are those of a server without any, which imports once.
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["transip_md.exporting.export", "transip_md.training.run"])
            pool = stack.enter_context(ProcessPoolExecutor(min(jobs, len(tasks)), context))
            found = pool.map(_train_one, *zip(*tasks, strict=True))
        for error in found:
            errors.append(error)
            say(f"  trained {len(errors)} of {len(tasks)} models: force MAE {error:.1f} meV/Angstrom")
    return errors


def _train_one(recipe: TrainConfig, checkpoint: Path) -> float:
    """Train one model unless it is there, and export it; the force MAE on the held-out files, meV/Angstrom."""
    from transip_md.exporting.export import export
    from transip_md.training.run import TrainingRun

    torch.set_num_threads(1)
    if not checkpoint.is_file():
        TrainingRun(recipe, checkpoint).train()
    trained = load_checkpoint(checkpoint)
    file = checkpoint.with_suffix(".pt")
    if not file.is_file():
        export(trained, file, "float32")
    return float(trained.training["held_out"]["force_mae"])
