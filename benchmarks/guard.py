"""How well a model's distance from its training set finds atoms whose forces are wrong, beside a committee's deviation.

    python benchmarks/guard.py model.pt a.pt b.pt ... --frames held_out.extxyz [-o guard.json]

The model's file has a sample of its training set (`transip-md guard`), the others are the committee. Three sets:
labelled frames of molecules that no model saw, which `transip-md sample` makes; molecules of the G2 set at their
geometries; and 24 of the frames scaled by 0.75 to 1.4. The latter two are labelled here by GFN2-xTB (tblite).
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import ase
import numpy as np
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.collections import g2
from scipy.stats import spearmanr
from tblite.ase import TBLite

from transip_md.common.errors import UsageError
from transip_md.data.structures import read_frames
from transip_md.evaluators.choose import load_evaluator
from transip_md.evaluators.committee import Committee
from transip_md.validation import distances, uncertainty

SCALES = (0.75, 0.85, 0.92, 1.1, 1.2, 1.4)
SCALED_FRAMES = 24
BOUNDS = (0.5, 2.0)
BINS = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, np.inf)


def labelled(atoms: ase.Atoms) -> ase.Atoms | None:
    """The structure with energy and forces by GFN2-xTB; None if tblite does not converge."""
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    try:
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    except Exception:  # tblite raises errors of several kinds
        return None
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return atoms


def strange(frames: list[ase.Atoms], species: tuple[int, ...]) -> dict[str, list[ase.Atoms]]:
    """Sets of structures that training does not cover."""
    singlets = [molecule(name) for name in g2.names]
    singlets = [atoms for atoms in singlets if len(atoms) > 1 and set(atoms.numbers) <= set(species)]
    singlets = [atoms for atoms in singlets if not atoms.get_initial_magnetic_moments().any()]
    neutral = [atoms for atoms in frames if not atoms.info.get("charge")]
    rows = np.random.default_rng(1).choice(len(neutral), min(SCALED_FRAMES, len(neutral)), replace=False)
    sets = {"G2": [ase.Atoms(atoms.numbers, atoms.positions) for atoms in singlets]}
    for scale in SCALES:
        sets[f"scaled by {scale}"] = [ase.Atoms(neutral[row].numbers, scale * neutral[row].positions) for row in rows]
    return {name: [one for atoms in made if (one := labelled(atoms))] for name, made in sets.items()}


def within_elements(scores: np.ndarray, errors: np.ndarray, numbers: np.ndarray) -> float:
    """Spearman's correlation among atoms of one element, the mean over the atoms."""
    elements, counts = np.unique(numbers, return_counts=True)
    of_elements = [spearmanr(scores[numbers == z], errors[numbers == z]).statistic for z in elements[counts > 9]]
    return float(np.average(of_elements, weights=counts[counts > 9]))


def main() -> None:
    """Print the tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("committee", type=Path, nargs="+")
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if len(arguments.committee) < 2:
        raise UsageError("A committee is two models or more.")

    model, committee = load_evaluator(arguments.model, device="cpu"), Committee(arguments.committee, device="cpu")
    frames = read_frames(arguments.frames)
    sets = {"unseen molecules": frames, **strange(frames, model.metadata.species)}
    found: dict[str, list[np.ndarray]] = {}
    values: dict[str, object] = {"model": arguments.model.name, "sets": {}}
    for name, structures in sets.items():
        named = [(f"{name}, {index}", atoms) for index, atoms in enumerate(structures)]
        measured, judged = distances.measure(model, named), uncertainty.judge(committee, named)
        numbers = np.concatenate([atoms.numbers for atoms in structures])
        deviation = np.linalg.norm(judged.of_atoms, axis=1)
        found[name] = [measured.of_labelled, deviation, measured.errors, numbers]
        highest = np.array([one.max() for one in measured.distances])
        values["sets"][name] = {
            "structures": len(structures),
            "mean error, eV/Angstrom": float(measured.errors.mean()),
            "atoms beyond 1": float(np.mean(measured.of_labelled > 1)),
            "structures beyond 1": float(np.mean(highest > 1)),
            "structures beyond 1.25": float(np.mean(highest > 1.25)),
            "highest": float(highest.max()),
        }
        print(name, json.dumps(values["sets"][name]))
    everything = [np.concatenate(parts) for parts in zip(*found.values(), strict=True)]
    values["ranking"] = {}
    for name, (distance, deviation, error, numbers) in (
        ("unseen molecules", found["unseen molecules"]),
        ("all", everything),
    ):
        of_element = {z: error[numbers == z].mean() for z in np.unique(numbers)}
        scores = {"distance": distance, "deviation": deviation, "element": np.array([of_element[z] for z in numbers])}
        for method, score in scores.items():
            ranking = distances.rank(score, error, BOUNDS)
            row = {"Spearman": ranking.spearman, **{f"AUROC > {d.above}": d.auroc for d in ranking.detections}}
            if method != "element":
                row["Spearman within elements"] = within_elements(score, error, numbers)
            values["ranking"][f"{name}, {method}"] = row
            print(f"{name}, {method}:", ", ".join(f"{key} {value:.3f}" for key, value in row.items()))
    distance, _, error, _ = everything
    values["error by distance"] = []
    for low, high in itertools.pairwise(BINS):
        here = error[(distance >= low) & (distance < high)]
        if len(here):
            row = {
                "from": low,
                "atoms": len(here),
                "median": float(np.median(here)),
                "90 %": float(np.quantile(here, 0.9)),
            }
            values["error by distance"].append(row)
            print(row)
    if arguments.output:
        arguments.output.write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
