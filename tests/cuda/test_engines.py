"""Engines with ``kernels native`` on a CUDA device that is the emulator, against the kernels of the CPU."""

from __future__ import annotations

import pickle
import subprocess

import ase
import ase.build
import numpy as np
import pytest
from emulated_lammps import TOLERANCE, compare, run_lammps, triclinic_water

from lammps_decks import LMP


def test_lammps_on_one_rank_asks_for_no_list(build, models, tmp_path):
    model = models["water", "float64"]
    atoms = triclinic_water()
    wanted = run_lammps(tmp_path / "cpu", build / "lammps" / "transipplugin.so", model, atoms, "cpu")
    got = run_lammps(tmp_path / "cuda", build / "emulated" / "transipplugin.so", model, atoms, "cuda")
    compare(got, wanted, "float64")
    output = (tmp_path / "cuda" / "out").read_text()
    assert "weights on cuda:0, native CUDA kernels (emulated on the CPU)" in output
    assert "Total # of neighbors = 0" in output


@pytest.fixture
def cuda_aware_mpi(tmp_path):
    """An environment in which MPI says that it is CUDA-aware. It is: emulated devices have the host's memory."""
    source, library = tmp_path / "aware.c", tmp_path / "aware.so"
    source.write_text("int MPIX_Query_cuda_support(void) { return 1; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library], check=True)
    return {"LD_PRELOAD": str(library)}


@pytest.mark.parametrize("aware", [False, True], ids=["by way of the host", "CUDA-aware MPI"])
def test_lammps_on_two_ranks_exchanges_the_halo(build, models, tmp_path, cuda_aware_mpi, aware):
    if not (LMP.parent / "mpiexec").exists():
        pytest.skip("mpiexec of MPICH is not installed")
    model = models["water", "float32"]
    atoms = triclinic_water()
    wanted = run_lammps(tmp_path / "cpu", build / "lammps" / "transipplugin.so", model, atoms, "cpu", steps=1)
    got = run_lammps(
        tmp_path / "cuda", build / "emulated" / "transipplugin.so", model, atoms, "cuda", 2,
        cuda_aware_mpi if aware else {}, steps=1,
    )  # fmt: skip
    compare(got, wanted, "float32")
    said = "by CUDA-aware MPI" if aware else "by way of the host, MPI is not CUDA-aware"
    assert f"halo atoms: from device to device {said}" in (tmp_path / "cuda" / "out").read_text()


@pytest.mark.parametrize("ranks", [1, 2])
def test_lammps_gives_virials_of_atoms(build, models, tmp_path, ranks):
    if ranks > 1 and not (LMP.parent / "mpiexec").exists():
        pytest.skip("mpiexec of MPICH is not installed")
    after = "compute s all stress/atom NULL pair\ncompute c all centroid/stress/atom NULL pair\n"
    after += "dump d all custom 1 d.dump id c_s[*] c_c[*]\ndump_modify d sort id format float %.17g"
    rows = []
    for device, folder, on in (("cpu", "lammps", 1), ("cuda", "emulated", ranks)):
        plugin = build / folder / "transipplugin.so"
        run_lammps(
            tmp_path / device, plugin, models["water", "float64"], triclinic_water(), device, on, steps=0, after=after
        )
        rows.append(np.loadtxt(tmp_path / device / "d.dump", skiprows=9))
    assert rows[0].shape == (9, 16)
    assert np.abs(rows[1] - rows[0]).max() <= TOLERANCE["float64"] * np.abs(rows[0]).max()


def test_ase_gives_stresses(emulated_library, models):
    from transip_md.engines.ase import TransIPCalculator

    found = []
    for device in ("cpu", "cuda"):
        atoms = triclinic_water()
        atoms.calc = TransIPCalculator(models["water", "float64"], device=device, kernels="native")
        found.append(atoms.get_stresses(voigt=True))
    assert np.abs(found[1] - found[0]).max() <= TOLERANCE["float64"] * np.abs(found[0]).max()


def test_lammps_with_a_molecule(build, models, tmp_path):
    atoms = ase.build.molecule("CH3CH2OH")
    atoms.center(vacuum=5.0)
    changes = {"boundary": "s s s", "fix": "nve", "steps": 1}
    runs = [
        run_lammps(tmp_path / device, build / folder / "transipplugin.so", models["ethanol", "float64"], atoms, device,
                **changes)
        for device, folder in (("cpu", "lammps"), ("cuda", "emulated"))
    ]  # fmt: skip
    compare(runs[1], runs[0], "float64")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_python(emulated_library, models, dtype):
    import transip_md
    from transip_md.evaluators.library_model import LibraryModel

    atoms = triclinic_water()
    arguments = {"cell": atoms.cell.array, "periodic": atoms.pbc}
    model = transip_md.load_model(models["water", dtype], device="cuda", kernels="native")
    assert model.device == "cuda:0" and "native CUDA kernels" in model.runs_by
    wanted = LibraryModel(models["water", dtype], 1).evaluate(atoms.numbers, atoms.positions, **arguments, virials=True)
    for virials in (False, True):
        got = model.evaluate(atoms.numbers, atoms.positions, **arguments, virials=virials)
        for name in ("energies", "forces", "virial") + ("virials",) * virials:
            a, b = getattr(got, name), getattr(wanted, name)
            # Energies beside those that the elements have by themselves are of the order of 1 eV.
            size = np.abs(b).max() if name != "energies" else 10.0
            assert np.abs(a - b).max() <= TOLERANCE[dtype] * max(1.0, size)


def test_the_reference_is_searched_on_the_device(emulated_library, models, tmp_path):
    """A reference without lists agrees where the device finds the neighbours, and nowhere else."""
    from hostile.model_files import with_json
    from transip_md.common.errors import CheckFailedError
    from transip_md.evaluators.library_model import LibraryModel
    from transip_md.modelfile.metadata import REFERENCE_NAME

    def without_lists(values: dict) -> None:
        values["neighbours"] = [-1] * len(values["neighbours"])

    def other_forces(values: dict) -> None:
        values["states"][0]["forces"][4] += 0.5

    for dtype in ("float64", "float32"):
        assert LibraryModel(models["water", dtype], 1, "cuda").check_reference()
    file = with_json(models["water", "float64"], tmp_path / "lists.pt", REFERENCE_NAME, without_lists)
    assert LibraryModel(file, 1, "cuda").check_reference()
    with pytest.raises(CheckFailedError, match="does not give the numbers here"):
        LibraryModel(file, 1).check_reference()
    file = with_json(models["water", "float64"], tmp_path / "forces.pt", REFERENCE_NAME, other_forces)
    with pytest.raises(CheckFailedError, match=r"forces by 0\.5 eV/A"):
        LibraryModel(file, 1, "cuda").check_reference()


def test_memory_on_the_device_is_counted(emulated_library, models):
    from transip_md.evaluators import binding
    from transip_md.evaluators.library_model import LibraryModel

    atoms = triclinic_water()
    on_cpu, on_device = (LibraryModel(models["water", "float64"], 1, device) for device in ("cpu", "cuda"))
    sizes = []
    for repeats in ((1, 1, 1), (2, 2, 1)):
        larger = atoms.repeat(repeats)
        on_device.evaluate(larger.numbers, larger.positions, cell=larger.cell.array, periodic=larger.pbc)
        sizes.append(binding.library().transip_memory(on_device._handle.pointer))
    weights = binding.library().transip_memory(on_cpu._handle.pointer)
    # Weights and arrays: keys, values and phases alone are 9 x 64 numbers a row and atom.
    assert sizes[0] > weights + 8 * 9 * 64 * len(atoms)
    assert sizes[1] > sizes[0] + 8 * 9 * 64 * 3 * len(atoms)


def test_python_of_a_molecule_and_errors(emulated_library, models):
    from transip_md.common.errors import UsageError
    from transip_md.evaluators.library_model import LibraryModel

    atoms = ase.build.molecule("CH3CH2OH")
    model = LibraryModel(models["ethanol", "float64"], 1, "cuda")
    again = pickle.loads(pickle.dumps(model))
    assert again.device == "cuda:0"
    wanted = LibraryModel(models["ethanol", "float64"], 1).evaluate(atoms.numbers, atoms.positions, virials=True)
    got = again.evaluate(atoms.numbers, atoms.positions, virials=True)
    assert np.abs(got.forces - wanted.forces).max() <= TOLERANCE["float64"] * np.abs(wanted.forces).max()
    assert np.abs(got.virials - wanted.virials).max() <= TOLERANCE["float64"] * np.abs(wanted.virials).max()
    atoms.positions[3] = atoms.positions[5]
    with pytest.raises(UsageError, match=r"Two atoms are at one position.* for atom [35] "):
        again.evaluate(atoms.numbers, atoms.positions)
    with pytest.raises(UsageError, match="device 'cuda:7' was asked for"):
        LibraryModel(models["ethanol", "float64"], 1, "cuda:7")
