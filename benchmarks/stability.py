"""Do the shipped models survive molecular dynamics? `python benchmarks/stability.py organic|water`.

Each structure runs at constant temperature and then, from where it ended, at constant energy, both at 0.5 fs. A run has
exploded if a number is not finite, two atoms come closer than 0.6 Angstrom, a bond of the start grows to 1.6 times its
length, or the temperature exceeds 1,000 K. Molecules run in OpenMM (native plugin, Reference platform), `water` in
ase. Finished structures are kept in benchmarks/runs/stability and not run again.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ase
import numpy as np
from ase.data import covalent_radii
from ase.neighborlist import natural_cutoffs, neighbor_list

from transip_md import units
from transip_md.structures import read_frames, read_structure
from transip_md.thermal import degrees_of_freedom, temperature_of

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

    def __init__(self, atoms: ase.Atoms) -> None:
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
        return f"the temperature rose to {temperature:.0f} K" if temperature > HOTTEST else ""

    def part(self, time_ps: float, exploded: str, drift: float | None = None) -> Part:
        """The record so far."""
        mean = float(np.mean(self.temperatures))
        return Part(time_ps, exploded, self.closest, self.stretched, mean, self.hottest, drift)


def slope(energies: list[float], atoms: int) -> float:
    """Least-squares drift of energies (eV), one a record: meV/atom/ps."""
    times = np.arange(len(energies)) * RECORD * TIMESTEP / 1000.0
    return float(np.polyfit(times, energies, 1)[0]) * 1000.0 / atoms


def openmm_records(model: Path, atoms: ase.Atoms, nvt: int, nve: int) -> Iterator[tuple[str, np.ndarray, float, float]]:
    """Ensemble, positions (Angstrom), potential and kinetic energy (eV) of every record, by OpenMM."""
    import openmm
    from openmm import unit

    from transip_md.openmm import create_force

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


def ase_records(model: Path, atoms: ase.Atoms, nvt: int, nve: int) -> Iterator[tuple[str, np.ndarray, float, float]]:
    """The same by ase, periodic systems too."""
    from ase import units as ase_units
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
    from ase.md.verlet import VelocityVerlet

    from transip_md.ase import TransIPCalculator

    atoms = atoms.copy()
    atoms.calc = TransIPCalculator(model)
    rng = np.random.default_rng(1)
    MaxwellBoltzmannDistribution(atoms, temperature_K=TEMPERATURE, rng=rng)
    step = TIMESTEP * ase_units.fs
    for ensemble, steps in (("nvt", nvt), ("nve", nve)):
        dynamics = (
            Langevin(atoms, step, temperature_K=TEMPERATURE, friction=0.01 / ase_units.fs, rng=rng, fixcm=False)
            if ensemble == "nvt"
            else VelocityVerlet(atoms, step)
        )
        for _ in range(steps // RECORD):
            dynamics.run(RECORD)
            yield ensemble, atoms.positions.copy(), atoms.get_potential_energy(), atoms.get_kinetic_energy()


def run_structure(name: str, model: Path, atoms: ase.Atoms, nvt_ps: float, nve_ps: float, output: Path) -> dict:
    """Both runs of one structure, written to `output` when done."""
    records = ase_records if atoms.pbc.any() else openmm_records
    steps = [round(time * 1000.0 / TIMESTEP) for time in (nvt_ps, nve_ps)]
    parts: dict[str, Part] = {}
    watch, energies, now, exploded = Watch(atoms), [], "nvt", ""
    for ensemble, positions, potential, kinetic in records(model, atoms, *steps):
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

    from rich.console import Console
    from rich.table import Table

    from transip_md.export import export
    from transip_md.model.checkpoint import load_shipped

    folder = HERE / "runs" / "stability"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{options.model}.pt"
    checkpoint = load_shipped(options.model)
    export(checkpoint, file)
    console = Console(width=160)
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
    table = Table(title=f"{options.model}: {nvt:g} ps NVT at {TEMPERATURE:g} K, {nve:g} ps NVE, {TIMESTEP} fs")
    for heading in (
        "structure",
        "atoms",
        "run",
        "ps",
        "T (K)",
        "highest T",
        "closest (A)",
        "longest bond",
        "drift",
        "",
    ):
        table.add_column(heading)
    for result in results:
        for ensemble, part in result["parts"].items():
            drift = "" if part["drift"] is None else f"{part['drift']:+.4f} meV/atom/ps"
            row = [result["structure"], str(result["atoms"]), ensemble, f"{part['time_ps']:g}"]
            row += [f"{part['mean_temperature']:.0f}", f"{part['hottest']:.0f}", f"{part['closest']:.2f}"]
            table.add_row(*row, f"{part['stretched']:.2f} x", drift, part["exploded"] or "stable")
    console.print(table)
    return int(any(result["exploded"] for result in results))


if __name__ == "__main__":
    raise SystemExit(main())
