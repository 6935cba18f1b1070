"""What the broad models are worth on molecules that they never saw: `python benchmarks/unseen.py [MODEL ...]`.

The molecules are neutral ones of recipes/organic/broad_held_out.smi with a bond to rotate about, the first 20 of 10 to
40 atoms in an order drawn by a seed, relaxed by GFN2-xTB. Of each:

torsion    its first rotatable bonds, three at most, rotated rigidly in 24 steps: mean error of the relative energies
           against GFN2-xTB, kcal/mol, over what lies within 20 kcal/mol of the lowest
dynamics   100 ps at 500 K in LAMMPS, 0.5 fs, Langevin: exploded if two atoms come closer than 0.6 Angstrom, a bond
           grows to 1.6 times its length or a number is not finite
energy     100 ps at constant energy at 1 fs, after 5 ps at 500 K: drift with its standard error, meV/atom/ps
speed      wall time of a step in LAMMPS (of the dynamics) and of one evaluation of GFN2-xTB, both on one thread

Results: unseen_MODEL.json and .md. What the JSON file has of the same model and as many picoseconds is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ase
import numpy as np
from rich.console import Console

import transip_md
from stability import RECORD, Watch
from transip_md.bench.run import machine_facts
from transip_md.common import units
from transip_md.data.bonds import all_bonds, twisted
from transip_md.data.structures import read_structure
from transip_md.dynamics.analysis import drift_of
from transip_md.engines.base import EnergyRecord
from transip_md.engines.lammps.engine import write_data
from transip_md.engines.lammps.module import make_lammps
from transip_md.exporting.export import export
from transip_md.model.checkpoint import load_shipped
from transip_md.sampling.recipe import SamplingRecipe
from transip_md.sampling.smiles import read_entries, write_structures
from transip_md.sampling.teacher import relaxed

HERE = Path(__file__).resolve().parent
LIST = HERE.parent / "recipes" / "organic" / "broad_held_out.smi"
MODELS = ("organic_broad", "organic_large")
SEED = 1
FEWEST, MOST = 10, 40  # atoms
TORSIONS, ANGLES, HIGHEST = 3, 24, 20.0  # kcal/mol
#: kcal/mol: of a profile that rises no higher nothing is rotated but the axis itself.
FLAT = 0.1
HOT = 500.0  # K
SETTLE = 5.0  # ps
TEACHER = SamplingRecipe(teacher="gfn2-xtb", temperature=HOT, seed=SEED, charge=0, multiplicity=1)
#: Results that depend on how long the runs are.
PARTS = {"hot_ps": ("ps", "exploded", "ms_per_step"), "still_ps": ("drift", "drift_error")}
console = Console(width=120)


def chosen(folder: Path, count: int) -> Iterator[tuple[str, str, Path]]:
    """Names, SMILES and files of the first so many molecules that fit, in an order drawn by the seed."""
    entries = read_entries([str(LIST)])
    found = 0
    for row in np.random.default_rng(SEED).permutation(len(entries)):
        if found == count:
            return
        (file,) = write_structures([entries[row]], folder, SEED)
        atoms = read_structure(file)
        if atoms.info.get("charge", 0) or not FEWEST <= len(atoms) <= MOST:
            continue
        if any(bond.rotatable for bond in all_bonds(atoms)):
            found += 1
            yield entries[row].name, entries[row].smiles, file


def torsion_errors(model: Any, atoms: ase.Atoms, calculator: Any) -> list[float]:
    """Mean absolute error of each profile, kcal/mol, of energies relative to the profile's mean."""
    errors = []
    for bond in [bond for bond in all_bonds(atoms) if bond.rotatable][:TORSIONS]:
        wanted, found = [], []
        for angle in np.linspace(0.0, 2 * np.pi, ANGLES, endpoint=False):
            rotated = twisted(atoms, bond, angle)
            found.append(float(model.evaluate(rotated.numbers, rotated.positions).energies.sum()))
            rotated.calc = calculator
            wanted.append(rotated.get_potential_energy())
        reference = (np.array(wanted) - min(wanted)) * units.KCAL_PER_MOL_PER_EV
        if reference.max() < FLAT:
            continue
        low = reference < HIGHEST
        ours = np.array(found)[low] * units.KCAL_PER_MOL_PER_EV
        errors.append(float(np.abs((ours - ours.mean()) - (reference[low] - reference[low].mean())).mean()))
    return errors


