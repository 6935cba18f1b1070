"""What pair_style transip costs around the model, and which ranks and threads pay: `python benchmarks/pair_style.py`.

Ethanol (9 atoms, `organic`) and water (192 and 1536 atoms, `water`), float32, TorchScript and compiled, at constant
energy in LAMMPS, on 1 rank with 1 thread, 1 rank with 2 threads and 2 ranks with 1 thread each. Model and around are
what the style says of itself after a hundred steps: the call into libtransip, and everything else that the style does.
The step is LAMMPS's loop time. Layouts take turns, so that a machine that becomes busy slows all of them; the table has
medians and, for the step, the extremes. Results: benchmarks/pair_style.md and .json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

import ase
from rich.table import Table

from transip_md.cli.console import console
from transip_md.engines.lammps_engine import write_data
from transip_md.export import export
from transip_md.locate import version_of
from transip_md.model.checkpoint import load_shipped
from transip_md.structures import read_structure

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FORMS = {"torchscript": "pt", "aoti": "pt2"}
LAYOUTS = ((1, 1), (1, 2), (2, 1))  # MPI ranks, OpenMP and torch threads of each
HEADINGS = ("atoms", "file", "ranks", "threads", "model (ms)", "around (ms)", "around / model", "step (ms)", "extremes")

DECK = """units metal
boundary {boundary}
neighbor {skin} bin
timestep 0.0005
read_data {data}
pair_style transip {file} device cpu check no
pair_coeff * * {symbols}
velocity all create 300 1 mom yes
fix 1 all nve
run {steps}
"""


def structures() -> dict[str, tuple[str, ase.Atoms]]:
    """Name, model and structure."""
    water = ase.io.read(ROOT / "examples/lammps/water.data", format="lammps-data", atom_style="atomic")
    ethanol = read_structure(ROOT / "examples/ethanol.xyz")
    return {
        "ethanol": ("organic", ethanol),
        "water": ("water", water),
        "water x 8": ("water", water.repeat(2)),
    }


def run(folder: Path, file: Path, atoms: ase.Atoms, ranks: int, threads: int, steps: int) -> dict[str, float]:
    """One run; milliseconds a step in the model, around it, and of LAMMPS's loop."""
    symbols = write_data(folder / "data", atoms)
    periodic = bool(atoms.pbc.any())
    deck = DECK.format(
        boundary="p p p" if periodic else "s s s",
        skin=2.0 if periodic else 0.5,
        data=folder / "data",
        file=file,
        symbols=" ".join(symbols),
        steps=steps,
    )
    (folder / "in").write_text(deck)
    tools = Path(sys.executable).parent
    command = [str(tools / "lmp"), "-in", str(folder / "in"), "-log", "none"]
    if ranks > 1:
        command = [str(tools / "mpiexec"), "-n", str(ranks), *command]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    output = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    told = re.search(r"TransIP: (\S+) ms a step in the model, (\S+) ms around it", output.stdout)
    loop = re.search(r"Loop time of (\S+) on", output.stdout)
    if output.returncode or not told or not loop:
        raise SystemExit(f"LAMMPS failed:\n{output.stdout[-2000:]}\n{output.stderr[-2000:]}")
    return {"model": float(told[1]), "around": float(told[2]), "step": 1000 * float(loop[1]) / steps}


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
            layouts = LAYOUTS if atoms.pbc.any() else LAYOUTS[:2]
            steps = 120 if atoms.pbc.any() else 2000
            times: dict[tuple[int, int], list[dict[str, float]]] = {layout: [] for layout in layouts}
            for _ in range(options.repeats):
                for layout in layouts:
                    times[layout].append(run(folder, file, atoms, *layout, steps))
            for (ranks, threads), runs in times.items():
                results.append(
                    {
                        "structure": name,
                        "atoms": len(atoms),
                        "file": f".{ending}",
                        "ranks": ranks,
                        "threads": threads,
                        **{key: statistics.median(run[key] for run in runs) for key in ("model", "around", "step")},
                        "extremes": [min(run["step"] for run in runs), max(run["step"] for run in runs)],
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
    machine = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch": version_of("torch"),
        "lammps": version_of("lammps"),
    }
    (HERE / "pair_style.json").write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")
    lines = [HEADINGS, ("---",) * len(HEADINGS), *rows]
    text = f"# {title}\n\nWritten by `benchmarks/pair_style.py --repeats {options.repeats}` on {machine['processor']}, "
    text += f"{machine['cores']} cores; torch {machine['torch']}, LAMMPS {machine['lammps']}.\n\n"
    (HERE / "pair_style.md").write_text(text + "".join(f"| {' | '.join(line)} |\n" for line in lines))
    return 0


def _processor() -> str:
    """Name of the processor."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


if __name__ == "__main__":
    raise SystemExit(main())
