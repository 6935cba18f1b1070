"""Runs that are killed go on from their checkpoint, to where they would have come unbroken."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")
mdtraj = pytest.importorskip("mdtraj", reason="mdtraj is not installed (pip install mdtraj)")

from networks import crystal
from openmm_contexts import context_of, positions_of, system_of
from transip_md.engines.openmm import create_force

pytestmark = pytest.mark.usefixtures("openmm_plugin")

STEPS = 1000


@pytest.fixture
def start(repository, ethanol_file, tmp_path):
    """Starts examples/openmm/long_run.py in a folder that has what it needs."""

    def start(name: str) -> tuple[subprocess.Popen, Path]:
        folder = tmp_path / name
        if not folder.exists():
            folder.mkdir()
            shutil.copy(repository / "examples/openmm/ethanol.pdb", folder)
            shutil.copy(ethanol_file, folder / "ethanol.pt")
        script = str(repository / "examples/openmm/long_run.py")
        command = [sys.executable, script, "--steps", str(STEPS), "--every", "10"]
        return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True), folder

    return start


def finish(process: subprocess.Popen) -> str:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output


def records(file: Path) -> dict[int, tuple[str, ...]]:
    """Rows of a StateDataReporter by step: total energy and temperature, with every digit."""
    with file.open() as lines:
        return {int(row[0]): tuple(row[1:3]) for row in list(csv.reader(lines))[1:]}


def test_killed_run_ends_like_an_unbroken_one(start):
    process, unbroken = start("unbroken")
    finish(process)

    process, killed = start("killed")
    deadline = time.monotonic() + 240
    # Well into the run: after its fourth line of records, when the checkpoint of the third is written.
    first = killed / "long_run.0.csv"
    while not (first.exists() and len(first.read_text().splitlines()) > 4):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    process, _ = start("killed")
    said = finish(process)
    step = int(said.split("Resuming from step ")[1].split()[0])
    assert 300 <= step < STEPS and step % 10 == 0

    assert (killed / "long_run.chk").read_bytes() == (unbroken / "long_run.chk").read_bytes()
    wanted = records(unbroken / "long_run.0.csv")
    got = records(first) | records(killed / f"long_run.{step}.csv")
    assert list(wanted) == list(range(100, STEPS + 1, 100))
    assert got == wanted
    last, same = (
        mdtraj.load(folder / name, top=unbroken / "ethanol.pdb").xyz[-1]
        for folder, name in ((unbroken, "long_run.0.dcd"), (killed, f"long_run.{step}.dcd"))
    )
    assert np.array_equal(last, same)


def test_checkpoint_of_a_model_with_a_cutoff(local_file):
    """The list of pairs, which has a skin, is no part of a checkpoint: its order, and rounding with it, may differ."""
    atoms = crystal(3).repeat(2)
    atoms.set_cell([10.0, 10.0, 10.0])

    def context():
        made = create_force(local_file, atoms.numbers, periodic=True, backend="native")
        return context_of(system_of(atoms, made), atoms.positions)

    unbroken = context()
    unbroken.setVelocitiesToTemperature(300, 1)
    unbroken.getIntegrator().step(37)
    saved = unbroken.createCheckpoint()
    unbroken.getIntegrator().step(50)

    resumed = context()
    resumed.loadCheckpoint(saved)
    assert resumed.getStepCount() == 37
    resumed.getIntegrator().step(50)
    assert np.abs(positions_of(resumed) - positions_of(unbroken)).max() <= 1e-9
    assert np.abs(positions_of(resumed) - atoms.positions).max() > 0.05


def test_state_as_xml(local_file):
    """What loads on another machine: a State, without what is internal to OpenMM."""
    atoms = crystal(3)
    made = create_force(local_file, atoms.numbers, periodic=True, backend="native")
    system = system_of(atoms, made)
    context = context_of(system, atoms.positions)
    context.setVelocitiesToTemperature(300, 1)
    context.getIntegrator().step(20)
    text = openmm.XmlSerializer.serialize(context.getState(positions=True, velocities=True, parameters=True))
    other = context_of(openmm.XmlSerializer.clone(system), atoms.positions)
    other.setState(openmm.XmlSerializer.deserialize(text))
    for one in (context, other):
        one.getIntegrator().step(20)
    assert np.abs(positions_of(other) - positions_of(context)).max() <= 1e-9
