"""pair_style transip with distances from the training set: those of Python on any number of ranks, warning and stop."""

from __future__ import annotations

import ase
import numpy as np
import pytest
from test_local_pair import run, section

from networks import crystal
from sampled import file_with_sample
from transip_md.engines.lammps.engine import write_data
from transip_md.evaluators.library_model import LibraryModel

pytestmark = pytest.mark.usefixtures("lammps_plugin", "library")

FIX_PAIR = (
    "fix d all pair 1 transip distance 1\ndump d all custom 1 d.dump id f_d\ndump_modify d sort id format float %.17g"
)


@pytest.fixture(scope="module")
def local_model(tmp_path_factory):
    return file_with_sample(tmp_path_factory.mktemp("guarded"), cutoff=3.0)


@pytest.fixture(scope="module")
def molecule_model(tmp_path_factory):
    return file_with_sample(tmp_path_factory.mktemp("guarded"))


@pytest.fixture
def box() -> ase.Atoms:
    atoms = crystal(0)
    atoms.set_cell([6.0, 6.5, 7.0], scale_atoms=True)
    return atoms.repeat((2, 1, 1))


def distances(model, atoms: ase.Atoms) -> np.ndarray:
    box = {"cell": atoms.cell.array, "periodic": atoms.pbc} if atoms.pbc.any() else {}
    return LibraryModel(model).distances(atoms.numbers, atoms.positions, **box)


def dumped(folder) -> np.ndarray:
    return np.array([row.split()[1] for row in (folder / "d.dump").read_text().splitlines()[9:]], dtype=float)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_distances_are_those_of_python(local_model, box, tmp_path, ranks):
    write_data(tmp_path / "c.data", box)
    wanted = distances(local_model, box)
    farthest = wanted.argmax()
    style = f"guard every 5 warn above {0.99 * wanted[farthest]}"
    result = run(tmp_path, section(local_model, box, "c", style=style, after=FIX_PAIR), ranks)
    assert result.returncode == 0, result.stdout
    assert np.abs(dumped(tmp_path) - wanted).max() <= 1e-8
    said = f"step 0: atom {farthest + 1} is at a distance of {wanted[farthest]:.4g} from the training set"
    assert result.stdout.count(said) == 1


@pytest.mark.parametrize("ranks", [1, 2])
def test_of_a_molecule(molecule_model, ethanol, tmp_path, ranks):
    write_data(tmp_path / "c.data", ethanol)
    wanted = distances(molecule_model, ethanol)
    deck = section(
        molecule_model, ethanol, "c", style=f"guard every 1 stop above {1.01 * wanted.max()}", after=FIX_PAIR
    )
    result = run(tmp_path, deck, ranks)
    assert result.returncode == 0 and "from the training set" not in result.stdout, result.stdout
    assert np.abs(dumped(tmp_path) - wanted).max() <= 1e-6
    result = run(tmp_path, deck.replace(str(1.01 * wanted.max()), str(0.99 * wanted.max())), ranks)
    assert result.returncode != 0 and "ERROR: pair_style transip: step 0: atom " in result.stdout


def test_only_in_every_nth_step(local_model, box, tmp_path):
    write_data(tmp_path / "c.data", box)
    velocity = "velocity all create 300 1\nfix 1 all nve\ntimestep 0.0001"
    bound = 0.5 * distances(local_model, box).max()
    deck = section(
        local_model, box, "c", style=f"guard every 5 stop above {bound}", after=velocity, end="reset_timestep 1\nrun 3"
    )
    assert run(tmp_path, deck).returncode == 0
    result = run(tmp_path, deck.replace("run 3", "run 4"))
    assert result.returncode != 0 and "step 5: atom " in result.stdout


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ("guard every 5", "keyword guard needs more values: guard every N warn above X"),
        ("guard each 5 warn above 1", "expected guard every N warn above X, or guard every N stop above X; got each"),
        ("guard every 0 warn above 1", "with 1 step or more; got 0"),
        ("guard every 5 warn above -1", "with a distance above 0; got -1"),
        ("guard every 5 halt above 1", "got halt"),
        ("guard every 5 warn above 1 kernels torch", "measured by native kernels on the CPU"),
    ],
)
def test_what_is_refused(local_model, box, tmp_path, style, words):
    write_data(tmp_path / "c.data", box)
    result = run(tmp_path, section(local_model, box, "c", style=style))
    assert result.returncode != 0 and words in " ".join(result.stdout.split())


def test_a_file_without_a_sample(local_file, box, tmp_path):
    write_data(tmp_path / "c.data", box)
    result = run(tmp_path, section(local_file, box, "c", style="guard every 5 warn above 1"))
    assert result.returncode != 0 and "has no sample of its training set" in result.stdout
