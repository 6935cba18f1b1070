"""Time every engine on every structure, in turns, and sum up."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ase
import numpy as np

from transip_md.bench.baselines import ELSEWHERE, names, registered
from transip_md.bench.floor import count_flop, matmul_rate
from transip_md.bench.timers import KEEP_MEMORY, TIMESTEP, Task, Timing, time_task
from transip_md.common.errors import TransIPError, UsageError
from transip_md.common.whole_files import write_whole
from transip_md.modelfile.metadata import read_metadata
from transip_md.plugins.locate import version_of

#: What can be timed, in the order of the table.
TARGETS = ("model", "ase", "lammps", "openmm")
#: What runs the model by libtransip, and the kernels that it has.
BY_LIBTRANSIP, KERNELS = ("lammps", "openmm"), ("auto", "native", "torch")
#: Fewest and most steps of a run, and steps before those that count. LAMMPS's pair style prints its share after 105.
FEWEST, MOST, WARMUP = 20, 20000, 110
#: Steps of the run that measures how many there is time for, and before those.
TRIAL, TRIAL_WARMUP = 10, 5
SECONDS_PER_DAY, FS_PER_NS = 86400.0, 1e6


@dataclass(frozen=True)
class Layout:
    """One line of the table: a target, on so many MPI ranks, by which of libtransip's kernels."""

    target: str
    ranks: int = 1
    kernels: str = "auto"

    @property
    def name(self) -> str:
        """As the table has it."""
        parts = [self.target]
        parts += [f"kernels {self.kernels}"] if self.kernels != "auto" else []
        parts += [f"{self.ranks} ranks"] if self.ranks > 1 else []
        return ", ".join(parts)


@dataclass
class Line:
    """Milliseconds a step of one structure in one layout, median and extremes over the rounds.

    Attributes:
        structure: its name.
        atoms: number of atoms.
        layout: what ran.
        ms: median.
        fastest: the fastest round's.
        slowest: the slowest round's.
        memory: largest resident memory, MB.
        over_model: part by which a step costs more than the model call in it; None for the model, and for OpenMM
            without LAMMPS beside it, whose pair style prints what a call of libtransip takes.
        pair_around: LAMMPS: what the pair style costs beside its model call, as a part of the call.
        ns_per_day: simulated at a time step of 0.5 fs.
        atom_steps: atoms times steps in a second.
        floor: time over the arithmetic's; None if that is not known.
        steps: that a round timed, the fewest.
        device_memory: largest memory taken of the CUDA device, MB; None on the CPU and where the engine has none.
    """

    structure: str
    atoms: int
    layout: str
    ms: float
    fastest: float
    slowest: float
    memory: float
    over_model: float | None
    pair_around: float | None
    ns_per_day: float
    atom_steps: float
    floor: float | None
    steps: int
    device_memory: float | None = None


@dataclass(frozen=True)
class Gap:
    """A baseline that was asked for and is not in the table.

    Attributes:
        baseline: its name.
        structure: which; None for all, because the baseline could not be installed.
        reason: why.
        failed: False where the baseline cannot do that structure by its nature.
    """

    baseline: str
    structure: str | None
    reason: str
    failed: bool = True


@dataclass
class Results:
    """All lines, and where they were measured.

    Attributes:
        model: name of the file.
        threads: CPU threads of an evaluation, on each rank.
        device: "cpu" or "cuda".
        machine: processor, cores, CUDA device and versions.
        lines: one for each structure and layout.
        flop: of a step, by structure.
        rate: of float32 matrix products, FLOP/s.
        exponent: of the cost against the number of atoms, by layout, from the smallest to the largest structure.
        baselines: what they are, by name.
        gaps: baselines that were asked for and could not be timed.
        keep_memory: variables that were set for all sides, so that glibc keeps freed memory; see `KEEP_MEMORY`.
    """

    model: str
    threads: int
    device: str
    machine: dict[str, Any]
    rate: float
    lines: list[Line] = field(default_factory=list)
    flop: dict[str, int | None] = field(default_factory=dict)
    exponent: dict[str, float] = field(default_factory=dict)
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    keep_memory: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """As JSON."""
        write_whole(path, json.dumps(asdict(self), indent=1) + "\n")


