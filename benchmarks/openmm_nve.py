"""How the total energy drifts in OpenMM: `python benchmarks/openmm_nve.py`.

Ethanol and 192 atoms of water, 10 ps at constant energy from 300 K, 0.5 fs (velocity Verlet): with float64
weights on the Reference platform, which is double precision throughout, and with float32 on the CPU platform. The drift
is given in meV/atom/ps, which is what the verdict is about, and in kT/ns per degree of freedom, as OpenMM's own
documentation gives it. Finished runs are kept in benchmarks/runs/openmm_nve and not run again; the table is written to
benchmarks/openmm_nve.md and .json.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ase.io
from rich.table import Table

from transip_md.cli.console import console
from transip_md.cli.progress import LongTask
from transip_md.common import units
from transip_md.common.thermal import degrees_of_freedom, thermal_velocities
from transip_md.dynamics.analysis import Conservation, analyse
from transip_md.engines.base import Dynamics, Job
from transip_md.engines.openmm.engine import OpenMMEngine
from transip_md.exporting.export import export
from transip_md.model.checkpoint import Checkpoint, load_shipped

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RUNS = HERE / "runs" / "openmm_nve"
STRUCTURES = {"ethanol": ROOT / "examples/ethanol.xyz", "water": ROOT / "examples/openmm/water.pdb"}
PRECISIONS = (("float64", "Reference"), ("float32", "CPU"))
TEMPERATURE = 300.0  # K
TIMESTEP = 0.5  # fs
RECORD = 5  # steps
#: Drift of classical water in OpenMM by its precision, kT/ns per degree of freedom.
OPENMM_CLASSICAL = {"double": 1.1e-7, "mixed": 2.3e-5, "single": 4.3e-4}


def per_degree_of_freedom(slope: float, atoms: int, temperature: float) -> float:
    """A drift in kT/ns per degree of freedom.

    Args:
        slope: meV/atom/ps.
        atoms: number of atoms.
        temperature: K.
    """
    return slope * atoms / degrees_of_freedom(atoms) / (units.BOLTZMANN * temperature)


@dataclass(frozen=True)
class Run:
    """One run and what it showed; the drift's unit is meV/atom/ps, and kT/ns for `per_dof`."""

    structure: str
    atoms: int
    dtype: str
    platform: str
    time_ps: float
    verdict: Conservation
    per_dof: float
    per_dof_error: float


def exported(name: str, dtype: str, checkpoint: Checkpoint) -> Path:
    """The model file, made unless it is there."""
    file = RUNS / f"{name}-{dtype}-{checkpoint.sha256[:8]}.pt"
    if not file.exists():
        export(checkpoint, file, dtype)
    return file


def run(name: str, dtype: str, platform: str, time_ps: float) -> Run:
    """Run, or read what an earlier call found."""
    checkpoint = load_shipped(name)
    result = RUNS / f"{name}-{dtype}-{platform}-{time_ps:g}-{checkpoint.sha256[:8]}.json"
    if result.exists():
        saved = json.loads(result.read_text())
        return Run(**saved | {"verdict": Conservation(**saved["verdict"])})
    atoms = ase.io.read(STRUCTURES[name])
    steps = round(time_ps * 1000.0 / TIMESTEP)
    dynamics = Dynamics(TIMESTEP, steps, RECORD, thermal_velocities(atoms, TEMPERATURE, 1))
    with LongTask(f"{name}, {dtype}, {platform}", steps) as progress:
        job = Job(exported(name, dtype, checkpoint), atoms, RUNS, "cpu")
        record = OpenMMEngine(platform).dynamics(job, dynamics, progress.update)
    verdict = analyse(record, len(atoms))
    slope, error = (
        per_degree_of_freedom(value, len(atoms), verdict.temperature) for value in (verdict.slope, verdict.slope_error)
    )
    found = Run(name, len(atoms), dtype, platform, time_ps, verdict, slope, error)
    result.write_text(json.dumps(asdict(found), indent=1) + "\n")
    return found


HEADINGS = (
    "structure", "weights", "platform", "ps", "mean T (K)", "drift (meV/atom/ps)", "fluctuation (meV/atom)",
    "drift (kT/ns/dof)", "verdict",
)  # fmt: skip


def row_of(found: Run) -> tuple[str, ...]:
    """A line of the table."""
    verdict = found.verdict
    return (
        found.structure, found.dtype, found.platform, f"{found.time_ps:g}", f"{verdict.temperature:.0f}",
        f"{verdict.slope:+.5f} ± {verdict.slope_error:.5f}", f"{verdict.fluctuation:.4f}",
        f"{found.per_dof:+.1e} ± {found.per_dof_error:.0e}", "PASS" if verdict.passed else "FAIL",
    )  # fmt: skip


def main() -> int:
    """Run what is missing, write and print the table; 1 if a run does not pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", type=float, default=10.0, help="ps")
    parser.add_argument("--structure", choices=sorted(STRUCTURES), action="append", help="default: all")
    options = parser.parse_args()
    RUNS.mkdir(parents=True, exist_ok=True)
    found = [
        run(name, dtype, platform, options.time)
        for name in options.structure or STRUCTURES
        for dtype, platform in PRECISIONS
    ]
    title = f"Constant energy in OpenMM, {options.time:g} ps, {TIMESTEP} fs, from {TEMPERATURE:g} K"
    table = Table(title=title)
    for heading in HEADINGS:
        table.add_column(heading)
    rows = [row_of(one) for one in found]
    for row in rows:
        table.add_row(*row)
    console.print(table)
    classical = ", ".join(f"{value:.1e} in {name}" for name, value in OPENMM_CLASSICAL.items())
    text = (
        f"# {title}\n\nWritten by `benchmarks/openmm_nve.py`. OpenMM's own drift, classical: {classical} precision.\n\n"
    )
    lines = [HEADINGS, ("---",) * len(HEADINGS), *rows]
    (HERE / "openmm_nve.md").write_text(text + "".join(f"| {' | '.join(line)} |\n" for line in lines))
    record = {"timestep_fs": TIMESTEP, "runs": [asdict(one) for one in found]}
    (HERE / "openmm_nve.json").write_text(json.dumps(record, indent=1) + "\n")
    return int(not all(one.verdict.passed for one in found))


if __name__ == "__main__":
    raise SystemExit(main())
