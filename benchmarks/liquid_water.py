"""Liquid water in LAMMPS: `python benchmarks/liquid_water.py [MODEL] [--time 100]`, a shipped model or a checkpoint.

64 molecules (examples/lammps/water.data) run at 300 K, first in the box of the data, then at 1 bar, `--time` ps each at
0.5 fs after 5 ps that do not count, float32, native kernels, one thread each, both at a time. Printed, and written into
benchmarks/liquid_water.md and .json: the radial distribution of oxygen, the density, the temperature, and all that
LAMMPS warned of. Beside them what was measured on water: the first peak of the oxygens at 2.80 Angstrom, 2.57 high
(Skinner et al., J. Chem. Phys. 138, 074506 (2013), at 295 K).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from transip_md.exporting.export import export
from transip_md.model.checkpoint import load_named
from transip_md.plugins.build import find_tool

HERE = Path(__file__).resolve().parent
TIMESTEP, SETTLING = 0.0005, 5.0  # ps
FIXES = {"nvt": "nvt temp 300 300 0.1", "npt": "npt temp 300 300 0.1 iso 1.01325 1.01325 1.0"}
DECK = """units metal
boundary p p p
read_data {data}
pair_style transip water.pt
pair_coeff * * H O
velocity all create 300 {seed} mom yes loop geom
fix 1 all {fix}
timestep {timestep}
thermo_style custom step temp press density pe
thermo {settling}
run {settling}
reset_timestep 0
compute rdf all rdf 120 2 2
fix rdf all ave/time 20 {samples} {steps} c_rdf[*] file {name}.rdf mode vector
variable t equal temp
variable p equal press
variable d equal density
fix mean all ave/time 5 {means} {steps} v_t v_p v_d file {name}.means
thermo {tenth}
run {steps}
"""


def run(name: str, folder: Path, time: float) -> dict[str, Any]:
    """Run one ensemble and read what it wrote."""
    steps, settling = round(time / TIMESTEP / 20) * 20, round(SETTLING / TIMESTEP)
    deck = DECK.format(
        data=HERE.parent / "examples" / "lammps" / "water.data",
        name=name,
        fix=FIXES[name],
        seed=4711,
        timestep=TIMESTEP,
        settling=settling,
        steps=steps,
        samples=steps // 20,
        means=steps // 5,
        tenth=max(1, steps // 10),
    )
    (folder / f"in.{name}").write_text(deck)
    command = [str(find_tool("lmp")), "-in", f"in.{name}", "-log", f"{name}.log"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if said.returncode:
        raise SystemExit(said.stdout[-2000:] + said.stderr)
    rows = np.loadtxt(folder / f"{name}.rdf", skiprows=4)
    distances, heights = rows[:, 1], rows[:, 2]
    peak = int(heights.argmax())
    after = peak + int(heights[peak : peak + 30].argmin())
    temperature, pressure, density = np.loadtxt(folder / f"{name}.means")[1:]
    return {
        "ps": steps * TIMESTEP,
        "warnings": re.findall(r"WARNING.*", said.stdout + said.stderr),
        "temperature_K": float(temperature),
        "pressure_bar": float(pressure),
        "density_g_cm3": float(density),
        "first_peak_A": float(distances[peak]),
        "first_peak": float(heights[peak]),
        "first_minimum_A": float(distances[after]),
        "first_minimum": float(heights[after]),
        "rdf": {"distances_A": distances.round(4).tolist(), "oxygen": heights.round(4).tolist()},
    }


def table(found: dict[str, Any]) -> str:
    """What was found, as Markdown."""
    lines = [
        "# Liquid water in LAMMPS",
        "",
        f"Made by `python benchmarks/liquid_water.py {found['model']}`; checkpoint {found['checkpoint'][:8]}.",
        "Oxygen's radial distribution is in the JSON file. Measured at 295 K: first peak 2.57 at 2.80 Angstrom",
        "(Skinner et al., J. Chem. Phys. 138, 074506). The model was not trained on stress, and 64 molecules are few:",
        "the density is what this model gives, not what PBE0+TS would give.",
        "",
        "| ensemble | ps | T (K) | pressure (bar) | density (g/cm^3) | first peak of O-O | first minimum | warnings |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in found["runs"].items():
        lines.append(
            f"| {name} | {one['ps']:.0f} | {one['temperature_K']:.0f} | {one['pressure_bar']:.0f} "
            f"| {one['density_g_cm3']:.3f} | {one['first_peak']:.2f} at {one['first_peak_A']:.2f} Angstrom "
            f"| {one['first_minimum']:.2f} at {one['first_minimum_A']:.2f} Angstrom | {len(one['warnings'])} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run both and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model", nargs="?", default="water")
    options.add_argument("--time", type=float, default=100.0, help="ps of each run")
    options.add_argument("-o", "--out", type=Path, default=HERE, help="folder of the table and the record")
    chosen = options.parse_args()
    checkpoint = load_named(chosen.model)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor() as both:
        folder = Path(name)
        export(checkpoint, folder / "water.pt", "float32")
        made = both.map(lambda ensemble: run(ensemble, folder, chosen.time), FIXES)
        found = {
            "model": Path(chosen.model).name,
            "checkpoint": checkpoint.sha256,
            "runs": dict(zip(FIXES, made, strict=True)),
        }
    (chosen.out / "liquid_water.json").write_text(json.dumps(found, indent=1) + "\n")
    (chosen.out / "liquid_water.md").write_text(table(found))
    print(table(found))


if __name__ == "__main__":
    main()
