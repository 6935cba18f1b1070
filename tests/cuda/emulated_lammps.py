"""LAMMPS on CUDA devices that are the emulator, and structures for them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import ase
import ase.build
import numpy as np
from ase.io.lammpsdata import write_lammps_data

from lammps_decks import LMP

#: Kernels of two kinds sum in other orders: energies (eV) and forces or virials by their size.
TOLERANCE = {"float64": 1e-10, "float32": 5e-6}
DECK = """
units metal
boundary {boundary}
atom_style atomic
plugin load {plugin}
read_data atoms.data
pair_style transip {model} device {device} kernels native {style}
pair_coeff * * {elements}
velocity all create 300 1
fix 1 all {fix}
timestep 0.001
compute one all pe/atom
compute energies all reduce sum c_one
thermo_style custom step pe press pxx pyy pzz pxy pxz pyz c_energies vol
thermo_modify format float %.15g
thermo 1
{after}
run {steps}
"""


def triclinic_water() -> ase.Atoms:
    """Three molecules in a triclinic cell smaller than the cutoff."""
    atoms = ase.Atoms(cell=[[4.4, 0, 0], [0.6, 4.2, 0], [-0.5, 0.4, 4.9]], pbc=True)
    for turn, place in enumerate(([0.2, 0.3, 0.2], [2.4, 1.9, 0.6], [0.9, 2.3, 3.0])):
        molecule = ase.build.molecule("H2O")
        molecule.rotate(47 * turn, (1, 2, 3))
        molecule.translate(place - molecule.positions[0])
        atoms += molecule
    return atoms


def run_lammps(
    folder: Path,
    plugin: Path,
    model: Path | str,
    atoms: ase.Atoms,
    device: str,
    ranks: int = 1,
    environment: Mapping[str, str] = MappingProxyType({}),
    **changes: object,
) -> np.ndarray:
    """The thermo output of a run, [steps + 1, columns], and its whole text in the file out of the folder.

    Args:
        environment: variables that the run gets besides those of this process.
        changes: of the deck.
    """
    folder.mkdir()
    elements = sorted(set(atoms.symbols))
    write_lammps_data(folder / "atoms.data", atoms, specorder=elements, masses=True, atom_style="atomic")
    settings = {"boundary": "p p p", "fix": "npt temp 300 300 0.1 tri 0 0 1", "steps": 4, "style": "", "after": ""}
    settings |= changes
    deck = DECK.format(plugin=plugin, model=model, device=device, elements=" ".join(elements), **settings)
    (folder / "in.run").write_text(deck)
    # Without the plugin that the environment has built.
    environment = os.environ | {"TRANSIP_MD_CACHE": str(folder)} | environment
    start = [] if ranks == 1 else [str(LMP.parent / "mpiexec"), "-n", str(ranks)]
    command = [*start, str(LMP), "-in", "in.run", "-log", "log"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    (folder / "out").write_text(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    head = next(i for i, line in enumerate(lines) if line.split()[:1] == ["Step"])
    return np.array([line.split() for line in lines[head + 1 : head + 2 + settings["steps"]]], dtype=float)


def compare(got: np.ndarray, wanted: np.ndarray, dtype: str) -> None:
    assert got.shape == wanted.shape
    size = np.abs(wanted).max(axis=0)
    assert (np.abs(got - wanted) <= TOLERANCE[dtype] * np.maximum(size, 1.0)).all()
