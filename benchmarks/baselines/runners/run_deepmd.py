"""DeePMD-kit's ``pair_style deepmd`` in LAMMPS, with the compressed model that prepare_deepmd.py made."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from steps import FEWEST, FEWEST_WARMUP, STIFFNESS, answer, number_of_steps, read_task

#: As the deck of the benchmark's own LAMMPS runs, but for the springs: see steps.time_dynamics. They come after the
#: forces of the pair style; what those add is small, for the model has learned that there are none.
DECK = """units metal
boundary p p p
neighbor 2.0 bin
timestep {timestep}
read_data start.data
pair_style deepmd {model}
pair_coeff * *
fix springs all spring/self {stiffness}
fix 1 all nve
run {warmup}
run {steps}
"""
#: Atom types of the model.
TYPES = ("O", "H")
#: amu.
MASSES = {"O": 15.999, "H": 1.008}


def write_data() -> None:
    """Write LAMMPS's start.data, with the model's atom types."""
    import ase.io
    import ase.units
    from ase.calculators.lammps import Prism

    atoms = ase.io.read("start.extxyz")
    prism = Prism(atoms.cell.array, pbc=True)
    xx, yy, zz, xy, xz, yz = prism.get_lammps_prism()
    lines = ["water", "", f"{len(atoms)} atoms", f"{len(TYPES)} atom types", ""]
    lines += [f"0 {xx:.12f} xlo xhi", f"0 {yy:.12f} ylo yhi", f"0 {zz:.12f} zlo zhi"]
    if prism.is_skewed():
        lines.append(f"{xy:.12f} {xz:.12f} {yz:.12f} xy xz yz")
    lines += ["", "Masses", "", *[f"{index} {MASSES[symbol]}" for index, symbol in enumerate(TYPES, start=1)]]
    lines += ["", "Atoms # atomic", ""]
    positions = prism.vector_to_lammps(atoms.positions, wrap=True)
    for index, (symbol, (x, y, z)) in enumerate(zip(atoms.symbols, positions, strict=True), start=1):
        lines.append(f"{index} {TYPES.index(symbol) + 1} {x:.12f} {y:.12f} {z:.12f}")
    velocities = prism.vector_to_lammps(atoms.get_velocities()) * 1000.0 * ase.units.fs
    lines += ["", "Velocities", ""]
    lines += [f"{index} {x:.12f} {y:.12f} {z:.12f}" for index, (x, y, z) in enumerate(velocities, start=1)]
    Path("start.data").write_text("\n".join(lines) + "\n")


def run(task: dict[str, Any], warmup: int, steps: int) -> float:
    """Run LAMMPS and give the seconds of a step.

    Args:
        task: from `read_task`.
        warmup: steps that do not count.
        steps: steps that do.
    """
    deck = DECK.format(
        timestep=task["timestep"] / 1000.0,
        model=Path(task["home"]) / "model.pb",
        stiffness=STIFFNESS,
        warmup=warmup,
        steps=steps,
    )
    Path("in.bench").write_text(deck)
    threads = str(task["threads"])
    environment = {
        **os.environ,
        "DP_INTRA_OP_PARALLELISM_THREADS": threads,
        "DP_INTER_OP_PARALLELISM_THREADS": "1",
        "TF_INTRA_OP_PARALLELISM_THREADS": threads,
        "TF_INTER_OP_PARALLELISM_THREADS": "1",
    }
    command = [str(Path(sys.executable).parent / "lmp"), "-in", "in.bench", "-log", "none"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    loops = re.findall(r"Loop time of (\S+) on", result.stdout)
    if result.returncode or len(loops) != 2:
        raise SystemExit(f"LAMMPS stopped with exit {result.returncode}:\n{(result.stdout + result.stderr)[-1000:]}")
    return float(loops[-1]) / steps


def main() -> None:
    """Time it: a few steps say how many there is time for."""
    task = read_task()
    write_data()
    step = run(task, FEWEST_WARMUP, FEWEST)
    steps = number_of_steps(task, step)
    warmup = max(FEWEST_WARMUP, min(task["warmup"], int(task["seconds"] / step)))
    step = run(task, warmup, steps)
    answer(step, steps, memory=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
