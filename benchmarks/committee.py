"""What a committee of four and a guard cost in LAMMPS beside one model, judged in every step and in every fiftieth.

    python benchmarks/committee.py [--rounds 7] [--steps 100] [-o committee.json]

Water of 192 atoms, float32, one thread; the guard is that of `water_broad`. Each round runs all, one after the other;
what is printed is the median of the rounds' ratios. The four files are copies, which costs what four models cost.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

import transip_md
from transip_md.exporting.export import export
from transip_md.plugins.build import find_tool

REPOSITORY = Path(__file__).resolve().parent.parent
MODELS = "water.1.pt water.2.pt water.3.pt water.4.pt"
#: What is run, and beside which of them.
STYLES = {
    "one": ("water.1.pt", "one"),
    "every step": (f"{MODELS} deviation deviation.out every 1", "one"),
    "every 50 steps": (f"{MODELS} deviation deviation.out every 50", "one"),
    "no guard": ("guarded.pt", "no guard"),
    "guard, every step": ("guarded.pt guard every 1 warn above 1000", "no guard"),
    "guard, every 50 steps": ("guarded.pt guard every 50 warn above 1000", "no guard"),
}
DECK = """units metal
atom_style atomic
boundary p p p
read_data water.data
neighbor 2.0 bin
pair_style transip {style} check no
pair_coeff * * H O
velocity all create 300 1 loop geom
fix 1 all nve
timestep 0.0005
run 10
run {steps}
"""


def step(folder: Path, style: str, steps: int) -> float:
    """Seconds of a step of LAMMPS."""
    (folder / "in.water").write_text(DECK.format(style=style, steps=steps))
    command = [str(find_tool("lmp")), "-in", "in.water", "-log", "none"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    loops = re.findall(r"Loop time of (\S+) on", said.stdout)
    if said.returncode or len(loops) != 2:
        raise SystemExit(said.stdout[-2000:] + said.stderr)
    return float(loops[-1]) / steps


def main() -> None:
    """Print the table, and write it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--steps", type=int, default=100)
    options.add_argument("-o", "--output", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = options.parse_args()
    times: dict[str, list[float]] = {name: [] for name in STYLES}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shutil.copy(REPOSITORY / "examples/lammps/water.data", folder)
        export(transip_md.pretrained("water"), folder / "water.1.pt", "float32")
        for number in (2, 3, 4):
            shutil.copy(folder / "water.1.pt", folder / f"water.{number}.pt")
        export(transip_md.pretrained("water_broad"), folder / "guarded.pt", "float32")
        for _ in range(asked.rounds):
            for name, (style, _) in STYLES.items():
                times[name].append(step(folder, style, asked.steps))
    results = {}
    for name, values in times.items():
        ratios = [value / one for value, one in zip(values, times[STYLES[name][1]], strict=True)]
        results[name] = {
            "ms_per_step": 1000.0 * statistics.median(values),
            "ratio": statistics.median(ratios),
            "ratios": ratios,
        }
        ratio = f"{results[name]['ratio']:.3f} of {STYLES[name][1]}"
        print(f"{name:22s} {results[name]['ms_per_step']:8.3f} ms a step, {ratio}")
    asked.output.write_text(json.dumps({"atoms": 192, "steps": asked.steps, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
