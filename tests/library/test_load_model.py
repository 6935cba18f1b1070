"""`transip_md.load_model` and the calculator by libtransip against torch: numbers, pickles, threads, forks, errors."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import ase.build
import ase.io
import numpy as np
import pytest
import torch

import transip_md
from networks import small_checkpoint
from transip_md.common.errors import UsageError
from transip_md.common.tolerances import PARITY
from transip_md.engines.ase import TransIPCalculator
from transip_md.evaluators.library_model import LibraryModel
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.exporting.export import export
from transip_md.symmetry.request import SymmetryRequest


@pytest.fixture
def box(repository):
    """Water in a triclinic box, with atoms outside of it."""
    atoms = ase.io.read(repository / "examples" / "lammps" / "water.data", format="lammps-data", Z_of_type={1: 1, 2: 8})
    atoms = atoms[:24]
    atoms.cell = [[6.1, 0, 0], [1.4, 6.3, 0], [-0.9, 1.1, 5.9]]
    atoms.pbc = True
    atoms.positions += np.random.default_rng(3).normal(scale=0.05, size=(24, 3))
    atoms.positions += [9.0, -7.0, 3.0]
    return atoms


def assert_equal(got, wanted, dtype):
    allowed = PARITY[dtype]
    assert abs(got.energies.sum() - wanted.energies.sum()) <= allowed.energy_of(len(got.energies))
    assert np.abs(got.forces - wanted.forces).max() <= allowed.force
    assert np.abs(got.virial - wanted.virial).max() <= 100 * allowed.force


def test_molecule(library, ethanol_files, dtype, bent):
    model = transip_md.load_model(ethanol_files[dtype], device="cpu")
    assert isinstance(model, LibraryModel) and "native kernels" in model.runs_by
    wanted = ExportedModel(ethanol_files[dtype], "cpu").evaluate(bent.numbers, bent.positions)
    assert_equal(model.evaluate(bent.numbers, bent.positions), wanted, dtype)


def test_more_atoms_than_caches_hold(library, repository, tmp_path):
    """Copies of a box side by side have its energies and forces; what is written for them goes past the caches."""
    path = tmp_path / "water.pt"
    export(transip_md.pretrained("water"), path, "float64")
    water = repository / "examples" / "lammps" / "water.data"
    atoms = ase.io.read(water, format="lammps-data", Z_of_type={1: 1, 2: 8})
    many = atoms.repeat((3, 2, 2))
    few = LibraryModel(path).evaluate(atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc)
    one, two = (
        LibraryModel(path, threads).evaluate(many.numbers, many.positions, cell=many.cell.array, periodic=many.pbc)
        for threads in (1, 2)
    )
    assert np.abs(one.energies - np.tile(few.energies, 12)).max() <= 1e-9
    assert np.abs(one.forces - np.tile(few.forces, (12, 1))).max() <= 1e-9
    assert np.array_equal(one.energies, two.energies) and np.array_equal(one.forces, two.forces)


@pytest.mark.parametrize("periodic", [(1, 1, 1), (1, 0, 1), (0, 0, 0)])
def test_box(library, local_file, box, periodic):
    arguments = {"cell": box.cell.array, "periodic": np.array(periodic, dtype=bool)}
    got = LibraryModel(local_file).evaluate(box.numbers, box.positions, **arguments)
    assert_equal(got, ExportedModel(local_file, "cpu").evaluate(box.numbers, box.positions, **arguments), "float64")


def test_a_list_with_a_skin_gives_the_bits_of_a_new_one(library, local_file, box):
    """Neighbours and images have an order that does not depend on when they were searched."""
    run = LibraryModel(local_file)
    arguments = {"cell": box.cell.array, "periodic": box.pbc}
    random = np.random.default_rng(0)
    for step in range(8):
        # Over twice the skin in all, so that pairs are searched anew in between.
        box.positions += random.uniform(-0.25, 0.25, box.positions.shape) + np.array([0.1, 0.0, 0.05])
        got = run.evaluate(box.numbers, box.positions, **arguments)
        wanted = LibraryModel(local_file).evaluate(box.numbers, box.positions, **arguments)
        assert np.array_equal(got.energies, wanted.energies), step
        assert np.array_equal(got.forces, wanted.forces) and np.array_equal(got.virial, wanted.virial), step


def test_what_changes_between_evaluations(library, local_file, box):
    """Everything that a caller writes into the same arrays counts, and what was given before stays as it is."""
    model = LibraryModel(local_file)
    numbers, positions = box.numbers.copy(), box.positions.copy()
    cell, periodic = box.cell.array.copy(), np.array([True, True, True])

    def swap():
        numbers[[0, 1]] = numbers[[1, 0]]

    def push():
        positions[5] += 0.05

    def strain():
        cell[:] *= 1.01

    def cut():
        periodic[1] = False

    assert numbers[0] != numbers[1]
    given = model.evaluate(numbers, positions, cell=cell, periodic=periodic)
    before = [array.copy() for array in given]
    for change in (swap, push, strain, cut):
        change()
        got = model.evaluate(numbers, positions, cell=cell, periodic=periodic)
        wanted = LibraryModel(local_file).evaluate(numbers, positions, cell=cell, periodic=periodic)
        assert all(np.array_equal(one, other) for one, other in zip(got, wanted, strict=True)), change.__name__
        assert not np.array_equal(got.forces, given.forces), change.__name__
        assert all(np.array_equal(one, other) for one, other in zip(given, before, strict=True)), change.__name__
        given, before = got, [array.copy() for array in got]


def test_arrays_of_wrong_shapes(library, local_file, box):
    model = LibraryModel(local_file)
    good = {"cell": box.cell.array, "periodic": box.pbc}
    # Of a structure that is known the library alone checks positions, and names the atom.
    for not_finite in ("positions hold values that are", r"Position of atom \d+ \(counted from 0\) is"):
        for wrong, words in (
            ({"cell": box.cell.array[:2]}, r"cell must be \[3, 3\], its rows the cell vectors; got \[2, 3\]"),
            ({"cell": box.cell.array.ravel()}, r"cell must be .*; got \[9\]"),
            ({"periodic": np.array([True])}, r"periodic must be \[3\], one for each cell vector; got \[1\]"),
        ):
            with pytest.raises(UsageError, match=words):
                model.evaluate(box.numbers, box.positions, **{**good, **wrong})
        with pytest.raises(UsageError, match=r"positions must be \[24, 3\], got \[23, 3\]"):
            model.evaluate(box.numbers, box.positions[:-1], **good)
        with pytest.raises(UsageError, match=not_finite + r" not finite \(NaN or infinity\)"):
            model.evaluate(box.numbers, np.where(box.positions > 9.0, np.nan, box.positions), **good)
        # Likewise after an evaluation, of which much is kept.
        model.evaluate(box.numbers, box.positions, **good)


@pytest.mark.parametrize("text", ["average 4", "average 12 inversion", "frame", "random 3"])
def test_symmetry(library, molecule_file, bent, text):
    request = SymmetryRequest.parse(text)
    reference = (bent.numbers, bent.positions + 0.05)
    got, wanted = (
        model.with_symmetry(request, *reference)
        for model in (LibraryModel(molecule_file), ExportedModel(molecule_file, "cpu"))
    )
    for _ in range(3):
        assert_equal(
            got.evaluate(bent.numbers, bent.positions), wanted.evaluate(bent.numbers, bent.positions), "float64"
        )


@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="this machine has a GPU")
def test_cuda_kernels_without_a_driver_are_those_of_the_cpu(library, ethanol_file, ethanol):
    with pytest.warns(
        UserWarning, match="NVIDIA's driver is not here or sees no CUDA devices: .* evaluated on the CPU"
    ):
        model = transip_md.load_model(ethanol_file, device="cuda", kernels="native")
    assert model.device == "cpu" and "native kernels" in model.runs_by
    wanted = transip_md.load_model(ethanol_file, device="cpu").evaluate(ethanol.numbers, ethanol.positions)
    assert_equal(model.evaluate(ethanol.numbers, ethanol.positions), wanted, "float64")
    with pytest.raises(UsageError, match="device must be auto, cpu, cuda or cuda:N, got 'cuda:many'"):
        transip_md.load_model(ethanol_file, device="cuda:many", kernels="native")


def test_the_kernels_that_are_asked_for(library, ethanol_file, toy_file, monkeypatch):
    assert isinstance(transip_md.load_model(ethanol_file, device="cpu", kernels="torch"), ExportedModel)
    assert isinstance(transip_md.load_model(toy_file, device="cpu"), ExportedModel)
    with pytest.raises(UsageError, match="no native kernels"):
        transip_md.load_model(toy_file, device="cpu", kernels="native")
    monkeypatch.setenv("TRANSIP_KERNELS", "torch")
    assert isinstance(transip_md.load_model(ethanol_file, device="cpu"), ExportedModel)
    monkeypatch.setenv("TRANSIP_KERNELS", "fast")
    with pytest.raises(UsageError, match=r"got 'fast' in the environment variable TRANSIP_KERNELS"):
        transip_md.load_model(ethanol_file)


def test_old_files_go_to_torch(repository):
    model = transip_md.load_model(repository / "tests" / "data" / "format1" / "molecule.pt", device="cpu")
    assert isinstance(model, ExportedModel)


def energy(calculator, atoms):
    atoms = atoms.copy()
    atoms.calc = calculator
    return atoms.get_potential_energy(), atoms.get_forces()


def same(one, other):
    return one[0] == other[0] and np.array_equal(one[1], other[1])


def test_pickled_threaded_and_forked_calculators_give_the_same_bits(library, ethanol_file, bent):
    calculator = TransIPCalculator(ethanol_file, device="cpu", kernels="native")
    wanted = energy(calculator, bent)
    assert same(energy(pickle.loads(pickle.dumps(calculator)), bent), wanted)
    model = LibraryModel(ethanol_file)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.evaluate(bent.numbers, bent.positions), range(40)))
    assert all(np.array_equal(one.forces, found[0].forces) for one in found)
    assert np.array_equal(found[0].forces, wanted[1])
    pool = multiprocessing.get_context("fork").Pool(2)
    assert all(same(one, wanted) for one in pool.starmap(energy, [(calculator, bent)] * 4))
    # Not terminated: a child has the handlers of signals that this process has.
    pool.close()
    pool.join()


def test_a_pickle_of_a_changed_file_is_refused(library, ethanol_files, tmp_path, bent):
    file = tmp_path / "model.pt"
    file.write_bytes(ethanol_files["float64"].read_bytes())
    pickled = pickle.dumps(LibraryModel(file))
    file.write_bytes(ethanol_files["float32"].read_bytes())
    with pytest.raises(UsageError, match="its contents have changed"):
        pickle.loads(pickled)


def test_bad_input_is_refused_as_torch_refuses_it(library, ethanol_file, ethanol):
    numbers, positions = ethanol.numbers, ethanol.positions
    cases = {
        "does not know": (np.where(numbers == 8, 7, numbers), positions, {}),
        "positions must be": (numbers, positions[:4], {}),
        "not finite": (numbers, np.where(positions > 0, np.nan, positions), {}),
        "got charge 3": (numbers, positions, {"charge": 3}),
        "attends all-to-all": (numbers, positions, {"cell": np.eye(3), "periodic": np.ones(3, dtype=bool)}),
        "at one position": (numbers, np.zeros_like(positions), {}),
    }
    for model in (LibraryModel(ethanol_file), ExportedModel(ethanol_file, "cpu")):
        for words, (species, places, more) in cases.items():
            with pytest.raises(UsageError, match=words):
                model.evaluate(species, places, **more)


def test_neither_torch_nor_ase_is_imported(library, ethanol_file, repository):
    code = (
        "import sys, numpy, transip_md\n"
        f"model = transip_md.load_model({str(ethanol_file)!r}, device='cpu')\n"
        "model.evaluate(numpy.array([8]), numpy.zeros((1, 3)))\n"
        "assert 'native' in model.runs_by\n"
        "assert not {'torch', 'ase.calculators', 'openmm', 'scipy'} & set(sys.modules), sorted(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_calculator_is_imported_without_torch():
    code = "import sys, transip_md.engines.ase.calculator\nassert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_python_example(library, ethanol_file, repository):
    command = [
        sys.executable, str(repository / "examples" / "library" / "energy.py"), str(ethanol_file),
        str(repository / "examples" / "ethanol.xyz"),
    ]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert "by native kernels" in said.stdout


def exported(folder, **shape):
    """A small untrained model's file."""
    file = folder / "model.pt"
    export(small_checkpoint(**shape), file)
    return file


