"""Engines with ``kernels native`` on a CUDA device that is the emulator, against the kernels of the CPU."""

from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path

import ase
import ase.build
import numpy as np
import pytest
from ase.io.lammpsdata import write_lammps_data

from lammps_decks import LMP
from made_once import built_by_cmake

#: Kernels of two kinds sum in other orders: energies (eV) and forces or virials by their size.
TOLERANCE = {"float64": 1e-10, "float32": 5e-6}
DECK = """
units metal
boundary {boundary}
atom_style atomic
plugin load {plugin}
read_data atoms.data
pair_style transip {model} device {device} kernels native
pair_coeff * * {elements}
velocity all create 300 1
fix 1 all {fix}
timestep 0.001
compute one all pe/atom
compute energies all reduce sum c_one
thermo_style custom step pe press pxx pyy pzz pxy pxz pyz c_energies vol
thermo_modify format float %.15g
thermo 1
run {steps}
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory) -> Path:
    """The folder of the build, with libtransip and the pair style on emulated devices in its folder emulated."""
    return built_by_cmake(tmp_path_factory, "cuda_tests")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[tuple[str, str], Path]:
    """Shipped models by name and dtype: the emulator has kernels for their shapes."""
    import transip_md
    from transip_md.exporting.export import export

    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name, dtype in (("water", "float64"), ("water", "float32"), ("ethanol", "float64")):
        found[name, dtype] = folder / f"{name}_{dtype}.pt"
        export(transip_md.pretrained(name), found[name, dtype], dtype)
    return found


def _water() -> ase.Atoms:
    """Three molecules in a triclinic cell smaller than the cutoff."""
    atoms = ase.Atoms(cell=[[4.4, 0, 0], [0.6, 4.2, 0], [-0.5, 0.4, 4.9]], pbc=True)
    for turn, place in enumerate(([0.2, 0.3, 0.2], [2.4, 1.9, 0.6], [0.9, 2.3, 3.0])):
        molecule = ase.build.molecule("H2O")
        molecule.rotate(47 * turn, (1, 2, 3))
        molecule.translate(place - molecule.positions[0])
        atoms += molecule
    return atoms


def _lammps(
    folder: Path, plugin: Path, model: Path, atoms: ase.Atoms, device: str, ranks: int = 1, **changes: object
) -> np.ndarray:
    """The thermo output of a run, [steps + 1, columns], and its whole text in the file out of the folder."""
    folder.mkdir()
    elements = sorted(set(atoms.symbols))
    write_lammps_data(folder / "atoms.data", atoms, specorder=elements, masses=True, atom_style="atomic")
    settings = {"boundary": "p p p", "fix": "npt temp 300 300 0.1 tri 0 0 1", "steps": 4} | changes
    deck = DECK.format(plugin=plugin, model=model, device=device, elements=" ".join(elements), **settings)
    (folder / "in.run").write_text(deck)
    # Without the plugin that the environment has built.
    environment = os.environ | {"TRANSIP_MD_CACHE": str(folder)}
    start = [] if ranks == 1 else [str(LMP.parent / "mpiexec"), "-n", str(ranks)]
    command = [*start, str(LMP), "-in", "in.run", "-log", "log"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    (folder / "out").write_text(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    head = next(i for i, line in enumerate(lines) if line.split()[:1] == ["Step"])
    return np.array([line.split() for line in lines[head + 1 : head + 2 + settings["steps"]]], dtype=float)


def _compare(got: np.ndarray, wanted: np.ndarray, dtype: str) -> None:
    assert got.shape == wanted.shape
    size = np.abs(wanted).max(axis=0)
    assert (np.abs(got - wanted) <= TOLERANCE[dtype] * np.maximum(size, 1.0)).all()


def test_lammps_on_one_rank_asks_for_no_list(build, models, tmp_path):
    model = models["water", "float64"]
    atoms = _water()
    wanted = _lammps(tmp_path / "cpu", build / "lammps" / "transipplugin.so", model, atoms, "cpu")
    got = _lammps(tmp_path / "cuda", build / "emulated" / "transipplugin.so", model, atoms, "cuda")
    _compare(got, wanted, "float64")
    output = (tmp_path / "cuda" / "out").read_text()
    assert "weights on cuda:0, native CUDA kernels (emulated on the CPU)" in output
    assert "Total # of neighbors = 0" in output


def test_lammps_on_two_ranks_exchanges_the_halo(build, models, tmp_path):
    if not (LMP.parent / "mpiexec").exists():
        pytest.skip("mpiexec of MPICH is not installed")
    model = models["water", "float32"]
    atoms = _water()
    wanted = _lammps(tmp_path / "cpu", build / "lammps" / "transipplugin.so", model, atoms, "cpu", steps=1)
    got = _lammps(tmp_path / "cuda", build / "emulated" / "transipplugin.so", model, atoms, "cuda", 2, steps=1)
    _compare(got, wanted, "float32")


def test_lammps_with_a_molecule(build, models, tmp_path):
    atoms = ase.build.molecule("CH3CH2OH")
    atoms.center(vacuum=5.0)
    changes = {"boundary": "s s s", "fix": "nve", "steps": 1}
    runs = [
        _lammps(tmp_path / device, build / folder / "transipplugin.so", models["ethanol", "float64"], atoms, device,
                **changes)
        for device, folder in (("cpu", "lammps"), ("cuda", "emulated"))
    ]  # fmt: skip
    _compare(runs[1], runs[0], "float64")


@pytest.fixture
def emulated_library(build, monkeypatch):
    """libtransip on emulated devices, instead of the one that is built for Python."""
    from transip_md.evaluators import binding

    monkeypatch.setattr(binding, "plugin_library", lambda kind: build / "emulated" / "libtransip.so")
    binding.library.cache_clear()
    yield
    binding.library.cache_clear()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_python(emulated_library, models, dtype):
    import transip_md
    from transip_md.evaluators.library_model import LibraryModel

    atoms = _water()
    arguments = {"cell": atoms.cell.array, "periodic": atoms.pbc}
    model = transip_md.load_model(models["water", dtype], device="cuda", kernels="native")
    assert model.device == "cuda:0" and "native CUDA kernels" in model.runs_by
    wanted = LibraryModel(models["water", dtype], 1).evaluate(atoms.numbers, atoms.positions, **arguments)
    for _ in range(2):
        got = model.evaluate(atoms.numbers, atoms.positions, **arguments)
        for name in ("energies", "forces", "virial"):
            a, b = getattr(got, name), getattr(wanted, name)
            # Energies beside those that the elements have by themselves are of the order of 1 eV.
            size = np.abs(b).max() if name != "energies" else 10.0
            assert np.abs(a - b).max() <= TOLERANCE[dtype] * max(1.0, size)


def test_python_of_a_molecule_and_errors(emulated_library, models):
    from transip_md.common.errors import UsageError
    from transip_md.evaluators.library_model import LibraryModel

    atoms = ase.build.molecule("CH3CH2OH")
    model = LibraryModel(models["ethanol", "float64"], 1, "cuda")
    again = pickle.loads(pickle.dumps(model))
    assert again.device == "cuda:0"
    wanted = LibraryModel(models["ethanol", "float64"], 1).evaluate(atoms.numbers, atoms.positions)
    got = again.evaluate(atoms.numbers, atoms.positions)
    assert np.abs(got.forces - wanted.forces).max() <= TOLERANCE["float64"] * np.abs(wanted.forces).max()
    atoms.positions[3] = atoms.positions[5]
    with pytest.raises(UsageError, match=r"Two atoms are at one position.* for atom [35] "):
        again.evaluate(atoms.numbers, atoms.positions)
    with pytest.raises(UsageError, match="no virials of atoms"):
        model.evaluate(atoms.numbers, atoms.positions, virials=True)
    with pytest.raises(UsageError, match="device 'cuda:7' was asked for"):
        LibraryModel(models["ethanol", "float64"], 1, "cuda:7")