def lammps(model: Path, atoms: ase.Atoms) -> Any:
    """LAMMPS with a molecule in a bath at 500 K, at 0.5 fs."""
    lmp = make_lammps(["-screen", "none", "-log", "none"])
    with tempfile.TemporaryDirectory() as folder:
        symbols = write_data(Path(folder) / "start.data", atoms)
        for command in (
            "units metal", "boundary s s s", "atom_style atomic", "atom_modify map array",
            f"read_data {folder}/start.data", f"pair_style transip {model} device cpu threads 1",
            f"pair_coeff * * {' '.join(symbols)}", "timestep 0.0005",
            f"velocity all create {HOT} {SEED} mom yes rot yes", "fix move all nve",
            f"fix bath all langevin {HOT} {HOT} 0.1 {SEED} zero yes",
        ):  # fmt: skip
            lmp.command(command)
    return lmp


def dynamics(model: Path, atoms: ase.Atoms, picoseconds: float) -> dict[str, Any]:
    """Langevin dynamics in LAMMPS."""
    lmp = lammps(model, atoms)
    # A molecule of ten atoms at 500 K reaches 1,000 K now and then.
    watch = Watch(atoms, allowed=np.inf)
    exploded, done, seconds = "", 0, 0.0
    while not exploded and done < round(picoseconds * 2000):
        start = time.perf_counter()
        lmp.command(f"run {RECORD} pre {'no' if done else 'yes'} post no")
        seconds += time.perf_counter() - start
        done += RECORD
        positions = np.array(lmp.gather_atoms("x", 1, 3)).reshape(-1, 3)
        exploded = watch.look(positions, lmp.get_thermo("ke"))
    lmp.close()
    return {"ps": done / 2000, "exploded": exploded, "ms_per_step": 1000 * seconds / done}


def constant_energy(model: Path, atoms: ase.Atoms, picoseconds: float) -> dict[str, Any]:
    """Drift of the total energy in LAMMPS, after some dynamics in the bath."""
    lmp = lammps(model, atoms)
    for command in (f"run {round(SETTLE * 2000)} post no", "unfix bath", "timestep 0.001"):
        lmp.command(command)
    energies = []
    for record in range(round(picoseconds * 1000 / RECORD)):
        lmp.command(f"run {RECORD} pre {'no' if record else 'yes'} post no")
        energies.append([lmp.get_thermo(name) for name in ("pe", "ke", "temp")])
    lmp.close()
    potential, kinetic, temperature = np.array(energies).T
    times = RECORD * np.arange(len(energies)) / 1000
    drift, error = drift_of(EnergyRecord(times, potential, kinetic, temperature), len(atoms))
    return {"drift": drift, "drift_error": error}


def examine(found: dict[str, Any], file: Path, model: Path, hot_ps: float, still_ps: float) -> dict[str, Any]:
    """A molecule with all that was not found before."""
    atoms = relaxed(read_structure(file), TEACHER)
    calculator, atoms.calc = atoms.calc, None
    if "teacher_ms" not in found:
        moved = atoms.copy()
        moved.calc = calculator
        start, evaluations = time.perf_counter(), 5
        for _ in range(evaluations):
            moved.rattle(0.01, rng=np.random.default_rng(SEED))
            moved.get_forces()
        teacher = 1000 * (time.perf_counter() - start) / evaluations
        torsions = torsion_errors(transip_md.load_model(model), atoms, calculator)
        found = {**found, "atoms": len(atoms), "torsions_kcal": torsions, "teacher_ms": teacher}
    if "ps" not in found:
        found = {**found, **dynamics(model, atoms, hot_ps)}
    if "drift" not in found and not found["exploded"]:
        found = {**found, **constant_energy(model, atoms, still_ps)}
    return found


def is_done(molecule: dict[str, Any]) -> bool:
    """Whether everything of a molecule is there."""
    return "ps" in molecule and ("drift" in molecule or bool(molecule["exploded"]))


