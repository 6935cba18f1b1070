"""What exact symmetry costs and what it does: `python benchmarks/symmetry.py`, or some of its parts by name.

table    rotation error and cost against the number of rotations, for the shipped models organic and water
native   cost of the modes in LAMMPS, by libtransip's native kernels
batch    an average in one batched call of torch's against single calls
momenta  angular momentum, energy and temperatures of ethanol and alanine dipeptide at constant energy, with and without
         the frame
rdf      oxygen-oxygen distances in water at constant temperature, with and without an average, in LAMMPS

Each part is written to benchmarks/symmetry.json when it is done and replaces what was there; the tables go to
benchmarks/symmetry.md, the plots beside it. Long runs are kept in benchmarks/runs/symmetry and go on where they were.
Models are float64 (float32 in rdf); costs are ratios of times of one thread, medians of interleaved runs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ase
import ase.io
import numpy as np
import torch
from ase.md.verlet import VelocityVerlet
from rich.console import Console

from transip_md.common import units
from transip_md.common.thermal import momenta_of, thermal_velocities
from transip_md.engines.ase import TransIPCalculator
from transip_md.engines.lammps.engine import boundary_of, write_data
from transip_md.evaluators.symmetrised import SymmetrisedForward
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.exporting.export import export
from transip_md.model.checkpoint import load_shipped
from transip_md.plugins.build import find_tool
from transip_md.plugins.kinds import KINDS, plugin_library
from transip_md.symmetry.numbered import numbered_rotation
from transip_md.symmetry.request import SymmetryRequest
from transip_md.symmetry.sets import rotation_set

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RUNS = HERE / "runs" / "symmetry"
RESULTS = HERE / "symmetry.json"
TIMESTEP = 0.5  # fs
TEMPERATURE = 300.0  # K
RECORD = 20  # steps
FEMTOSECOND = np.sqrt(units.ACCELERATION)  # in ase's unit of time
MODES = {
    "organic": ("none", "frame", "average 2", "average 4", "average 12", "average 24", "average 60", "average 208"),
    "water": ("none", "average 2", "average 4", "average 12", "average 24", "average 60"),
}
#: Random rotations that the error is measured over, for molecules and for water.
TURNS = (16, 8)
console = Console(width=100)


def molecule(name: str) -> ase.Atoms:
    """A structure of the examples by name."""
    files = {"ethanol": "ethanol.xyz", "alanine dipeptide": "openmm/alanine_dipeptide.pdb", "water": "openmm/water.pdb"}
    atoms = ase.io.read(ROOT / "examples" / files[name])
    if name != "water":
        atoms.pbc = False
    return atoms


def model_of(name: str) -> ExportedModel:
    """A shipped model, exported once for each version of its checkpoint."""
    checkpoint = load_shipped(name)
    file = RUNS / f"{name}-{checkpoint.sha256[:12]}.pt"
    if not file.exists():
        RUNS.mkdir(parents=True, exist_ok=True)
        export(checkpoint, file)
    return ExportedModel(file, device="cpu")


def rotated(atoms: ase.Atoms, rotation: np.ndarray) -> ase.Atoms:
    """A structure with its cell, rotated."""
    found = atoms.copy()
    found.positions, found.cell = atoms.positions @ rotation.T, atoms.cell.array @ rotation.T
    return found


def evaluator(model: ExportedModel, text: str, reference: ase.Atoms) -> Callable[[ase.Atoms], tuple]:
    """Energy (eV) and forces (eV/Angstrom) of a structure with a symmetry."""
    symmetry = SymmetrisedForward(model, SymmetryRequest.parse(text), reference.numbers, reference.positions)

    def evaluate(atoms: ase.Atoms) -> tuple:
        found = model.evaluate(
            atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc, symmetry=symmetry
        )
        return float(found.energies.sum()), found.forces

    return evaluate


def cost_of(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU time of each call, s; the calls take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: float(np.median(spent)) for name, spent in times.items()}


def table() -> dict:
    """Spread of the energy and of the forces over random rotations, and cost, by model and mode."""
    rows = results().get("table", {})
    for name, structures in (("organic", ("ethanol", "alanine dipeptide")), ("water", ("water",))):
        model = model_of(name)
        checkpoint = model.metadata.source_sha256[:12]
        for structure in structures:
            if rows.get(structure, {}).get("checkpoint") == checkpoint:
                continue
            atoms = molecule(structure)
            bent = atoms.copy()
            if not atoms.pbc.any():
                # Water is a frame of a liquid; the molecules are at rest.
                bent.rattle(0.05, seed=1)
            modes = {text: evaluator(model, text, atoms) for text in MODES[name]}
            found = {}
            for text, evaluate in modes.items():
                energies, forces = [], []
                for step in range(TURNS[structure == "water"]):
                    rotation = numbered_rotation(11, step)
                    energy, push = evaluate(rotated(bent, rotation))
                    energies.append(1000.0 * energy / len(atoms))
                    forces.append(1000.0 * push @ rotation)
                found[text] = {
                    "energy_std_mev_per_atom": float(np.std(energies)),
                    "force_rms_mev_per_angstrom": float(np.sqrt(np.var(forces, axis=0).mean())),
                }
                console.print(structure, text, found[text])
            quick = {text: evaluate for text, evaluate in modes.items() if structure != "water" or "60" not in text}
            spent = cost_of({text: partial(one, bent) for text, one in quick.items()}, 15)
            for text, seconds in spent.items():
                found[text]["cost"] = seconds / spent["none"]
            rows[structure] = {"model": name, "checkpoint": checkpoint, "atoms": len(atoms), "modes": found}
            save("table", rows)
    return rows


LAMMPS_DECK = """units metal
boundary {boundary}
neighbor {skin} bin
timestep {timestep}
read_data start.data
pair_style transip {model} device cpu check no symmetry {symmetry}
pair_coeff * * {symbols}
{commands}
"""


def run_lammps(model: Path, atoms: ase.Atoms, symmetry: str, commands: str, folder: Path) -> str:
    """Run commands on a structure at 300 K; what LAMMPS says."""
    plugin_library(KINDS["lammps"])
    symbols = write_data(folder / "start.data", atoms, thermal_velocities(atoms, TEMPERATURE, 1))
    deck = LAMMPS_DECK.format(
        boundary=boundary_of(atoms),
        skin=2.0 if atoms.pbc.any() else 0.5,
        timestep=TIMESTEP / 1000.0,
        model=model.resolve(),
        symmetry=symmetry,
        symbols=" ".join(symbols),
        commands=commands,
    )
    (folder / "in.run").write_text(deck)
    command = [str(find_tool("lmp")), "-in", "in.run", "-log", "none"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def native() -> dict:
    """Milliseconds of a step in the model, as the pair style tells them, by structure and mode; medians of runs."""
    rows = {}
    for structure, name, steps in (
        ("ethanol", "organic", 4000),
        ("alanine dipeptide", "organic", 1500),
        ("water", "water", 120),
    ):
        atoms, file = molecule(structure), model_of(name).path
        modes = [text for text in MODES[name] if text.split()[-1] not in ("60", "208")]
        told: dict[str, list[float]] = {text: [] for text in modes}
        for _ in range(5):
            for text in modes:
                with tempfile.TemporaryDirectory() as folder:
                    commands = f"fix 1 all nve\nrun 110\nrun {steps}"
                    said = run_lammps(file, atoms, text, commands, Path(folder))
                told[text].append(float(re.findall(r"TransIP: (\S+) ms a step in the model", said)[-1]))
        rows[structure] = {text: float(np.median(values)) for text, values in told.items()}
        console.print(structure, rows[structure])
    return rows


def batch() -> dict:
    """Cost of an average in one call, as a share of as many single calls; a structure that is there is left."""
    rows = results().get("batch", {})
    for structure, name in (("ethanol", "organic"), ("alanine dipeptide", "organic"), ("water", "water")):
        if structure in rows:
            continue
        atoms, rows[structure] = molecule(structure), {}
        model = model_of(name)
        for count in (4, 12, 24):
            copies = [rotated(atoms, rotation) for rotation in rotation_set(count)[0]]
            plain, average = (evaluator(model, text, atoms) for text in ("none", f"average {count}"))

            def singly(copies: list = copies, plain: Callable = plain) -> None:
                for copy in copies:
                    plain(copy)

            spent = cost_of({"batched": partial(average, atoms), "singly": singly}, 9)
            rows[structure][str(count)] = spent["batched"] / spent["singly"]
        console.print(structure, rows[structure])
        save("batch", rows)
    return rows


def split(atoms: ase.Atoms, velocities: np.ndarray) -> tuple[float, float, float]:
    """Temperatures (K) of translation, of rotation as a rigid body, and of the rest; velocities in Angstrom/fs."""
    masses = atoms.get_masses()
    momentum, angular = momenta_of(masses, atoms.positions, velocities)
    centred = atoms.positions - atoms.get_center_of_mass()
    inertia = (masses * (centred**2).sum(axis=1)).sum() * np.eye(3) - (masses[:, None] * centred).T @ centred
    unit = units.EV_PER_AMU_ANGSTROM2_PER_FS2
    translation = 0.5 * unit * (momentum**2).sum() / masses.sum()
    rotation = 0.5 * unit * angular @ np.linalg.solve(inertia, angular)
    everything = 0.5 * unit * (masses[:, None] * velocities**2).sum()
    freedoms = (3, 3, 3 * len(atoms) - 6)
    parts = (translation, rotation, everything - translation - rotation)
    return tuple(2.0 * part / (freedom * units.BOLTZMANN) for part, freedom in zip(parts, freedoms, strict=True))


def constant_energy(structure: str, text: str, length_ps: float) -> dict[str, np.ndarray]:
    """A run from thermal velocities: time (ps), total energy (eV), angular momentum, temperatures of `split`."""
    atoms = molecule(structure)
    model = model_of("organic")
    file = RUNS / f"{model.path.stem}-{structure.replace(' ', '_')}-{text}-{length_ps:g}ps.npz"
    if file.exists():
        with np.load(file) as kept:
            return dict(kept)
    atoms.calc = TransIPCalculator(model, symmetry=text, reference=atoms.copy() if text == "frame" else None)
    atoms.set_velocities(thermal_velocities(atoms, TEMPERATURE, 1) / FEMTOSECOND)
    integrator = VelocityVerlet(atoms, timestep=TIMESTEP * FEMTOSECOND)
    rows = []
    records = round(length_ps * 1000.0 / TIMESTEP / RECORD)
    for record in range(records + 1):
        if record:
            integrator.run(RECORD)
        velocities = atoms.get_velocities() * FEMTOSECOND
        _, angular = momenta_of(atoms.get_masses(), atoms.positions, velocities)
        when = record * RECORD * TIMESTEP / 1000.0
        rows.append([when, atoms.get_total_energy(), *angular, *split(atoms, velocities)])
        if record % (records // 10) == 0:
            console.print(f"{structure}, {text}: {when:.1f} ps")
    values = np.array(rows)
    found = {
        "time": values[:, 0],
        "energy": values[:, 1],
        "angular": values[:, 2:5],
        "temperatures": values[:, 5:8],
        "atoms": np.array(len(atoms)),
    }
    np.savez(file, **found)
    return found


def momenta(length_ps: float = 20.0) -> dict:
    """Constant-energy runs with and without the frame, and a plot of what becomes of the angular momentum."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 6), sharex=True, layout="constrained")
    axes[0, 0].set_ylabel("|L - L(0)| / |L(0)|")
    axes[1, 0].set_ylabel("total energy - start (meV/atom)")
    rows = {}
    for column, structure in enumerate(("ethanol", "alanine dipeptide")):
        rows[structure] = {}
        for text in ("none", "frame"):
            run = constant_energy(structure, text, length_ps)
            time_ps, angular = run["time"], run["angular"]
            change = np.linalg.norm(angular - angular[0], axis=1) / np.linalg.norm(angular[0])
            energy = 1000.0 * (run["energy"] - run["energy"][0]) / run["atoms"]
            means = [part.mean(axis=0)[1:].tolist() for part in np.array_split(run["temperatures"], 4)]
            rows[structure][text] = {
                "checkpoint": load_shipped("organic").sha256[:12],
                "length_ps": length_ps,
                "largest_change_of_angular_momentum": float(change.max()),
                "energy_drift_mev_per_atom_per_ps": float(np.polyfit(time_ps, energy, 1)[0]),
                "energy_fluctuation_mev_per_atom": float(
                    np.std(energy - np.polyval(np.polyfit(time_ps, energy, 1), time_ps))
                ),
                "rotation_and_vibration_k_by_quarter": means,
            }
            console.print(structure, text, rows[structure][text])
            axes[0, column].semilogy(time_ps[1:], change[1:], label=text)
            axes[1, column].plot(time_ps, energy, label=text, linewidth=0.6)
        axes[0, column].set_title(structure)
        axes[1, column].set_xlabel("time (ps)")
        axes[0, 0].legend()
        figure.savefig(HERE / "symmetry_momenta.png", dpi=120)
        save("momenta", rows)
    return rows


