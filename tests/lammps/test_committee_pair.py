"""pair_style transip with several models: deviations against single evaluations, on several ranks, stop and dump."""

from __future__ import annotations

import ase
import ase.io
import numpy as np
import pytest
from test_local_pair import frames, run, section

from committees import deviations, single_evaluations
from networks import crystal
from transip_md.engines.lammps.engine import read_thermo, write_data
from transip_md.evaluators.library_model import LibraryModel
from transip_md.modelfile.committee_file import write_committee

pytestmark = pytest.mark.usefixtures("lammps_plugin", "library")

FIX_PAIR = "fix d all pair 1 transip deviation 1\ndump d all custom 1 d.dump id f_d"


@pytest.fixture
def box() -> ase.Atoms:
    atoms = crystal(0)
    atoms.set_cell([6.0, 6.5, 7.0], scale_atoms=True)
    return atoms.repeat((2, 1, 1))


def names(files) -> str:
    return " ".join(map(str, files))


def check_line(line: np.ndarray, wanted: np.ndarray) -> None:
    # Seven digits are written.
    assert np.allclose(line[1:], wanted, rtol=2e-6, atol=0)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_deviations_are_those_of_single_evaluations(local_committee, box, tmp_path, ranks):
    write_data(tmp_path / "c.data", box)
    after = FIX_PAIR + "\ndump_modify d sort id format float %.17g"
    deck = section(names(local_committee), box, "c", style="deviation d.out every 1", after=after)
    result = run(tmp_path, deck, ranks)
    assert result.returncode == 0, result.stdout
    energies, forces, virials = single_evaluations(local_committee, box)
    lines = np.loadtxt(tmp_path / "d.out", ndmin=2)
    assert lines.shape == (1, 8) and lines[0, 0] == 0
    check_line(lines[0], deviations(energies, forces, virials))
    # Forces are the first model's, and deviations of atoms those that fix pair is given.
    assert np.abs(frames(tmp_path / "c.dump")[0][:, 3:] - forces[0]).max() <= 1e-9
    rows = (tmp_path / "d.dump").read_text().splitlines()[9:]
    of_atoms = np.array([row.split()[1] for row in rows], dtype=float)
    assert np.abs(of_atoms - np.linalg.norm(forces.std(axis=0), axis=1)).max() <= 1e-9


def test_one_file_of_a_committee(local_committee, box, tmp_path):
    write_data(tmp_path / "c.data", box)
    write_committee(local_committee, tmp_path / "all.pt")
    lines = []
    for names_of_files in (names(local_committee), "all.pt"):
        result = run(tmp_path, section(names_of_files, box, "c", style="deviation d.out every 1"))
        assert result.returncode == 0, result.stdout
        lines.append((tmp_path / "d.out").read_text())
    assert lines[0] == lines[1]
    assert "TransIP model all.pt#4: " in (tmp_path / "test.log").read_text()


@pytest.mark.parametrize("ranks", [1, 2])
def test_of_a_molecule(molecule_committee, ethanol, tmp_path, ranks):
    write_data(tmp_path / "c.data", ethanol)
    deck = section(names(molecule_committee), ethanol, "c", style="deviation d.out every 1", after=FIX_PAIR)
    result = run(tmp_path, deck, ranks)
    assert result.returncode == 0, result.stdout
    found = single_evaluations(molecule_committee, ethanol)
    check_line(np.loadtxt(tmp_path / "d.out"), deviations(*found))
    rows = (tmp_path / "d.dump").read_text().splitlines()[9:]
    of_atoms = sorted(float(row.split()[1]) for row in rows)
    assert np.allclose(of_atoms, sorted(np.linalg.norm(found[1].std(axis=0), axis=1)), rtol=1e-4)


@pytest.mark.parametrize("kernels", ["native", "torch"])
def test_mean(local_committee, box, tmp_path, kernels):
    write_data(tmp_path / "c.data", box)
    deck = section(names(local_committee), box, "c", style=f"force mean kernels {kernels}")
    result = run(tmp_path, deck)
    assert result.returncode == 0, result.stdout
    energies, forces, _ = single_evaluations(local_committee, box)
    assert np.abs(frames(tmp_path / "c.dump")[0][:, 3:] - forces.mean(axis=0)).max() <= 1e-8
    assert abs(read_thermo(tmp_path / "test.log")[-1][2] - energies.mean()) <= 1e-8


def test_units_real(local_committee, box, tmp_path):
    """Deviations have LAMMPS's own units: kcal/mol."""
    from transip_md.common.units import KCAL_PER_MOL_PER_EV

    write_data(tmp_path / "c.data", box)
    deck = section(names(local_committee), box, "c", style="deviation d.out every 1", units_name="real")
    result = run(tmp_path, deck)
    assert result.returncode == 0, result.stdout
    check_line(
        np.loadtxt(tmp_path / "d.out"), deviations(*single_evaluations(local_committee, box)) * KCAL_PER_MOL_PER_EV
    )


