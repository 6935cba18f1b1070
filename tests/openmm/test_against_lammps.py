"""OpenMM and LAMMPS from the same start, step by step: each has its own integrator, units and neighbour lists."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import ase
import numpy as np
import pytest

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")

from openmm_contexts import NM, positions_of, system_of
from transip_md.common.thermal import thermal_velocities
from transip_md.engines.lammps.engine import boundary_of, write_data
from transip_md.engines.openmm import create_force
from transip_md.engines.openmm.engine import velocity_verlet
from transip_md.plugins.build import find_tool

pytestmark = [
    pytest.mark.usefixtures("openmm_plugin", "lammps_plugin"),
    pytest.mark.skipif(importlib.util.find_spec("lammps") is None, reason="LAMMPS is not installed"),
]

TIMESTEP = 0.5  # fs
#: Largest distance of a coordinate from LAMMPS's, Angstrom, by number of steps. LAMMPS's constants of `units metal`
#: differ from CODATA 2018 by some 6e-8, and paths part exponentially.
ALLOWED = {100: 1e-6, 1000: 1e-4}
DECK = """\
units         metal
boundary      {boundary}
atom_style    atomic
atom_modify   map array
read_data     start.data
neighbor      0.5 bin
pair_style    transip {model} device cpu
pair_coeff    * * {symbols}
timestep      {timestep}
fix           1 all nve
run           {steps}
write_dump    all custom end.dump id xu yu zu modify sort id format float %.17g
"""


def lammps_positions(model: Path, atoms: ase.Atoms, velocities: np.ndarray, steps: int, folder: Path) -> np.ndarray:
    symbols = write_data(folder / "start.data", atoms, velocities)
    deck = DECK.format(
        boundary=boundary_of(atoms), model=model, symbols=" ".join(symbols), timestep=TIMESTEP / 1000, steps=steps
    )
    (folder / "in.verlet").write_text(deck)
    command = [str(find_tool("lmp")), "-in", "in.verlet", "-log", "none"]
    environment = {**os.environ, "LAMMPS_PLUGIN_PATH": ""}
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return np.loadtxt(folder / "end.dump", skiprows=9)[:, 1:]


def openmm_positions(model: Path, atoms: ase.Atoms, velocities: np.ndarray, steps: int) -> np.ndarray:
    force = create_force(model, atoms.numbers, periodic=bool(atoms.pbc.all()), backend="native", device="cpu")
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system_of(atoms, force), velocity_verlet(TIMESTEP), platform)
    context.setPositions(atoms.positions / NM)
    context.setVelocities(velocities * 1000 / NM)
    context.getIntegrator().step(steps)
    return positions_of(context)


@pytest.mark.parametrize("steps", [100, pytest.param(1000, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", ["ethanol", "water"])
def test_positions_are_those_of_lammps(name, steps, ethanol, water, ethanol_file, water_file, tmp_path):
    model, atoms = {"ethanol": (ethanol_file, ethanol), "water": (water_file, water)}[name]
    velocities = thermal_velocities(atoms, 300.0, 1)
    wanted = lammps_positions(model, atoms, velocities, steps, tmp_path)
    got = openmm_positions(model, atoms, velocities, steps)
    apart = np.abs(got - wanted).max()
    print(f"{name}: {apart:.1e} Angstrom apart after {steps} steps")
    assert apart <= ALLOWED[steps]
    # They went somewhere.
    assert np.abs(got - atoms.positions).max() > 0.05