def oxygen_distances(text: str, length_ps: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Radial distribution of oxygen pairs in water at constant temperature: distances (Angstrom), one g(r) a half."""
    checkpoint = load_shipped("water")
    file = RUNS / f"water-{checkpoint.sha256[:12]}-{text}-{length_ps:g}ps.npz"
    edges = np.linspace(2.0, 6.0, 81)
    if file.exists():
        with np.load(file) as kept:
            return kept["distances"], list(kept["halves"])
    atoms = molecule("water")
    oxygens = np.flatnonzero(atoms.numbers == 8)
    RUNS.mkdir(parents=True, exist_ok=True)
    model = RUNS / f"water-{checkpoint.sha256[:12]}-float32.pt"
    export(checkpoint, model, "float32")
    commands = (
        f"fix 1 all nve\nfix 2 all langevin {TEMPERATURE} {TEMPERATURE} 0.1 1\n"
        f"dump 1 all custom {RECORD} out.dump id type x y z\ndump_modify 1 sort id\n"
        f"run {round(length_ps * 1000.0 / TIMESTEP)}"
    )
    with tempfile.TemporaryDirectory() as folder:
        run_lammps(model, atoms, text, commands, Path(folder))
        frames = ase.io.read(Path(folder) / "out.dump", index=":", format="lammps-dump-text")
    counts = []
    for places in frames:
        atoms.positions = places.positions
        distances = atoms[oxygens].get_all_distances(mic=True)[np.triu_indices(len(oxygens), 1)]
        counts.append(np.histogram(distances, edges)[0])
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3) / atoms.get_volume() * len(oxygens) * (len(oxygens) - 1) / 2
    # The first fifth is equilibration.
    kept = counts[len(counts) // 5 :]
    halves = [np.mean(half, axis=0) / shells for half in (kept[: len(kept) // 2], kept[len(kept) // 2 :])]
    centres = 0.5 * (edges[1:] + edges[:-1])
    np.savez(file, distances=centres, halves=np.array(halves))
    return centres, halves


def rdf(length_ps: float = 20.0, symmetric: str = "average 4") -> dict:
    """Radial distributions with and without, their difference, and the difference between halves of one run."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    mean, noise = {}, {}
    for text in ("none", symmetric):
        distances, halves = oxygen_distances(text, length_ps)
        mean[text] = np.mean(halves, axis=0)
        noise[text] = float(np.sqrt(np.mean((halves[0] - halves[1]) ** 2)))
        axis.plot(distances, mean[text], label=text)
    axis.set(xlabel="O-O distance (Angstrom)", ylabel="g(r)")
    axis.legend()
    figure.savefig(HERE / "symmetry_rdf.png", dpi=120)
    found = {
        "length_ps": length_ps,
        "rms_difference": float(np.sqrt(np.mean((mean["none"] - mean[symmetric]) ** 2))),
        "rms_difference_of_halves": noise,
        "first_peak": {text: [float(distances[g.argmax()]), float(g.max())] for text, g in mean.items()},
    }
    console.print(found)
    return found


PARTS: dict[str, Callable[[], dict]] = {
    "table": table,
    "native": native,
    "batch": batch,
    "momenta": momenta,
    "rdf": rdf,
}


def report(found: dict) -> str:
    """The tables as Markdown."""
    lines = ["# Exact symmetry: what it costs and what it does", ""]
    lines += ["Made by `python benchmarks/symmetry.py`; what the columns are stands there and in docs/symmetry.md.", ""]
    for structure, row in found.get("table", {}).items():
        lines += [f"## {structure}, {row['atoms']} atoms, model {row['model']} ({row['checkpoint']})", ""]
        lines += ["| symmetry | energy, meV/atom | forces, meV/Å | cost |", "|---|---|---|---|"]
        for text, values in row["modes"].items():
            cost = f"{values['cost']:.2f}" if "cost" in values else ""
            error, push = values["energy_std_mev_per_atom"], values["force_rms_mev_per_angstrom"]
            lines.append(f"| {text} | {error:.3g} | {push:.3g} | {cost} |")
        lines.append("")
    if "native" in found:
        lines += ["## Cost by libtransip's native kernels, in LAMMPS", ""]
        for structure, modes in found["native"].items():
            costs = ", ".join(f"{text} {ms / modes['none']:.2f}" for text, ms in modes.items() if text != "none")
            lines.append(f"- {structure}: none {modes['none']:.3g} ms a step; as multiples of it {costs}")
        lines.append("")
    if "batch" in found:
        lines += ["## One call of torch's for N rotations: cost as a share of N single calls", ""]
        lines += ["| structure | N = 4 | 12 | 24 |", "|---|---|---|---|"]
        for structure, shares in found["batch"].items():
            lines.append(f"| {structure} | " + " | ".join(f"{share:.2f}" for share in shares.values()) + " |")
        lines.append("")
    if "momenta" in found:
        lines += ["## Constant energy, 0.5 fs, from 300 K", "", "![angular momentum](symmetry_momenta.png)", ""]
        lines += [
            "| structure | symmetry | largest change of L | drift, meV/atom/ps | fluctuation, meV/atom | T rotation, K "
            "(quarters) | T vibration, K (quarters) |",
            "|---|---|---|---|---|---|---|",
        ]
        for structure, modes in found["momenta"].items():
            for text, values in modes.items():
                quarters = values["rotation_and_vibration_k_by_quarter"]
                rotation, vibration = (", ".join(f"{quarter[i]:.0f}" for quarter in quarters) for i in (0, 1))
                lines.append(
                    f"| {structure} | {text} | {values['largest_change_of_angular_momentum']:.2g} | "
                    f"{values['energy_drift_mev_per_atom_per_ps']:+.4f} | "
                    f"{values['energy_fluctuation_mev_per_atom']:.4f} | {rotation} | {vibration} |"
                )
        lines.append("")
    if "rdf" in found:
        water = found["rdf"]
        lines += ["## Water, 300 K, oxygen-oxygen", "", "![radial distribution](symmetry_rdf.png)", ""]
        lines += [f"{water['length_ps']:g} ps each, the first fifth left out. RMS difference of g(r) between the two "]
        lines[-1] += f"{water['rms_difference']:.3f}; between the halves of one run: "
        lines[-1] += ", ".join(f"{text} {value:.3f}" for text, value in water["rms_difference_of_halves"].items()) + "."
        peaks = (f"{text} {height:.2f} at {place:.2f} Å" for text, (place, height) in water["first_peak"].items())
        lines += [f"First peak: {', '.join(peaks)}.", ""]
    return "\n".join(lines)


def results() -> dict:
    """What is there by now."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def save(part: str, found: dict) -> None:
    """Put a part's results beside the others, and the tables with them."""
    everything = {**results(), part: found}
    RESULTS.write_text(json.dumps({name: everything[name] for name in PARTS if name in everything}, indent=1) + "\n")
    (HERE / "symmetry.md").write_text(report(everything))


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all if left out")
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    torch.set_num_threads(1)
    for part in parts:
        found = PARTS[part]()
        save(part, found)


if __name__ == "__main__":
    main()
