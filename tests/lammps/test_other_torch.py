"""Another torch in the environment than the one that everything was built with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lammps_decks import LMP
from transip_md.engines.lammps.engine import write_data
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.plugins.kinds import TORCH_VARIABLE

DECK = """units metal
boundary s s s
atom_modify map array
read_data ethanol.data
pair_style transip model.pt {style}
pair_coeff * * H C O
run 0
variable e equal pe
print "energy $(v_e:%.12f)"
"""
OPENMM = """import openmm
from transip_md.engines.openmm import create_force
system = openmm.System()
numbers = [{numbers}]
for number in numbers:
    system.addParticle(number)
system.addForce(create_force("model.pt", numbers, backend="native"))
platform = openmm.Platform.getPlatformByName("Reference")
context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
context.setPositions([[x / 10 for x in r] for r in {positions}])
energy = context.getState(energy=True).getPotentialEnergy()
print("energy", energy.value_in_unit(openmm.unit.kilojoule_per_mole) / 96.48533212331)
"""


@pytest.fixture
def folder(tmp_path, ethanol, ethanol_file) -> Path:
    """A run's folder, and one with a torch that cannot do anything."""
    write_data(tmp_path / "ethanol.data", ethanol)
    shutil.copy(ethanol_file, tmp_path / "model.pt")
    torch = tmp_path / "packages" / "torch"
    torch.mkdir(parents=True)
    (torch / "__init__.py").write_text("raise ImportError('another torch')\n")
    (torch / "version.py").write_text("__version__ = '9.9.0'\n")
    return tmp_path


@pytest.fixture
def environment(folder) -> dict[str, str]:
    paths = [str(folder / "packages"), os.environ.get("PYTHONPATH", "")]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "LAMMPS_PLUGIN_PATH": ""}
    found.pop(TORCH_VARIABLE, None)
    return found


def run(folder: Path, environment: dict[str, str], style: str = "") -> subprocess.CompletedProcess:
    (folder / "in.test").write_text(DECK.format(style=style))
    return subprocess.run([LMP, "-in", "in.test"], cwd=folder, env=environment, capture_output=True, text=True)


def energy_of(output: str) -> float:
    return float(next(line.split()[1] for line in output.splitlines() if line.startswith("energy ")))


def test_lammps_runs_on(lammps_plugin, folder, environment, ethanol_file, ethanol):
    result = run(folder, environment)
    assert result.returncode == 0, result.stdout + result.stderr
    wanted = ExportedModel(ethanol_file, "cpu").evaluate(ethanol.numbers, ethanol.positions).energies.sum()
    assert energy_of(result.stdout) == pytest.approx(wanted, abs=1e-9)


def test_openmm_runs_on(openmm_plugin, folder, environment, ethanol_file, ethanol):
    script = OPENMM.format(numbers=", ".join(map(str, ethanol.numbers)), positions=ethanol.positions.tolist())
    result = subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    wanted = ExportedModel(ethanol_file, "cpu").evaluate(ethanol.numbers, ethanol.positions).energies.sum()
    assert energy_of(result.stdout) == pytest.approx(wanted, abs=1e-9)


def test_what_needs_torch_says_what_to_type(lammps_plugin, folder, environment):
    result = run(folder, environment, "kernels torch")
    assert result.returncode != 0
    assert "Type `transip-md build torch`" in result.stdout
