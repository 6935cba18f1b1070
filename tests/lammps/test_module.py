"""LAMMPS as a module, in an interpreter that was started with nothing set."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lammps_decks import deck
from transip_md.common.errors import EnvironmentFaultError
from transip_md.engines.lammps.engine import write_data
from transip_md.engines.lammps.module import load_mpi
from transip_md.evaluators.torch_model import ExportedModel

pytestmark = pytest.mark.usefixtures("lammps_plugin")


def run_python(code: str, folder: Path) -> str:
    """Output of a script in a process without LD_LIBRARY_PATH and LAMMPS_PLUGIN_PATH."""
    kept = ("PATH", "HOME", "PYTHONPATH", "TRANSIP_MD_CACHE", "OMP_NUM_THREADS")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_one_instance(tmp_path, toy_file, ethanol):
    write_data(tmp_path / "ethanol.data", ethanol)
    (tmp_path / "in.test").write_text(deck(toy_file))
    out = run_python(
        "from transip_md.engines.lammps.module import make_lammps\n"
        "lmp = make_lammps(['-screen', 'none', '-log', 'none'])\n"
        "lmp.file('in.test')\n"
        "print('energy', repr(lmp.get_thermo('pe')))",
        tmp_path,
    )
    wanted = ExportedModel(toy_file, "cpu").evaluate(ethanol.numbers, ethanol.positions).energies.sum()
    assert float(out.split("energy")[-1]) == pytest.approx(wanted, abs=1e-9)


def test_several_instances(tmp_path, toy_file, ethanol):
    """One after another and side by side, each with its own numbers."""
    wanted = []
    for number in range(3):
        moved = ethanol.copy()
        moved.positions += np.random.default_rng(number).normal(scale=0.05, size=moved.positions.shape)
        folder = tmp_path / str(number)
        folder.mkdir()
        write_data(folder / "ethanol.data", moved)
        (folder / "in.test").write_text(deck(toy_file).replace("ethanol.data", f"{number}/ethanol.data"))
        wanted.append(ExportedModel(toy_file, "cpu").evaluate(moved.numbers, moved.positions).energies.sum())
    out = run_python(
        "from transip_md.engines.lammps.module import make_lammps\n"
        "instances = [make_lammps(['-screen', 'none', '-log', 'none']) for _ in range(3)]\n"
        "for n, lmp in enumerate(instances): lmp.file(f'{n}/in.test')\n"
        "for lmp in instances: lmp.command('run 0')\n"
        "print('energies', *[repr(lmp.get_thermo('pe')) for lmp in instances])\n"
        "for lmp in instances: lmp.close()\n"
        "late = make_lammps(['-screen', 'none', '-log', 'none'])\n"
        "late.file('1/in.test')\n"
        "print('late', repr(late.get_thermo('pe')))",
        tmp_path,
    )
    energies, late = out.split("energies")[-1].split("late")
    assert [float(word) for word in energies.split()] == pytest.approx(wanted, abs=1e-9)
    assert float(late) == pytest.approx(wanted[1], abs=1e-9)


def test_types_that_change_without_a_new_neighbor_list(tmp_path, local_file, ethanol):
    """A swap of two atoms' types between two steps of one list, as Monte Carlo makes it, is seen at the next step."""
    write_data(tmp_path / "ethanol.data", ethanol)
    (tmp_path / "in.test").write_text(deck(local_file))
    out = run_python(
        "from transip_md.engines.lammps.module import make_lammps\n"
        "lmp = make_lammps(['-screen', 'none', '-log', 'none'])\n"
        "lmp.file('in.test')\n"
        "lmp.commands_list(['fix nve all nve', 'timestep 1e-4', 'neigh_modify delay 100', 'run 1'])\n"
        "types = list(lmp.gather_atoms('type', 0, 1))\n"
        "lmp.command(f'set atom 1 type {types[2]}')\n"
        "lmp.command(f'set atom 3 type {types[0]}')\n"
        "lmp.command('run 1 pre no')\n"
        "print('found', repr(lmp.get_thermo('pe')), *lmp.gather_atoms('x', 1, 3))",
        tmp_path,
    )
    energy, *positions = map(float, out.split("found")[-1].split())
    numbers = ethanol.numbers.copy()
    numbers[[0, 2]] = numbers[[2, 0]]
    assert numbers[0] != ethanol.numbers[0]
    wanted = ExportedModel(local_file, "cpu").evaluate(numbers, np.reshape(positions, (-1, 3))).energies.sum()
    assert energy == pytest.approx(wanted, abs=1e-9)


def test_the_example(tmp_path, repository, ethanol_file):
    for name in ("module.py", "in.ethanol", "ethanol.data"):
        shutil.copy(repository / "examples" / "lammps" / name, tmp_path)
    shutil.copy(ethanol_file, tmp_path / "ethanol.pt")
    assert "potential energy -309.8" in run_python((tmp_path / "module.py").read_text(), tmp_path)


def test_without_mpi(monkeypatch):
    monkeypatch.setattr("transip_md.engines.lammps.module.files_of", lambda name: [])

    def nothing(*_, **__):
        raise OSError

    monkeypatch.setattr("ctypes.CDLL", nothing)
    with pytest.raises(EnvironmentFaultError, match=r"expected libmpi\.so\.12"):
        load_mpi()
