"""What pair_style transip costs around the model, and which ranks and threads pay: `python benchmarks/pair_style.py`.

Ethanol (9 atoms, `organic`) and water (192 and 1536 atoms, `water`), float32, TorchScript and compiled, at constant
energy in LAMMPS, on 1 rank with 1 thread, 1 rank with 2 threads and, water compiled, 2 ranks. Model and around are
what the style says of itself after a hundred steps: the call into libtransip, and everything else that the style does.
The step is LAMMPS's loop time. Layouts take turns, so that a machine that becomes busy slows all of them; the table has
medians and, for the step, the extremes. Results: benchmarks/pair_style.md and .json.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from pathlib import Path

import ase
from rich.table import Table

from transip_md.bench.run import WARMUP, machine_facts
from transip_md.bench.timers import Task, Timing, time_task
from transip_md.cli.console import console
from transip_md.export import export
from transip_md.model.checkpoint import load_shipped
from transip_md.structures import read_structure

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FORMS = {"torchscript": "pt", "aoti": "pt2"}
LAYOUTS = ((1, 1), (1, 2), (2, 1))  # MPI ranks, OpenMP and torch threads of each
HEADINGS = ("atoms", "file", "ranks", "threads", "model (ms)", "around (ms)", "around / model", "step (ms)", "extremes")


def structures() -> dict[str, tuple[str, ase.Atoms]]:
    """Name, model and structure."""
    water = ase.io.read(ROOT / "examples/lammps/water.data", format="lammps-data", atom_style="atomic")
    ethanol = read_structure(ROOT / "examples/ethanol.xyz")
    return {
        "ethanol": ("organic", ethanol),
        "water": ("water", water),
        "water x 8": ("water", water.repeat(2)),
    }


def main() -> int:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default=".", help="structures whose names match this regular expression")
    options = parser.parse_args()
    folder = HERE / "runs" / "pair_style"
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for name, (model, atoms) in structures().items():
        if not re.search(options.only, name):
            continue
        for form, ending in FORMS.items():
            file = folder / f"{model}.{ending}"
            export(load_shipped(model), file, "float32", form=form)
            # Each rank computes its halo anew: what two ranks cost is told by the faster of the files.
            layouts = LAYOUTS if atoms.pbc.any() and form == "aoti" else LAYOUTS[:2]
            steps = 60 if atoms.pbc.any() else 2000
            times: dict[tuple[int, int], list[Timing]] = {layout: [] for layout in layouts}
            for _ in range(options.repeats):
                for ranks, threads in layouts:
                    task = Task("lammps", file, atoms, steps, WARMUP, threads, ranks)
                    times[ranks, threads].append(time_task(task))
            for (ranks, threads), runs in times.items():
                results.append(
                    {
                        "structure": name,
                        "atoms": len(atoms),
                        "file": f".{ending}",
                        "ranks": ranks,
                        "threads": threads,
                        "model": 1000 * statistics.median(run.in_model for run in runs),
                        "around": 1000 * statistics.median(run.around_model for run in runs),
                        "step": 1000 * statistics.median(run.step for run in runs),
                        "extremes": [1000 * pick(run.step for run in runs) for pick in (min, max)],
                    }
                )
            console.print(f"{name}, .{ending}: done")
    rows = [
        (
            *(str(result[key]) for key in ("atoms", "file", "ranks", "threads")),
            *(f"{result[key]:.3g}" for key in ("model", "around")),
            f"{100 * result['around'] / result['model']:.1f} %",
            f"{result['step']:.3g}",
            "{:.3g} to {:.3g}".format(*result["extremes"]),
        )
        for result in results
    ]
    title = "pair_style transip: milliseconds a step"
    table = Table(*HEADINGS, title=title)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    machine = machine_facts()
    (HERE / "pair_style.json").write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")
    lines = [HEADINGS, ("---",) * len(HEADINGS), *rows]
    command = f"benchmarks/pair_style.py --repeats {options.repeats} --only {options.only}"
    text = f"# {title}\n\nWritten by `{command}` on {machine['processor']}, "
    text += f"{machine['cores']} cores; torch {machine['torch']}, LAMMPS {machine['lammps']}.\n\n"
    (HERE / "pair_style.md").write_text(text + "".join(f"| {' | '.join(line)} |\n" for line in lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