def test_steps_that_are_not_compared_are_those_of_the_first(local_committee, box, tmp_path):
    """Every third step is compared, none twice over two runs, and the trajectory is that of the first model alone."""
    write_data(tmp_path / "c.data", box)
    dynamics = "timestep 0.0005\nvelocity all create 300 1\nfix 1 all nve\n"
    steps = "run 5\nrun 4"
    trajectories = []
    for models, style in ((local_committee, "deviation d.out every 3"), (local_committee[:1], "")):
        deck = section(names(models), box, "c", style=style, after=dynamics, end=steps)
        deck = deck.replace("dump out all custom 20", "dump out all custom 1")
        result = run(tmp_path, deck)
        assert result.returncode == 0, result.stdout
        trajectories.append(frames(tmp_path / "c.dump"))
    assert np.array_equal(*trajectories)
    assert np.loadtxt(tmp_path / "d.out")[:, 0].tolist() == [0, 3, 6, 9]


@pytest.mark.parametrize("ranks", [1, 2])
def test_stop_and_dump(local_committee, box, tmp_path, ranks):
    write_data(tmp_path / "c.data", box)
    _, forces, _ = single_evaluations(local_committee, box)
    of_forces = np.linalg.norm(forces.std(axis=0), axis=1)
    bound = 0.9 * of_forces.max()
    style = f"deviation d.out every 1 stop above {bound} dump d.xyz above {bound}"
    result = run(tmp_path, section(names(local_committee), box, "c", style=style), ranks)
    assert result.returncode != 0
    assert f"on atom {of_forces.argmax() + 1} deviate by" in result.stdout + result.stderr
    written = ase.io.read(tmp_path / "d.xyz", index=":")
    assert len(written) == 1
    assert np.array_equal(written[0].numbers, box.numbers) and written[0].pbc.all()
    assert np.abs(written[0].get_all_distances(mic=True) - box.get_all_distances(mic=True)).max() <= 1e-6
    assert np.abs(written[0].arrays["force_deviation"] - of_forces).max() <= 1e-5
    assert np.abs(written[0].get_forces() - forces[0]).max() <= 1e-6
    assert written[0].info["step"] == 0
    # Below the bounds nothing is written.
    (tmp_path / "d.xyz").unlink()
    style = f"deviation d.out every 1 stop above {2 * bound} dump d.xyz above {2 * bound}"
    assert run(tmp_path, section(names(local_committee), box, "c", style=style), ranks).returncode == 0
    assert not (tmp_path / "d.xyz").exists()


def test_triclinic_box_as_written(local_committee, tmp_path):
    atoms = crystal(0)
    write_data(tmp_path / "c.data", atoms)
    style = "deviation d.out every 1 dump d.xyz above 1e-9"
    result = run(tmp_path, section(names(local_committee), atoms, "c", style=style))
    assert result.returncode == 0, result.stdout
    written = ase.io.read(tmp_path / "d.xyz")
    assert np.allclose(np.sort(written.cell.cellpar()), np.sort(atoms.cell.cellpar()), atol=1e-5)
    again = LibraryModel(local_committee[0]).evaluate(
        written.numbers, written.positions, cell=written.cell.array, periodic=written.pbc
    )
    assert np.abs(again.forces - written.get_forces()).max() <= 1e-6


@pytest.mark.parametrize(
    ("style", "said"),
    [
        ("deviation d.out", "deviation needs more values: deviation FILE every N"),
        ("deviation d.out each 5", "expected deviation FILE every N; got each where every belongs"),
        ("deviation d.out every 0", "1 step or more; got 0"),
        ("stop above 1.0", "add deviation FILE every N"),
        ("deviation d.out every 1 stop above -1", "force above 0; got -1"),
        ("deviation d.out every 1 dump d.xyz over 1", "got over where above belongs"),
        ("force median", "got median where first belongs"),
    ],
)
def test_what_is_refused(local_committee, box, tmp_path, style, said):
    write_data(tmp_path / "c.data", box)
    result = run(tmp_path, section(names(local_committee), box, "c", style=style))
    assert result.returncode != 0
    assert said in result.stdout + result.stderr


def test_one_model_is_no_committee(local_committee, box, tmp_path):
    write_data(tmp_path / "c.data", box)
    result = run(tmp_path, section(local_committee[0], box, "c", style="deviation d.out every 1"))
    assert result.returncode != 0 and "name two model files or more" in result.stdout + result.stderr


def test_members_of_two_kinds(local_committee, molecule_committee, box, tmp_path):
    write_data(tmp_path / "c.data", box)
    deck = section(names([local_committee[0], molecule_committee[0]]), box, "c")
    result = run(tmp_path, deck)
    assert result.returncode != 0 and "must be of one kind" in result.stdout + result.stderr
