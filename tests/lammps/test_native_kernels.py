"""Native kernels in LAMMPS, against the eager network in Python."""

from __future__ import annotations

import ase
import numpy as np
import pytest
from test_local_pair import frames, run, section

from networks import TRICLINIC, make_model
from transip_md.common.tolerances import PARITY
from transip_md.engines.base import Job
from transip_md.engines.lammps.engine import LammpsEngine, read_thermo, write_data
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.exporting.export import export
from transip_md.model.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("lammps_plugin")

#: Shapes that vectors do not divide, one head, many heads, and every part of the network left out or added.
SHAPES = {
    "plain": {},
    "one_head": {"heads": 1, "dim": 8},
    "five_pairs": {"heads": 3, "dim": 30, "feedforward": 20},
    "six_heads": {"heads": 6, "dim": 96, "feedforward": 240, "layers": 3},
    "twelve_heads": {"heads": 12, "dim": 48},
    "wide_heads": {"heads": 2, "dim": 128},
    "values_as_they_are": {"rotary_values": False},
    "no_radial_bias": {"radial_bias": False},
    "charged": {"charge": (-1, 1), "multiplicity": (1, 3)},
}
ALONE = {"coordinates": {"coordinates": True}, "short_radial_range": {"radial_range": 2.0}}


def untrained(**changes) -> Checkpoint:
    model = make_model(**changes)
    return Checkpoint(model.config, model.float())


def structure(periodic: bool) -> ase.Atoms:
    rng = np.random.default_rng(3)
    positions = rng.uniform(size=(9, 3)) @ TRICLINIC * 1.4
    return ase.Atoms(rng.choice([1, 6, 8], 9), positions, cell=1.4 * TRICLINIC, pbc=periodic)


def native_point(file, atoms: ase.Atoms, folder):
    point = LammpsEngine().single_point(Job(file, atoms, folder))
    log = "".join(path.read_text() for path in folder.glob("*.log"))
    return point, log


def wanted_of(file, atoms: ase.Atoms):
    """Tolerance, and energy and forces of the file's TorchScript in Python."""
    model = ExportedModel(file, "cpu")
    wanted = model.evaluate(atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc)
    return PARITY[model.metadata.dtype], wanted.energies.sum(), wanted.forces


def assert_near(file, atoms: ase.Atoms, energy: float, forces: np.ndarray) -> None:
    tolerance, wanted_energy, wanted_forces = wanted_of(file, atoms)
    assert abs(energy - wanted_energy) <= tolerance.energy, file
    assert np.abs(forces - wanted_forces).max() <= tolerance.force, file
    assert np.abs(wanted_forces).max() > 100 * tolerance.force, file


def assert_same(file, atoms: ase.Atoms, folder, instructions: str = "") -> None:
    """LAMMPS's energy and forces, by native kernels, are those of the file's TorchScript in Python."""
    point, log = native_point(file, atoms, folder)
    assert f"native kernels ({instructions}" in log
    assert_near(file, atoms, point.energy, point.forces)


def assert_all_same(shapes: dict[str, dict], dtype: str, atoms: ase.Atoms, folder) -> None:
    """The same for networks of several shapes, one after the other in one run."""
    deck = []
    for name, changes in shapes.items():
        export(untrained(**changes), folder / f"{name}.pt", dtype)
        write_data(folder / f"{name}.data", atoms)
        deck.append(section(f"{name}.pt", atoms, name, style="kernels native"))
    result = run(folder, "clear\n".join(deck))
    assert result.returncode == 0, result.stdout
    table = read_thermo(folder / "test.log")
    assert len(table) == len(shapes) == (folder / "test.log").read_text().count("native kernels (")
    for name, thermo in zip(shapes, table, strict=True):
        assert_near(folder / f"{name}.pt", atoms, thermo[2], frames(folder / f"{name}.dump")[0, :, 3:])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_all_to_all(dtype, tmp_path):
    assert_all_same({**SHAPES, **ALONE}, dtype, structure(periodic=False), tmp_path)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_local(dtype, tmp_path):
    local = {name: {"cutoff": 3.0, **changes} for name, changes in SHAPES.items()}
    assert_all_same(local, dtype, structure(periodic=True), tmp_path)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("instructions", ["baseline", "avx2"])
def test_every_instruction_set(instructions, dtype, tmp_path, monkeypatch):
    """The kernels are compiled for each; a processor runs those that are poorer than its own best too."""
    monkeypatch.setenv("TRANSIP_INSTRUCTIONS", instructions)
    export(untrained(cutoff=3.0, layers=3), tmp_path / "model.pt", dtype)
    assert_same(tmp_path / "model.pt", structure(periodic=True), tmp_path, instructions)


def test_far_from_the_origin_and_with_distant_atoms(tmp_path):
    """Beyond the last radial basis function the bias is constant; float32 loses nothing 1,000 Angstrom away."""
    export(untrained(radial_range=2.0), tmp_path / "model.pt", "float32")
    atoms = structure(periodic=False)
    atoms.positions[0] += 40.0
    atoms.positions += 1000.0
    assert_same(tmp_path / "model.pt", atoms, tmp_path)


def test_two_atoms_and_one(tmp_path):
    export(untrained(), tmp_path / "model.pt")
    assert_same(tmp_path / "model.pt", ase.Atoms("OH", [[0, 0, 0], [0.9, 0.1, 0.2]]), tmp_path)
    point, _ = native_point(tmp_path / "model.pt", ase.Atoms("O", [[0, 0, 0]]), tmp_path)
    wanted = ExportedModel(tmp_path / "model.pt", "cpu").evaluate(np.array([8]), np.zeros((1, 3)))
    assert point.energy == pytest.approx(wanted.energies.sum(), abs=1e-9)


def test_torch_when_it_is_asked_for(tmp_path, monkeypatch):
    export(untrained(), tmp_path / "model.pt")
    monkeypatch.setenv("TRANSIP_KERNELS", "torch")
    _, log = native_point(tmp_path / "model.pt", structure(periodic=False), tmp_path)
    assert "TorchScript" in log and "native" not in log