def report(name: str, found: dict[str, Any]) -> str:
    """The results of a model, as Markdown."""
    molecules = [molecule for molecule in found["molecules"] if is_done(molecule)]
    profiles = [error for molecule in molecules for error in molecule["torsions_kcal"]]
    drifts = [abs(molecule["drift"]) for molecule in molecules if "drift" in molecule]
    ratios = [molecule["teacher_ms"] / molecule["ms_per_step"] for molecule in molecules]
    survived = sum(not molecule["exploded"] for molecule in molecules)
    lines = [
        f"# `{name}` on molecules that it never saw",
        "",
        f"Written by `python benchmarks/unseen.py {name}`, which states what is measured.",
        "",
        f"- torsion profiles: mean error {np.mean(profiles):.2f} kcal/mol over {len(profiles)} profiles, "
        f"{sum(error <= 1 for error in profiles)} of them within 1",
        f"- {found['hot_ps']:g} ps at {HOT:g} K: {survived} of {len(molecules)} survive",
        f"- constant energy at 1 fs, {found['still_ps']:g} ps: drift {np.median(drifts):.4f} meV/atom/ps in the "
        f"median, {max(drifts):.4f} at most",
        f"- a step takes GFN2-xTB {np.median(ratios):.0f} times as long as LAMMPS in the median",
        "",
        "| molecule | atoms | torsions, kcal/mol | at 500 K | drift, meV/atom/ps | ms a step, LAMMPS and GFN2-xTB |",
        "|---|---|---|---|---|---|",
    ]
    for molecule in molecules:
        torsions = ", ".join(f"{error:.2f}" for error in molecule["torsions_kcal"])
        verdict = f"{molecule['exploded']} after {molecule['ps']:g} ps" if molecule["exploded"] else "survives"
        drift = f"{molecule['drift']:+.4f} ± {molecule['drift_error']:.4f}" if "drift" in molecule else ""
        lines.append(
            f"| `{molecule['smiles']}` | {molecule['atoms']} | {torsions} | {verdict} | {drift} | "
            f"{molecule['ms_per_step']:.2f}, {molecule['teacher_ms']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def study(name: str, options: argparse.Namespace) -> None:
    """Run what is not there of a model, and write its table."""
    results = HERE / f"unseen_{name}.json"
    checkpoint = load_shipped(name)
    known = json.loads(results.read_text()) if results.exists() else {}
    of_model = known.get("checkpoint_sha256") == checkpoint.sha256
    found = {
        "machine": known["machine"] if of_model else machine_facts(), "checkpoint_sha256": checkpoint.sha256,
        "hot_ps": options.hot, "still_ps": options.still,
    }  # fmt: skip
    stale = [part for length, parts in PARTS.items() for part in parts if known.get(length) != found[length]]
    there = {
        molecule["name"]: {key: value for key, value in molecule.items() if key not in stale}
        for molecule in (known["molecules"] if of_model else ())
    }
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(options.jobs) as pool:
        model = Path(folder) / "model.pt"
        export(checkpoint, model, "float32")
        waiting = []
        for molecule, smiles, file in chosen(Path(folder) / "structures", options.molecules):
            so_far = there.get(molecule, {"name": molecule, "smiles": smiles})
            if not is_done(so_far):
                waiting.append(pool.submit(examine, so_far, file, model, options.hot, options.still))
        for future in as_completed(waiting):
            examined = future.result()
            there[examined["name"]] = examined
            found["molecules"] = sorted(there.values(), key=lambda one: one["atoms"])
            results.write_text(json.dumps(found, indent=1) + "\n")
            results.with_suffix(".md").write_text(report(name, found))
            console.print(f"{name}, {examined['smiles']}: done", markup=False)
    console.print(report(name, json.loads(results.read_text())), markup=False)


def main() -> None:
    """Study the models that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}; all without")
    parser.add_argument("--molecules", type=int, default=20)
    parser.add_argument("--hot", type=float, default=100.0, metavar="PS", help="at 500 K")
    parser.add_argument("--still", type=float, default=100.0, metavar="PS", help="at constant energy")
    parser.add_argument("--jobs", type=int, default=1, help="molecules at a time")
    options = parser.parse_args()
    if unknown := [name for name in options.models if name not in MODELS]:
        parser.error(f"no study of {', '.join(unknown)}; expected {', '.join(MODELS)}")
    for name in options.models or MODELS:
        study(name, options)


if __name__ == "__main__":
    main()
