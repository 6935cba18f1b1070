"""Evaluates damaged copies of a model file in ASE, LAMMPS and OpenMM, all in one process that none of them may end.

Usage: damaged_in_engines.py FOLDER... with the copies of FOLDER.pt. Exits with 1 if one gives another number than the
model itself.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import ase
import ase.io
import numpy as np
import openmm

from transip_md.common import units
from transip_md.engines.ase import TransIPCalculator
from transip_md.engines.lammps.engine import boundary_of, write_data
from transip_md.engines.lammps.module import make_lammps
from transip_md.engines.openmm import create_force
from transip_md.modelfile.metadata import read_metadata

REPOSITORY = Path(__file__).resolve().parents[2]
Evaluate = Callable[[Path], float]


def structure_for(model: Path) -> ase.Atoms:
    """Ethanol, or a small box of water for a model with a cutoff."""
    if read_metadata(model).cutoff is None:
        return ase.io.read(REPOSITORY / "examples" / "ethanol.xyz")
    atoms = ase.Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], cell=[3.2] * 3, pbc=True)
    return atoms.repeat(2)


def by_ase(atoms: ase.Atoms) -> Evaluate:
    """Total energy in ASE, eV."""

    def evaluate(model: Path) -> float:
        copy = atoms.copy()
        copy.calc = TransIPCalculator(model, device="cpu")
        return copy.get_potential_energy()

    return evaluate


def by_openmm(atoms: ase.Atoms) -> Evaluate:
    """Total energy in OpenMM, eV."""

    def evaluate(model: Path) -> float:
        system = openmm.System()
        for mass in atoms.get_masses():
            system.addParticle(mass)
        if atoms.pbc.any():
            system.setDefaultPeriodicBoxVectors(*(atoms.cell.array / units.ANGSTROM_PER_NM))
        system.addForce(create_force(model, atoms.numbers, backend="native", periodic=bool(atoms.pbc.any())))
        platform = openmm.Platform.getPlatformByName("Reference")
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
        context.setPositions(atoms.positions / units.ANGSTROM_PER_NM)
        energy = context.getState(energy=True).getPotentialEnergy()
        return energy.value_in_unit(openmm.unit.kilojoule_per_mole) / units.KJ_PER_MOL_PER_EV

    return evaluate


def by_lammps(atoms: ase.Atoms, folder: Path) -> Evaluate:
    """Total energy in LAMMPS, eV; an instance for each file."""
    symbols = write_data(folder / "atoms.data", atoms)

    def evaluate(model: Path) -> float:
        lmp = make_lammps(["-screen", "none", "-log", "none"])
        try:
            lmp.commands_string(
                f"units metal\nboundary {boundary_of(atoms)}\natom_modify map array\nread_data {folder}/atoms.data\n"
                f"neighbor 0.5 bin\npair_style transip {model}\npair_coeff * * {' '.join(symbols)}\nrun 0"
            )
            return lmp.get_thermo("pe")
        finally:
            lmp.close()

    return evaluate


def number_of_wrong(model: Path, folder: Path) -> int:
    """How often a copy gave another number, every copy tried in every engine."""
    atoms = structure_for(model)
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        engines = {"ase": by_ase(atoms), "lammps": by_lammps(atoms, Path(scratch)), "openmm": by_openmm(atoms)}
        files = sorted(folder.glob("*.pt"), key=lambda path: int(path.stem))
        for name, evaluate in engines.items():
            wanted, refused = evaluate(model), 0
            for file in files:
                try:
                    found = evaluate(file)
                # LAMMPS's module and OpenMM have errors of their own.
                except Exception:
                    refused += 1
                    continue
                if not (np.isfinite(found) and found == wanted):
                    print(f"{name}: {file} gives {found}, the model itself {wanted}")
                    wrong += 1
            print(f"{name}: {len(files)} copies, {refused} refused, {wrong} wrong so far", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(any([number_of_wrong(Path(f"{folder}.pt"), Path(folder)) for folder in sys.argv[1:]]))
