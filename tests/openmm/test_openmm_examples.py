"""The scripts of examples/openmm run as they are, and mdtraj reads what they write."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")
mdtraj = pytest.importorskip("mdtraj", reason="mdtraj is not installed (pip install mdtraj)")

pytestmark = pytest.mark.usefixtures("openmm_plugin")


@pytest.fixture
def folder(repository, tmp_path):
    for file in (repository / "examples/openmm").glob("*.pdb"):
        shutil.copy(file, tmp_path)
    return tmp_path


@pytest.fixture
def run(repository, folder):
    def run(script: str, *options: str) -> str:
        command = [sys.executable, str(repository / "examples/openmm" / script), *options]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        # Whether the model was validated is said once.
        assert [line for line in result.stderr.splitlines() if "validated" not in line] == []
        return result.stdout

    return run


def table(text: str) -> np.ndarray:
    """The numbers of a StateDataReporter on standard output."""
    rows = [line.replace("%", "").split(",") for line in text.splitlines() if line[:1].isdigit() and "," in line]
    return np.array([[float(value) for value in row[:3]] for row in rows])


def test_ethanol(run, folder, ethanol_file):
    shutil.copy(ethanol_file, folder / "ethanol.pt")
    rows = table(run("ethanol.py"))
    assert np.array_equal(rows[:, 0], np.arange(100, 1001, 100))
    assert np.ptp(rows[:, 1]) < 0.2  # kJ/mol, of the total energy
    assert np.array_equal(rows[:, 1], np.loadtxt(folder / "energy.csv", delimiter=",", skiprows=1)[:, 1])
    frames = mdtraj.load(folder / "ethanol.dcd", top=folder / "ethanol.pdb")
    assert frames.n_frames == 100 and np.isfinite(frames.xyz).all()
    # The molecule moves and holds together.
    bonds = mdtraj.compute_distances(frames, [[0, 1], [1, 2], [2, 3]])
    assert 0.08 < bonds.min() < bonds.max() < 0.18 and np.ptp(bonds) > 1e-3


def test_alanine_dipeptide(run, folder, organic_file):
    shutil.copy(organic_file, folder / "organic.pt")
    text = run("alanine_dipeptide.py", "--steps", "200")
    assert "20 frames; the last one has phi" in text
    assert len(table(text)) == 2
    assert (folder / "ramachandran.png").stat().st_size > 5000
    frames = mdtraj.load(folder / "alanine_dipeptide.dcd", top=folder / "alanine_dipeptide.pdb")
    phi, psi = float(text.split("phi ")[1].split()[0]), float(text.split("psi ")[1].split()[0])
    for value, compute in ((phi, mdtraj.compute_phi), (psi, mdtraj.compute_psi)):
        assert value == pytest.approx(np.degrees(compute(frames)[1][-1, 0]), abs=0.51)


@pytest.mark.parametrize("options", [(), ("--ensemble", "npt"), ("--ensemble", "npt", "--anisotropic")], ids=str)
def test_water(run, folder, water_file, options):
    shutil.copy(water_file, folder / "water.pt")
    rows = table(run("water.py", "--steps", "60", *options))
    assert np.array_equal(rows[:, 0], [20, 40, 60])
    assert (rows[:, 2] > 200).all() and (rows[:, 2] < 450).all()  # K
    densities = np.loadtxt(folder / "water.csv", delimiter=",", skiprows=1)[:, 3]
    assert (densities > 0.9).all() and (densities < 1.1).all()
    frames = mdtraj.load(folder / "water.dcd", top=folder / "water.pdb")
    assert frames.n_frames == 3 and np.isfinite(frames.xyz).all()


def test_solute_in_water(run, folder, organic_file):
    pytest.importorskip("openmmml", reason="OpenMM-ML is not installed (pip install openmmml)")
    shutil.copy(organic_file, folder / "organic.pt")
    rows = table(run("solute_in_water.py", "--steps", "40"))
    assert np.array_equal(rows[:, 0], [20, 40])
    frames = mdtraj.load(folder / "solute_in_water.dcd", top=folder / "solute_in_water.pdb")
    assert frames.n_frames == 2 and np.isfinite(frames.xyz).all()
    ends = mdtraj.compute_distances(frames, [[1, 4], [4, 6], [6, 8], [8, 14], [14, 16]], periodic=False)
    assert 0.12 < ends.min() < ends.max() < 0.17