def machine_facts(device: str = "cpu") -> dict[str, Any]:
    """Processor, cores, CUDA device if that is what runs the model, and versions of what runs."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.is_file() else None
    versions = {name: version_of(name) for name in ("transip-md", "torch", "lammps", "openmm", "ase")}
    facts = {"processor": found[1] if found else platform.processor(), "cores": os.cpu_count(), **versions}
    if device == "cuda":
        import torch

        facts["cuda"] = torch.cuda.get_device_name()
    return facts


def layouts_of(
    targets: list[str], ranks: list[int], baselines: Sequence[str] = (), kernels: Sequence[str] = ("auto",)
) -> list[Layout]:
    """Lines to measure: the model always, LAMMPS on each number of ranks, both by each of the kernels, baselines last.

    Raises:
        UsageError: no such target, baseline or kernels, or fewer ranks than one.
    """
    for name in kernels:
        if name not in KERNELS:
            raise UsageError(f"No kernels are called {name!r}. Choose of {', '.join(KERNELS)}.")
    for baseline in baselines:
        if baseline not in names():
            raise UsageError(f"No baseline is called {baseline!r}. Choose of {', '.join(names())}; {ELSEWHERE}.")
    for target in targets:
        if target not in TARGETS:
            raise UsageError(f"{target!r} cannot be timed. Choose of {', '.join(TARGETS)}, or all.")
    if any(number < 1 for number in ranks):
        raise UsageError(f"--ranks must be 1 or more, got {min(ranks)}.")
    found = [Layout("model")]
    for target in TARGETS[1:]:
        if target in targets:
            several = ranks if target == "lammps" else [1]
            choices = kernels if target in BY_LIBTRANSIP else ["auto"]
            found += [Layout(target, number, choice) for choice in dict.fromkeys(choices) for number in several]
    return found + [Layout(baseline) for baseline in dict.fromkeys(baselines)]


def require_a_use(layouts: list[Layout], structures: dict[str, ase.Atoms]) -> None:
    """Refuse a baseline that can be run on none of the structures, before it is installed.

    Args:
        layouts: from `layouts_of`.
        structures: by name.

    Raises:
        UsageError: there is one; the message has the reason.
    """
    for layout in layouts:
        if baseline := registered.get(layout.target):
            reasons = {name: baseline.why_not(atoms) for name, atoms in structures.items()}
            if all(reasons.values()):
                said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
                raise UsageError(
                    f"{baseline.name} can be run on none of the structures. {said}. Leave --vs {baseline.name} out."
                )


def measure(
    model: Path,
    structures: dict[str, ase.Atoms],
    layouts: list[Layout],
    *,
    threads: int = 1,
    device: str = "cpu",
    seconds: float = 3.0,
    rounds: int = 3,
    say: Callable[[str], None] = lambda line: None,
    timer: Callable[[Task], Timing] = time_task,
) -> Results:
    """Time all layouts on all structures.

    Within a round every layout runs once, so that a machine that becomes busy slows all of them. A baseline that
    cannot do a structure, or fails on it, is left out there and the rest continues. With a baseline, `KEEP_MEMORY` is
    set for all.

    Args:
        model: an exported model file.
        structures: by name.
        layouts: from `layouts_of`; the first is the model alone.
        threads: CPU threads of an evaluation, on each rank.
        device: of the model, "cpu" or "cuda"; baselines stay on the CPU.
        seconds: about how long a run takes, beside its warm-up; each layout does as many steps as that holds.
        rounds: how often each is run.
        say: called with what is being done.
        timer: times one task.

    Returns:
        Medians and extremes.

    Raises:
        UsageError: an all-to-all model and a periodic structure, an element that the model does not know.
        TransIPError: an engine failed that is not a baseline.
    """
    metadata = read_metadata(model)
    for atoms in structures.values():
        metadata.check_species(atoms.numbers)
    rate = matmul_rate(threads, device)
    results = Results(Path(model).name, threads, device, machine_facts(device), rate)
    against = [layout.target for layout in layouts if layout.target in names()]
    results.baselines = {name: registered[name].facts() for name in against if name in registered}
    results.keep_memory = KEEP_MEMORY if against else {}

    def task(layout: Layout, atoms: ase.Atoms, steps: int, warmup: int) -> Task:
        keep = bool(against)
        return Task(
            layout.target, model, atoms, steps, warmup, threads, layout.ranks, seconds, keep, device, layout.kernels
        )

    for name, atoms in structures.items():
        flop = results.flop[name] = count_flop(model, atoms)
        able = []
        for layout in layouts:
            baseline = registered.get(layout.target)
            if baseline and (reason := baseline.why_not(atoms)):
                results.gaps.append(Gap(baseline.name, name, reason, failed=False))
            else:
                able.append(layout)
        runs_of = _take_turns(
            able,
            lambda layout, steps, warmup, atoms=atoms: timer(task(layout, atoms, steps, warmup)),
            lambda layout, reason, name=name: results.gaps.append(Gap(layout.target, name, reason)),
            lambda line, name=name: say(f"{name}: {line}"),
            seconds=seconds,
            rounds=rounds,
        )
        timings = {layout: runs.timings for layout, runs in runs_of.items()}
        arithmetic = flop / results.rate if flop else None
        for layout, runs in runs_of.items():
            alone = _model_call(layout, timings)
            results.lines.append(_line(name, len(atoms), layout, runs.timings, alone, arithmetic, runs.steps))
    for layout in layouts:
        mine = [line for line in results.lines if line.layout == layout.name]
        smallest, largest = (pick(mine, key=lambda line: line.atoms, default=None) for pick in (min, max))
        if smallest and largest and largest.atoms > smallest.atoms:
            ratio = np.log(largest.ms / smallest.ms) / np.log(largest.atoms / smallest.atoms)
            results.exponent[layout.name] = float(ratio)
    return results


@dataclass
class _Runs:
    """Of one layout on one structure: the steps of each, and what they took."""

    steps: int
    timings: list[Timing] = field(default_factory=list)


def _take_turns(
    layouts: list[Layout],
    run: Callable[[Layout, int, int], Timing],
    give_up: Callable[[Layout, str], None],
    say: Callable[[str], None],
    *,
    seconds: float,
    rounds: int,
) -> dict[Layout, _Runs]:
    """Time layouts on one structure; without the baselines that fail, which `give_up` is called with, and the reason.

    Args:
        layouts: whose turns it is, in this order.
        run: times so many steps of a layout after so many others.
        give_up: called with a baseline that failed.
        say: called with what is being done.
        seconds: about how long a run takes.
        rounds: how often each is run.

    Raises:
        TransIPError: an engine failed that is not a baseline.
    """
    # Registered baselines see for themselves how many steps there is time for.
    by_itself = {layout for layout in layouts if layout.target in registered}
    runs = {layout: _Runs(MOST) for layout in layouts}

    def attempt(layout: Layout, steps: int, warmup: int) -> Timing | None:
        try:
            return run(layout, steps, warmup)
        except TransIPError as error:
            if layout.target not in names():
                raise
            give_up(layout, str(error))
            del runs[layout]
            return None

    for layout in [layout for layout in layouts if layout not in by_itself]:
        say(f"{layout.name}, how many steps in {seconds:g} s")
        if trial := attempt(layout, TRIAL, TRIAL_WARMUP):
            runs[layout].steps = int(np.clip(seconds / trial.step, FEWEST, MOST))
    for number in range(rounds):
        for layout in list(runs):
            many = f"{seconds:g} s" if layout in by_itself else f"{runs[layout].steps} steps"
            say(f"{layout.name}, {many}, round {number + 1} of {rounds}")
            if timing := attempt(layout, runs[layout].steps, WARMUP):
                runs[layout].timings.append(timing)
    return runs


def _model_call(layout: Layout, timings: dict[Layout, list[Timing]]) -> float | None:
    """Median seconds of the model call that a layout makes; None where it is not known, and for the call itself.

    Python's and libtransip's are different calls: the latter's is what LAMMPS's pair style prints on one rank.
    """
    if layout.target == "model":
        return None
    if layout.target not in BY_LIBTRANSIP:
        return statistics.median(timing.step for timing in timings[Layout("model")])
    printed = [timing.in_model for timing in timings.get(Layout("lammps", 1, layout.kernels), []) if timing.in_model]
    return statistics.median(printed) if printed else None


def _line(
    name: str,
    atoms: int,
    layout: Layout,
    runs: list[Timing],
    alone: float | None,
    arithmetic: float | None,
    asked: int,
) -> Line:
    steps = [run.step for run in runs]
    step = statistics.median(steps)
    around = [run.around_model / run.in_model for run in runs if run.in_model and run.around_model is not None]
    return Line(
        name,
        atoms,
        layout.name,
        1000 * step,
        1000 * min(steps),
        1000 * max(steps),
        max(run.memory for run in runs),
        None if alone is None else step / alone - 1,
        statistics.median(around) if around else None,
        SECONDS_PER_DAY / step * TIMESTEP / FS_PER_NS,
        atoms / step,
        step / arithmetic if arithmetic else None,
        min(run.steps or asked for run in runs),
        max((run.device_memory for run in runs if run.device_memory is not None), default=None),
    )
