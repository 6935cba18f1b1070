"""Several threads against one, in turns: water in LAMMPS (one rank), OpenMM's CPU platform and ASE.

    python benchmarks/threads.py [--threads 2] [--rounds 9] [--seconds 1] [-o benchmarks/threads.json]

Each round times one thread and then several, in processes of their own, and gives one ratio of times by the clock.
What is printed is the ratio of the fastest rounds, because what else happens on a host can only slow them, and the
median of the rounds' ratios with the middle half of them. Wants as many idle cores. Steps are those of `transip-md
bench` on the shipped `water` in float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from transip_md import pretrained
from transip_md.bench.run import machine_facts
from transip_md.bench.timers import Task, time_task
from transip_md.data.structures import read_structure
from transip_md.exporting.export import export

REPOSITORY = Path(__file__).resolve().parent.parent
ENGINES = ("lammps", "openmm", "ase")
REPEATS = (1, 2)
WARMUP = 20
#: Steps from which those of a run are reckoned.
FEW = 5


def main() -> None:
    """Time in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each run")
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
                task = Task(engine, model, atoms, FEW, FEW)
                steps = max(FEW, int(chosen.seconds / time_task(task).step))
                one = replace(task, steps=steps, warmup=WARMUP)
                several = replace(one, threads=chosen.threads)
                pairs = [(time_task(one).step, time_task(several).step) for _ in range(chosen.rounds)]
                ratios = [alone / together for alone, together in pairs]
                fastest = [1000 * min(times) for times in zip(*pairs, strict=True)]
                middle = [1000 * statistics.median(times) for times in zip(*pairs, strict=True)]
                low, high = np.quantile(ratios, (0.25, 0.75))
                rows.append({
                    "engine": engine, "atoms": len(atoms), "steps": steps, "rounds": chosen.rounds,
                    "one_ms": middle[0], "several_ms": middle[1],
                    "fastest_one_ms": fastest[0], "fastest_several_ms": fastest[1], "fastest": fastest[0] / fastest[1],
                    "ratio": statistics.median(ratios), "quartiles": [float(low), float(high)],
                })  # fmt: skip
                row = rows[-1]
                print(
                    f"{engine:7} {row['atoms']:6} atoms: {fastest[0]:.3f} -> {fastest[1]:.3f} ms, ratio "
                    f"{row['fastest']:.2f}; of the rounds {row['ratio']:.2f} ({low:.2f} to {high:.2f})",
                    flush=True,
                )
    if chosen.out:
        found = {"machine": machine_facts(), "threads": chosen.threads, "rows": rows}
        chosen.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
