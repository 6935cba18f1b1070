"""i-PI: the driver's numbers in its units, a run of the example, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys

import ase.io
import numpy as np
import pytest

from networks import crystal
from transip_md.common import units
from transip_md.common.errors import UsageError
from transip_md.evaluators.torch_model import ExportedModel

pytest.importorskip("ipi", reason="i-PI is not installed (pip install 'transip-md[ipi]')")

from ipi.utils.units import unit_to_user

from transip_md.engines.ipi import TransIPDriver

#: i-PI's own, eV and Angstrom.
HARTREE, BOHR = unit_to_user("energy", "electronvolt", 1.0), unit_to_user("length", "angstrom", 1.0)


def compute(file, atoms, folder, **options):
    ase.io.write(folder / "template.xyz", atoms, format="extxyz")
    driver = TransIPDriver(str(folder / "template.xyz"), str(file), device="cpu", **options)
    return driver.compute_structure(atoms.cell.array.T / BOHR, atoms.positions / BOHR)


def check(found, wanted):
    energy, forces, virial, extras = found
    assert energy * HARTREE == pytest.approx(wanted.energies.sum(), rel=1e-12)
    assert forces * HARTREE / BOHR == pytest.approx(wanted.forces, rel=1e-9, abs=1e-9)
    symmetric = 0.5 * (wanted.virial + wanted.virial.T)
    assert virial * HARTREE == pytest.approx(symmetric, rel=1e-9, abs=1e-9)
    assert extras == ""


def test_ipi_has_the_constants_of_another_codata():
    assert pytest.approx(units.HARTREE, rel=2e-7) == HARTREE
    assert pytest.approx(units.BOHR, rel=2e-8) == BOHR


def test_molecule(ethanol_file, bent, tmp_path):
    bent.cell = [30.0, 30.0, 30.0]
    check(compute(ethanol_file, bent, tmp_path), ExportedModel(ethanol_file).evaluate(bent.numbers, bent.positions))


def test_box(local_file, tmp_path):
    atoms = crystal(4)
    wanted = ExportedModel(local_file).evaluate(
        atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc
    )
    check(compute(local_file, atoms, tmp_path), wanted)


def test_symmetry(molecule_file, bent, tmp_path):
    bent.cell = [30.0, 30.0, 30.0]
    energy = compute(molecule_file, bent, tmp_path, symmetry="frame")[0]
    assert energy != compute(molecule_file, bent, tmp_path)[0]
    with pytest.raises(UsageError, match="i-PI: symmetry random rotates anew"):
        compute(molecule_file, bent, tmp_path, symmetry="random 1")


def test_the_example_conserves_energy(ethanol_file, repository, tmp_path):
    shutil.copy(ethanol_file, tmp_path / "ethanol.pt")
    shutil.copy(repository / "examples" / "ethanol.xyz", tmp_path)
    command = [sys.executable, str(repository / "examples" / "ipi" / "run.py"), "--steps", "40"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    conserved = np.loadtxt(tmp_path / "ethanol.out")[:, 2]
    assert len(conserved) == 41
    # Eight beads of nine atoms at 0.25 fs.
    assert np.ptp(conserved) < 0.02
    assert len(list(tmp_path.glob("ethanol.pos_*.xyz"))) == 8
