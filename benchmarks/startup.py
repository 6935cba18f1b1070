"""How long programs take to start and what they keep in memory: LAMMPS with and without the pair style, Python.

    python benchmarks/startup.py [-o startup.json]

Each is started several times; the fastest counts. Resident memory is the largest of the process that runs LAMMPS.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import transip_md
from transip_md.exporting.export import export
from transip_md.plugins.build import find_tool
from transip_md.plugins.kinds import KINDS, plugin_library

ROUNDS = 7
BARE = """units metal
atom_style atomic
boundary p p p
read_data water.data
pair_style zero 4.5
pair_coeff * *
run 0
"""
OURS = BARE.replace("pair_style zero 4.5\npair_coeff * *", "pair_style transip water.pt check no\npair_coeff * * H O")


#: Runs a command and prints its seconds and its largest resident memory, kB. A process of its own, which is small: a
#: process counts the memory of the one that started it, too.
STARTER = """import os, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def measured(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Fastest start to end, s, and largest resident memory, MB."""
    seconds, memory = [], []
    for _ in range(ROUNDS):
        started = [sys.executable, "-I", "-S", "-c", STARTER, *command]
        said = subprocess.run(
            started, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        seconds.append(float(said.split()[0]))
        memory.append(float(said.split()[1]) / 1024)
    return min(seconds), max(memory)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-o", "--out", type=Path, help="JSON file to write")
    chosen = options.parse_args()
    plugin_library(KINDS["lammps"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = Path(__file__).resolve().parent.parent / "examples" / "lammps" / "water.data"
        (folder / "water.data").write_text(data.read_text())
        export(transip_md.pretrained("water"), folder / "water.pt", "float32")
        export(transip_md.pretrained("ethanol"), folder / "ethanol.pt", "float64")
        (folder / "in.bare").write_text(BARE)
        (folder / "in.ours").write_text(OURS)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        # The wheel's `lmp` is a Python script that starts this program.
        launcher, python = str(find_tool("lmp")), sys.executable
        cases = {
            "Python alone": [python, "-c", "pass"],
            "lmp, bare": [launcher, "-in", "in.bare", "-log", "none"],
            "lmp, water.pt": [launcher, "-in", "in.ours", "-log", "none"],
            "import transip_md.engines.ase.calculator": [python, "-c", "import transip_md.engines.ase.calculator"],
            "import ase.calculators.calculator": [python, "-c", "import ase.calculators.calculator"],
            "load_model": [python, "-c", "import transip_md; transip_md.load_model('ethanol.pt', device='cpu')"],
        }
        found = {case: measured(command, folder, environment) for case, command in cases.items()}
    for case, (seconds, memory) in found.items():
        print(f"{case:36} {seconds:7.3f} s {memory:8.1f} MB")
    if chosen.out:
        rows = {case: {"seconds": seconds, "megabytes": memory} for case, (seconds, memory) in found.items()}
        chosen.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
