"""Several threads against one, in turns: water in LAMMPS (one rank), OpenMM's CPU platform and ASE.

    python benchmarks/threads.py [--threads 2] [--rounds 60] [--seconds 0.25] [-o benchmarks/threads.json]

One thread and several have a process each, which lives as long as an engine and a size are measured; in every round
first the one does some steps and then the other, so that what else happens on a host comes upon both. Printed are the
medians, the median of the rounds' ratios with the middle half of them, and the ratio of the fastest rounds. Wants as
many idle cores. Steps are those of `transip-md bench` on the shipped `water` in float32.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import ase
import numpy as np

from transip_md import pretrained
from transip_md.bench.run import machine_facts
from transip_md.bench.timers import TIMESTEP, Task, advance_of
from transip_md.common.variables import environment_variables
from transip_md.data.structures import read_structure
from transip_md.exporting.export import export
from transip_md.modelfile.certificate import QUIET

REPOSITORY = Path(__file__).resolve().parent.parent
ENGINES = ("lammps", "openmm", "ase")
REPEATS = (1, 2)
WARMUP = 20


def lammps(task: Task) -> Callable[[int], None]:
    """A function that does so many steps in LAMMPS."""
    from transip_md.engines.lammps.engine import write_data
    from transip_md.engines.lammps.module import make_lammps

    engine = make_lammps(["-screen", "none", "-log", "none"])
    with tempfile.TemporaryDirectory() as folder:
        symbols = write_data(Path(folder) / "start.data", task.atoms)
        for command in (
            "units metal", "boundary p p p", f"timestep {TIMESTEP / 1000}", f"read_data {folder}/start.data",
            f"pair_style transip {task.model} device cpu check no", f"pair_coeff * * {' '.join(symbols)}",
            "velocity all create 300 1", "fix 1 all nve", "run 0",
        ):  # fmt: skip
            engine.command(command)
    return lambda steps: engine.command(f"run {steps} pre no post no")


def serve(task: Task, orders: Connection) -> None:
    """Do as many steps as are ordered, and answer with the seconds of one, until 0 are."""
    advance = lammps(task) if task.target == "lammps" else advance_of(task)
    advance(WARMUP)
    while steps := orders.recv():
        start = time.perf_counter()
        advance(steps)
        orders.send((time.perf_counter() - start) / steps)


class Runner:
    """An engine on so many threads, in a process of its own."""

    def __init__(self, task: Task) -> None:
        context = multiprocessing.get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(task, theirs))
        with environment_variables({"OMP_NUM_THREADS": str(task.threads), QUIET: "1"}):
            self._process.start()
        theirs.close()

    def step(self, steps: int) -> float:
        """Seconds of one of so many steps."""
        self._orders.send(steps)
        return self._orders.recv()

    def end(self) -> None:
        """End the process."""
        self._orders.send(0)
        self._process.join()


def measured(engine: str, model: Path, atoms: ase.Atoms, chosen: argparse.Namespace) -> dict[str, object]:
    """One engine and size."""
    task = Task(engine, model, atoms, 0, 0)
    one, several = Runner(task), Runner(replace(task, threads=chosen.threads))
    steps = max(1, int(chosen.seconds / one.step(WARMUP)))
    several.step(WARMUP)
    pairs = [(one.step(steps), several.step(steps)) for _ in range(chosen.rounds)]
    one.end()
    several.end()
    ratios = [alone / together for alone, together in pairs]
    fastest = [1000 * min(times) for times in zip(*pairs, strict=True)]
    middle = [1000 * statistics.median(times) for times in zip(*pairs, strict=True)]
    low, high = np.quantile(ratios, (0.25, 0.75))
    return {
        "engine": engine, "atoms": len(atoms), "steps": steps, "rounds": chosen.rounds,
        "one_ms": middle[0], "several_ms": middle[1],
        "fastest_one_ms": fastest[0], "fastest_several_ms": fastest[1], "fastest": fastest[0] / fastest[1],
        "ratio": statistics.median(ratios), "quartiles": [float(low), float(high)],
    }  # fmt: skip


def main() -> None:
    """Time in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.25, help="of each run")
    parser.add_argument("-o", "--out", type=Path, help="JSON file to write")
    chosen = parser.parse_args()
    water = read_structure(REPOSITORY / "examples" / "openmm" / "water.pdb")
    water.pbc = True
    rows = []
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "water.pt"
        export(pretrained("water"), model, "float32")
        for repeat in REPEATS:
            atoms = water.repeat(repeat)
            for engine in ENGINES:
                rows.append(measured(engine, model, atoms, chosen))
                row = rows[-1]
                low, high = row["quartiles"]
                print(
                    f"{engine:7} {row['atoms']:6} atoms: {row['one_ms']:.3f} -> {row['several_ms']:.3f} ms, ratio "
                    f"{row['ratio']:.2f} ({low:.2f} to {high:.2f}); of the fastest {row['fastest']:.2f}",
                    flush=True,
                )
    if chosen.out:
        found = {"machine": machine_facts(), "threads": chosen.threads, "rows": rows}
        chosen.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