def test_shapes_that_the_kernels_are_not_made_for_go_to_torch(library, tmp_path, ethanol):
    file = exported(tmp_path, layers=17)
    model = transip_md.load_model(file, device="cpu")
    assert isinstance(model, ExportedModel)
    assert np.isfinite(model.evaluate(ethanol.numbers, ethanol.positions).forces).all()
    with pytest.raises(UsageError, match="no native kernels"):
        transip_md.load_model(file, device="cpu", kernels="native")


@pytest.mark.parametrize("symmetry", [None, "frame", "average 4"])
def test_energies_of_charges(library, tmp_path, ethanol, symmetry):
    checkpoint = small_checkpoint(charge=(-1, 1), charge_energies=True)
    checkpoint.model.charge_energies.copy_(torch.tensor([-3.5, 0.0, 11.25]))
    file = tmp_path / "charged.pt"
    export(checkpoint, file)
    models = [LibraryModel(file), ExportedModel(file, "cpu")]
    if symmetry:
        request = SymmetryRequest.parse(symmetry)
        models = [model.with_symmetry(request, ethanol.numbers, ethanol.positions + 0.05) for model in models]
    for charge in (-1, 0, 1):
        assert_equal(*(model.evaluate(ethanol.numbers, ethanol.positions, charge) for model in models), "float64")


@pytest.mark.parametrize("end", [1.0, 0.7])
@pytest.mark.parametrize("cutoff", [None, 3.0])
def test_repulsion(library, tmp_path, box, cutoff, end):
    """A pair at 0.4 Angstrom, where the repulsion is all."""
    file = exported(tmp_path, short_range="zbl", short_range_end=end, cutoff=cutoff)
    box.positions[1] = box.positions[0] + [0.4, 0.0, 0.0]
    arguments = {"cell": box.cell.array, "periodic": box.pbc} if cutoff else {}
    model = transip_md.load_model(file, device="cpu")
    assert isinstance(model, LibraryModel)
    got = model.evaluate(box.numbers, box.positions, **arguments)
    wanted = ExportedModel(file, "cpu").evaluate(box.numbers, box.positions, **arguments)
    assert np.abs(wanted.forces).max() > 100
    assert np.abs(got.forces - wanted.forces).max() <= 1e-10 * np.abs(wanted.forces).max()
    assert abs(got.energies.sum() - wanted.energies.sum()) <= 1e-10 * abs(wanted.energies.sum())
