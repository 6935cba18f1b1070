"""compute stress/atom and centroid/stress/atom of pair_style transip, and threads."""

from __future__ import annotations

import ase
import numpy as np
import pytest
from test_local_pair import BAR, frames, run, section

from networks import crystal
from transip_md.engines.lammps.engine import read_thermo, write_data
from transip_md.evaluators.library_model import LibraryModel

pytestmark = pytest.mark.usefixtures("lammps_plugin", "library")

AFTER = """compute s all stress/atom NULL pair
compute c all centroid/stress/atom NULL pair
compute p all pressure NULL virial
dump s all custom 1 stress.dump id c_s[1] c_s[2] c_s[3] c_s[4] c_s[5] c_s[6]
dump c all custom 1 centroid.dump id c_c[1] c_c[2] c_c[3] c_c[4] c_c[5] c_c[6] c_c[7] c_c[8] c_c[9]
dump_modify s sort id format float %.17g
dump_modify c sort id format float %.17g"""
THERMO = "thermo_style custom step time c_p[1] c_p[2] c_p[3] c_p[4] c_p[5] c_p[6] vol"
ORDER = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1))


@pytest.fixture
def box() -> ase.Atoms:
    atoms = crystal(0)
    atoms.set_cell([6.0, 6.5, 7.0], scale_atoms=True)
    return atoms.repeat((2, 1, 1))


def deck(model, atoms, style=""):
    commands = section(model, atoms, "c", style=style, after=AFTER).splitlines()
    return "\n".join(THERMO if line.startswith("thermo_style") else line for line in commands)


def columns(dump):
    """Columns behind the ID of the first frame."""
    lines = dump.read_text().splitlines()
    return np.array([line.split()[1:] for line in lines[9 : 9 + int(lines[3])]], dtype=float)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_stress_of_atoms(local_file, box, tmp_path, ranks):
    write_data(tmp_path / "c.data", box)
    result = run(tmp_path, deck(local_file, box), ranks)
    assert result.returncode == 0, result.stdout
    wanted = LibraryModel(local_file).evaluate(
        box.numbers, box.positions, cell=box.cell.array, periodic=box.pbc, virials=True
    )
    flat = np.array([wanted.virials[:, a, b] for a, b in ORDER]).T
    # LAMMPS's compute has the sign of a stress, and bar Angstrom^3.
    for name, count in (("stress", 6), ("centroid", 9)):
        got = -columns(tmp_path / f"{name}.dump") / BAR
        assert np.abs(got - flat[:, :count]).max() <= 1e-6 * np.abs(flat).max()
    row = read_thermo(tmp_path / "test.log")[-1]
    summed = -columns(tmp_path / "stress.dump").sum(axis=0) / row[8]
    assert np.abs(summed - row[2:8]).max() <= 1e-10 * np.abs(row[2:8]).max()


def test_of_a_molecule_on_two_ranks(molecule_file, ethanol, tmp_path):
    write_data(tmp_path / "c.data", ethanol)
    found = []
    for ranks in (1, 2):
        result = run(tmp_path, deck(molecule_file, ethanol), ranks)
        assert result.returncode == 0, result.stdout
        found.append(columns(tmp_path / "stress.dump"))
    assert np.abs(found[0]).max() > 0
    assert np.abs(found[0] - found[1]).max() <= 1e-10 * np.abs(found[0]).max()


def test_torch_has_none(local_file, box, tmp_path):
    write_data(tmp_path / "c.data", box)
    result = run(tmp_path, deck(local_file, box, "kernels torch"))
    assert result.returncode != 0 and "Virials of single atoms are made by native kernels" in result.stdout


def test_threads_give_the_same_bits(local_file, box, tmp_path):
    """Small boxes stay on one thread, so this one is larger."""
    atoms = box.repeat((2, 3, 3))
    write_data(tmp_path / "c.data", atoms)
    found = []
    for threads in (1, 2, 3):
        result = run(tmp_path, section(local_file, atoms, "c", style=f"threads {threads}"))
        assert result.returncode == 0, result.stdout
        found.append(frames(tmp_path / "c.dump"))
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])
