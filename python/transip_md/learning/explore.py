"""Dynamics that meets new structures: by the first model alone, or by LAMMPS with the whole committee."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import ase
import ase.io
import numpy as np
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary
from ase.units import fs

from transip_md.common.errors import TransIPError
from transip_md.data.electronic_state import state_of
from transip_md.data.structures import read_structure
from transip_md.engines.ase import TransIPCalculator
from transip_md.engines.lammps.engine import boundary_of, run_deck, state_words, write_data
from transip_md.learning.project import Exploration, Project
from transip_md.plugins.kinds import KINDS, plugin_library
from transip_md.sampling.thermal import set_thermal_momenta

DECK = """\
units         metal
boundary      {boundary}
atom_style    atomic
atom_modify   map array
read_data     start.data
neighbor      1.0 bin
pair_style    transip {models}{state} deviation deviation.out every {every} stop above {upper:.17g} &
              dump met.xyz above {lower:.17g}
pair_coeff    * * {symbols}
velocity      all create {temperature:.17g} {seed} mom yes rot {rotation}
fix           1 all nve
fix           2 all langevin {temperature:.17g} {temperature:.17g} {damping:.17g} {seed} zero yes
timestep      {timestep:.17g}
thermo        {every}
run           {steps}
"""


@dataclass(frozen=True)
class Met:
    """What dynamics met.

    Attributes:
        judged: number of structures whose deviation was looked at; without a committee those that were kept.
        flagged: number of those above the lower level of trust.
        candidates: structures between the two levels; without a committee all.
    """

    judged: int
    flagged: int
    candidates: list[ase.Atoms]


def explore(project: Project, models: list[Path], folder: Path, iteration: int) -> Met:
    """Run dynamics from every structure at every temperature.

    What is done is kept: a folder for each run, which appears whole.

    Args:
        project: structures, settings and levels of trust.
        models: model files; with one there is no deviation, and every structure is a candidate.
        folder: of the iteration.
        iteration: its number, which decides the seeds.

    Raises:
        TransIPError: LAMMPS stops for another reason than the upper level of trust.
    """
    judged = flagged = 0
    candidates: list[ase.Atoms] = []
    number = 0
    for structure in project.structures:
        for temperature in project.exploration.temperatures:
            number += 1
            # LAMMPS takes positive seeds.
            seed = 1 + project.seed * 100_003 + iteration * 1009 + number
            run = folder / f"run_{number}"
            if not run.is_dir():
                unfinished = folder / f"run_{number}.unfinished"
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                atoms = read_structure(structure)
                if len(models) == 1:
                    _by_one(atoms, models[0], unfinished, temperature, project.exploration, seed)
                else:
                    _by_committee(atoms, models, unfinished, temperature, project, seed)
                unfinished.rename(run)
            met = _read(run, structure, project.trust.upper)
            judged += met.judged
            flagged += met.flagged
            candidates += met.candidates
    return Met(judged, flagged, candidates)


def _by_one(atoms: ase.Atoms, model: Path, folder: Path, temperature: float, settings: Exploration, seed: int) -> None:
    """Langevin dynamics in ASE; every so many steps a structure is kept."""
    random = np.random.default_rng(seed)
    atoms = atoms.copy()
    atoms.calc = TransIPCalculator(model)
    set_thermal_momenta(atoms, temperature, random)
    Stationary(atoms)
    dynamics = Langevin(
        atoms,
        timestep=settings.timestep * fs,
        temperature_K=temperature,
        friction=1.0 / (settings.damping * fs),
        fixcm=False,
        rng=random,
    )
    kept: list[ase.Atoms] = []

    def keep() -> None:
        kept.append(ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc))

    dynamics.attach(keep, settings.every)
    dynamics.run(round(1000.0 * settings.time / settings.timestep))
    ase.io.write(folder / "met.xyz", kept, format="extxyz")


def _by_committee(
    atoms: ase.Atoms, models: list[Path], folder: Path, temperature: float, project: Project, seed: int
) -> None:
    plugin_library(KINDS["lammps"])
    settings = project.exploration
    symbols = write_data(folder / "start.data", atoms)
    # Beside the deck: a path may hold what LAMMPS would take for several words.
    for model in models:
        (folder / model.name).symlink_to(os.path.relpath(model, folder))
    deck = DECK.format(
        boundary=boundary_of(atoms),
        models=" ".join(model.name for model in models),
        state=state_words(state_of(atoms, "the structure")),
        every=settings.every,
        lower=project.trust.lower,
        upper=project.trust.upper,
        symbols=" ".join(symbols),
        temperature=temperature,
        seed=seed,
        rotation="no" if atoms.pbc.any() else "yes",
        damping=settings.damping / 1000.0,
        timestep=settings.timestep / 1000.0,
        steps=round(1000.0 * settings.time / settings.timestep),
    )
    (folder / "in.explore").write_text(deck)
    try:
        run_deck(folder / "in.explore", folder / "log.lammps")
    except TransIPError as error:
        # The upper level of trust ends a run, and what was met until then counts.
        if "above the bound" not in str(error):
            raise


def _read(run: Path, structure: Path, upper: float) -> Met:
    """What a run met, with the charge and multiplicity that its start states."""
    stated = read_structure(structure).info
    state = {name: stated[name] for name in ("charge", "spin", "multiplicity") if name in stated}
    met = ase.io.read(run / "met.xyz", index=":", format="extxyz") if (run / "met.xyz").is_file() else []
    for atoms in met:
        atoms.calc = None
        atoms.info = {**state, **{key: atoms.info[key] for key in ("step", "max_devi_f") if key in atoms.info}}
        atoms.arrays = {name: atoms.arrays[name] for name in ("numbers", "positions")}
    lines = run / "deviation.out"
    if not lines.is_file():
        return Met(len(met), 0, met)
    judged = len(np.loadtxt(lines, ndmin=2))
    return Met(judged, len(met), [atoms for atoms in met if atoms.info["max_devi_f"] <= upper])
