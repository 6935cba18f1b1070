"""Committees on a CUDA device that is the emulator: deviations and means against the kernels of the CPU."""

from __future__ import annotations

import ctypes

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from emulated_lammps import TOLERANCE, compare, run_lammps, triclinic_water

from committees import deviations, single_evaluations
from lammps_decks import LMP
from transip_md.evaluators import binding
from transip_md.evaluators.library_model import LibraryModel

DEVIATION = "deviation deviation.out every 2"
#: Deviation files have seven digits.
WRITTEN = 2e-6


@pytest.fixture
def structures() -> dict[str, ase.Atoms]:
    molecule = ase.build.molecule("CH3CH2OH")
    molecule.center(vacuum=5.0)
    return {"water": triclinic_water(), "ethanol": molecule}


@pytest.fixture(scope="module")
def expected(committees, library) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Energies, forces and virials of each model on the CPU, from before any test puts the emulator in its place."""
    molecule = ase.build.molecule("CH3CH2OH")
    return {
        "water": single_evaluations(committees["water"], triclinic_water()),
        "ethanol": single_evaluations(committees["ethanol"], molecule),
    }


@pytest.mark.parametrize(
    ("name", "ranks", "style"),
    [
        ("water", 1, DEVIATION),
        ("water", 2, DEVIATION),
        ("ethanol", 1, DEVIATION),
        ("ethanol", 2, DEVIATION),
        ("water", 1, DEVIATION + " force mean"),
        ("ethanol", 1, DEVIATION + " force mean"),
    ],
)
def test_lammps(build, committees, structures, tmp_path, name, ranks, style):
    if ranks > 1 and not (LMP.parent / "mpiexec").exists():
        pytest.skip("mpiexec of MPICH is not installed")
    files = " ".join(map(str, committees[name]))
    changes = {"steps": 2, "style": style}
    if name == "ethanol":
        changes |= {"boundary": "s s s", "fix": "nve"}
    found = []
    for device, folder, on in (("cpu", "lammps", 1), ("cuda", "emulated", ranks)):
        plugin = build / folder / "transipplugin.so"
        thermo = run_lammps(tmp_path / device, plugin, files, structures[name], device, on, **changes)
        found.append((thermo, np.loadtxt(tmp_path / device / "deviation.out")))
    compare(found[1][0], found[0][0], "float64")
    assert found[1][1][:, 0].tolist() == [0, 2]
    assert np.allclose(found[1][1], found[0][1], rtol=WRITTEN, atol=0)
    output = (tmp_path / "cuda" / "out").read_text()
    assert output.count("weights on cuda") == len(committees[name])
    if name == "water":
        # On one rank the neighbours are found on the device.
        assert ("Total # of neighbors = 0" in output) == (ranks == 1)


def test_lammps_gives_the_deviation_of_each_atom(build, committees, expected, structures, tmp_path):
    after = "fix d all pair 1 transip deviation 1\ndump d all custom 1 d.dump id f_d\n"
    after += "dump_modify d sort id format float %.17g"
    files = " ".join(map(str, committees["water"]))
    run_lammps(
        tmp_path / "cuda", build / "emulated" / "transipplugin.so", files, structures["water"], "cuda", steps=0,
        style=DEVIATION, after=after,
    )  # fmt: skip
    rows = (tmp_path / "cuda" / "d.dump").read_text().splitlines()[9:]
    found = np.array([row.split()[1] for row in rows], dtype=float)
    wanted = np.linalg.norm(expected["water"][1].std(axis=0), axis=1)
    assert np.abs(found - wanted).max() <= 1e-9


def memory_of(model: LibraryModel) -> int:
    """Bytes that a model keeps."""
    return binding.library().transip_memory(model._handle.pointer)


@pytest.mark.parametrize("name", ["water", "ethanol"])
def test_python_and_ase(committees, expected, structures, emulated_library, name):
    from transip_md.engines.ase import CommitteeCalculator
    from transip_md.evaluators.committee import Committee

    energies, forces, virials = expected[name]
    atoms = structures[name]
    committee = Committee(committees[name], device="cuda", kernels="native")
    assert [model.device for model in committee.models] == ["cuda:0"] * len(committees[name])
    box = {"cell": atoms.cell.array, "periodic": atoms.pbc} if atoms.pbc.any() else {}
    found, deviation = committee.evaluate(atoms.numbers, atoms.positions, **box)
    size = np.abs(forces).max()
    for one, wanted in zip(found, forces, strict=True):
        assert np.abs(one.forces - wanted).max() <= TOLERANCE["float64"] * size
    assert np.abs(deviation.forces - forces.std(axis=0)).max() <= TOLERANCE["float64"] * size
    wanted = deviations(energies, forces, virials)
    assert np.allclose([float(number) for number in deviation.line(0).split()[1:]], wanted, rtol=WRITTEN, atol=0)

    # The models share neighbours: they keep them once, and give the bits that each gives alone.
    alone = [LibraryModel(path, 1, "cuda") for path in committees[name]]
    for model, one in zip(alone, found, strict=True):
        assert np.array_equal(model.evaluate(atoms.numbers, atoms.positions, **box).forces, one.forces)
    memory = [sum(map(memory_of, models)) for models in (committee.models, alone)]
    assert memory[0] < memory[1]
    assert alone[1].share_neighbours(alone[0])
    assert not alone[1].share_neighbours(LibraryModel(committees[name][0], 1))
    again = alone[1].evaluate(atoms.numbers, atoms.positions, **box)
    assert np.array_equal(again.forces, found[1].forces)

    atoms.calc = CommitteeCalculator(committees[name], force="mean", device="cuda", kernels="native")
    assert np.abs(atoms.get_forces() - forces.mean(axis=0)).max() <= TOLERANCE["float64"] * size
    assert np.abs(atoms.calc.results["forces_std"] - forces.std(axis=0)).max() <= TOLERANCE["float64"] * size
    assert abs(atoms.calc.results["energy_std"] - energies.std()) <= 1e-9


class _CommitteeResult(ctypes.Structure):
    """transip_committee_result."""

    _fields_ = tuple(
        (name, ctypes.c_void_p) for name in ("energy", "energy_std", "forces", "deviations", "virial", "energies")
    )


def test_c(committees, expected, structures, emulated_library):
    energies, forces, virials = expected["water"]
    atoms = structures["water"]
    library = binding.library()
    handle, paths = ctypes.c_void_p(), [str(path).encode() for path in committees["water"]]
    options = binding.Options(b"cuda", b"native", 1, 0)
    binding.check(
        library.transip_load_committee(
            len(paths), (ctypes.c_char_p * len(paths))(*paths), ctypes.byref(options), ctypes.byref(handle)
        )
    )
    found = {
        "energy": np.empty(1), "energy_std": np.empty(1), "forces": np.empty((len(atoms), 3)),
        "deviations": np.empty(len(atoms)), "virial": np.empty((3, 3)), "energies": np.empty(len(paths)),
    }  # fmt: skip
    numbers, cell = atoms.numbers.astype(np.int64), np.ascontiguousarray(atoms.cell.array)
    arrays = (array.ctypes.data for array in (numbers, atoms.positions, cell))
    structure = binding.Atoms(len(atoms), *arrays, (ctypes.c_int * 3)(1, 1, 1), 0, 1, 0)
    result = _CommitteeResult(*(array.ctypes.data for array in found.values()))
    status = library.transip_evaluate_committee(handle, ctypes.byref(structure), ctypes.byref(result))
    library.transip_free_committee(handle)
    binding.check(status)
    wanted = {
        "energy": energies.mean(), "energy_std": energies.std(), "forces": forces.mean(axis=0),
        "deviations": np.linalg.norm(forces.std(axis=0), axis=1), "virial": virials.mean(axis=0), "energies": energies,
    }  # fmt: skip
    for name, one in wanted.items():
        assert np.abs(found[name] - one).max() <= TOLERANCE["float64"] * max(10.0, np.abs(one).max()), name


def test_openmm_reporter_and_command(committees, expected, structures, emulated_library, transip_md, tmp_path):
    pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")
    from openmm_contexts import simulation_of
    from transip_md.engines.openmm import DeviationReporter

    atoms = structures["ethanol"]
    simulation = simulation_of(atoms, 1e-5)
    reporter = DeviationReporter(
        tmp_path / "reporter.out", 1, committees["ethanol"], simulation.topology, device="cuda", kernels="native"
    )
    simulation.reporters.append(reporter)
    # Without forces the atoms stay where they are.
    simulation.step(1)
    ase.io.write(tmp_path / "frames.xyz", atoms)
    result = transip_md(
        "deviation", *committees["ethanol"], "--frames", tmp_path / "frames.xyz", "-o", tmp_path / "command.out",
        "--device", "cuda", "--kernels", "native",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    wanted = deviations(*expected["ethanol"])
    for file in ("reporter.out", "command.out"):
        # Without a box there is no virial to be reported on.
        assert np.allclose(np.loadtxt(tmp_path / file)[4:], wanted[3:], rtol=1e-5, atol=0), file
