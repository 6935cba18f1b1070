"""Arrays on a CUDA device, which is the emulator: what other libraries hand in, and what they are handed."""

from __future__ import annotations

import ctypes
import gc
import shutil
import subprocess
from collections.abc import Iterator

import ase.build
import numpy as np
import pytest
from emulated_lammps import TOLERANCE, triclinic_water

from transip_md.common.errors import UsageError
from transip_md.evaluators import binding, device_arrays
from transip_md.evaluators.device_arrays import CUDA, DeviceArray


class ByInterface:
    """Numbers of the host as an array on the emulated device, whose memory is the host's."""

    def __init__(self, numbers: np.ndarray, **changes: object) -> None:
        self.numbers = numbers
        self.changes = changes

    @property
    def __cuda_array_interface__(self) -> dict[str, object]:
        contiguous = self.numbers.flags.c_contiguous
        return {
            "shape": self.numbers.shape,
            "typestr": self.numbers.dtype.str,
            "data": (self.numbers.ctypes.data, True),
            "version": 3,
            "strides": None if contiguous else self.numbers.strides,
            "stream": None,
        } | self.changes


class ByCapsule:
    """The same by numpy's own capsule, which names another device."""

    def __init__(self, numbers: np.ndarray, device: tuple[int, int] = (CUDA, 0)) -> None:
        self.numbers = numbers
        self.device = device
        self.streams: list[int] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, stream: int) -> object:
        self.streams.append(stream)
        return self.numbers.__dlpack__()


def numbers_in(array: DeviceArray) -> np.ndarray:
    """What an array on the emulated device holds, through the capsule that it hands out."""
    found = device_arrays.borrow(array, "array", array.dtype, array.shape, 0, 1)
    return np.array((ctypes.c_double * int(np.prod(array.shape))).from_address(found.pointer)).reshape(array.shape)


@pytest.fixture
def lent() -> Iterator[None]:
    """Nothing is lent any more behind a test."""
    yield
    gc.collect()
    assert device_arrays._lent == {}


@pytest.mark.parametrize("wrap", [ByInterface, ByCapsule])
@pytest.mark.parametrize("name", ["water", "ethanol"])
def test_structures(emulated_library, models, lent, name, wrap):
    import transip_md
    from transip_md.evaluators.library_model import LibraryModel

    atoms = triclinic_water() if name == "water" else ase.build.molecule("CH3CH2OH")
    box = {"cell": atoms.cell.array, "periodic": atoms.pbc} if atoms.pbc.any() else {}
    on_device = {"cell": wrap(atoms.cell.array), "periodic": atoms.pbc} if box else {}
    wanted = LibraryModel(models[name, "float64"], 1).evaluate(atoms.numbers, atoms.positions, **box, virials=True)
    model = transip_md.load_model(models[name, "float64"], device="cuda", kernels="native")
    for shift in (0.0, 0.3):
        positions = atoms.positions + shift
        numbers, places = wrap(atoms.numbers.astype(np.int64)), wrap(positions)
        found = model.evaluate_on_device(numbers, places, **on_device, virials=True)
        for field in ("energies", "forces", "virial", "virials"):
            got, right = numbers_in(getattr(found, field)), getattr(wanted, field)
            assert np.abs(got - right).max() <= TOLERANCE["float64"] * max(10.0, np.abs(right).max()), field
        if wrap is ByCapsule:
            assert places.streams == [1]
    assert model.evaluate(atoms.numbers, atoms.positions, **box).forces == pytest.approx(wanted.forces, abs=1e-9)
    held = binding.library().transip_memory(model._handle.pointer)
    del found
    gc.collect()
    # The arrays were memory of the model's.
    assert held - binding.library().transip_memory(model._handle.pointer) == 8 * (13 * len(atoms) + 10)
    assert model.evaluate_on_device(numbers, places, **on_device).virials is None


def test_several_structures(emulated_library, models, lent):
    """Each has the numbers that it has alone, bit by bit."""
    import transip_md

    water = triclinic_water()
    boxes = [water, water[:6], water[3:]]
    boxes[2].cell *= 1.1
    model = transip_md.load_model(models["water", "float64"], device="cuda", kernels="native")
    cells = np.array([atoms.cell.array for atoms in boxes])
    arrays = {
        "counts": [len(atoms) for atoms in boxes],
        "numbers": ByInterface(np.concatenate([atoms.numbers for atoms in boxes]).astype(np.int64)),
        "positions": ByInterface(np.concatenate([atoms.positions for atoms in boxes])),
    }
    found = model.evaluate_many_on_device(**arrays, cells=ByInterface(cells), periodic=water.pbc, virials=True)
    energies, virial = numbers_in(found.structure_energies), numbers_in(found.virial)
    assert energies.shape == (3,) and virial.shape == (3, 3, 3)
    start = 0
    for index, atoms in enumerate(boxes):
        one = model.evaluate_on_device(
            ByInterface(atoms.numbers.astype(np.int64)), ByInterface(atoms.positions), cell=ByInterface(cells[index]),
            periodic=water.pbc, virials=True,
        )  # fmt: skip
        for field in ("energies", "forces", "virials"):
            part = numbers_in(getattr(found, field))[start : start + len(atoms)]
            assert np.array_equal(part, numbers_in(getattr(one, field))), field
        assert np.array_equal(virial[index], numbers_in(one.virial))
        assert abs(energies[index] - numbers_in(one.energies).sum()) <= 1e-9
        start += len(atoms)
    for counts, message in (([9, 6, 5], "20 atoms in all, and their arrays 21"), ([9, 13, -1], "atoms .*-1")):
        with pytest.raises(UsageError, match=message):
            model.evaluate_many_on_device(**arrays | {"counts": counts}, cells=ByInterface(cells), periodic=water.pbc)
    same = boxes[1].positions.copy()
    same[2] = same[0]
    arrays["positions"] = ByInterface(np.concatenate([boxes[0].positions, same, boxes[2].positions]))
    with pytest.raises(UsageError, match=r"Two atoms are at one position.*in structure 1 .* for atom [02] "):
        model.evaluate_many_on_device(**arrays, cells=ByInterface(cells), periodic=water.pbc)
    molecules = transip_md.load_model(models["ethanol", "float64"], device="cuda", kernels="native")
    with pytest.raises(UsageError, match="attends all-to-all"):
        molecules.evaluate_many_on_device(**arrays)


def test_arrays_out_are_taken_over(emulated_library, models, lent):
    """A consumer that keeps the capsule's array frees it by its deleter, and the memory lives until then."""
    from transip_md.evaluators.library_model import LibraryModel

    atoms = ase.build.molecule("CH3CH2OH")
    model = LibraryModel(models["ethanol", "float64"], 1, "cuda")
    found = model.evaluate_on_device(ByInterface(atoms.numbers.astype(np.int64)), ByInterface(atoms.positions))
    wanted, interface = numbers_in(found.forces), found.forces.__cuda_array_interface__
    assert interface["data"] == (found.forces.pointer, False) and interface["typestr"] == "<f8"
    assert found.forces.__dlpack_device__() == (CUDA, 0)
    capsule = found.forces.__dlpack__(stream=7, max_version=(1, 0))
    managed = device_arrays._Managed.from_address(device_arrays._python.PyCapsule_GetPointer(id(capsule), b"dltensor"))
    # As consumers do.
    name = ctypes.create_string_buffer(b"used_dltensor")
    device_arrays._python.PyCapsule_SetName.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    device_arrays._python.PyCapsule_SetName(id(capsule), name)
    del found, capsule
    gc.collect()
    assert len(device_arrays._lent) == 1
    kept = np.array((ctypes.c_double * wanted.size).from_address(managed.tensor.data))
    assert np.array_equal(kept, wanted.ravel())
    managed.deleter(ctypes.addressof(managed))
    assert device_arrays._lent == {}


def test_what_is_refused(emulated_library, models, lent):
    from transip_md.evaluators.library_model import LibraryModel

    atoms = triclinic_water()
    model = LibraryModel(models["water", "float64"], 1, "cuda")
    numbers, positions, cell = atoms.numbers.astype(np.int64), atoms.positions, atoms.cell.array

    arguments = {
        "numbers": ByInterface(numbers), "positions": ByInterface(positions), "cell": ByInterface(cell),
        "periodic": (True, True, True),
    }  # fmt: skip

    def refused(match: str, by: LibraryModel = model, **changes: object) -> None:
        with pytest.raises(UsageError, match=match):
            by.evaluate_on_device(**arguments | changes)

    elsewhere = "positions must be on CUDA device 0; got DLPack device type"
    refused("positions must be an array on CUDA device 0.*got list", positions=[[0.0, 0.0, 0.0]])
    refused(f"{elsewhere} 1, number 0", positions=ByCapsule(positions, (1, 0)))
    refused(f"{elsewhere} 2, number 1", positions=ByCapsule(positions, (CUDA, 1)))
    refused("positions must be float64, got type <f4", positions=ByInterface(positions.astype(np.float32)))
    short = ByCapsule(numbers.astype(np.int32))
    refused("numbers must be int64, got a type of DLPack code 0 and 32 bits", numbers=short)
    refused(r"positions must be \[N, 3\], got \[27\]", positions=ByInterface(positions.ravel()))
    refused(r"numbers must be \[9\], got \[8\]", numbers=ByInterface(numbers[:8].copy()))
    refused("positions must be contiguous", positions=ByInterface(np.asfortranarray(positions)))
    refused("positions must be contiguous", positions=ByCapsule(np.asfortranarray(positions)))
    refused("written in CUDA stream 5 .* stream=5", positions=ByInterface(positions, stream=5))
    refused("does not know atomic number 92", numbers=ByInterface(np.full(9, 92)))
    refused("cell of a periodic structure", cell=None)
    refused("The model knows charge", charge=3)
    together = positions.copy()
    together[3] = together[5]
    refused(r"Two atoms are at one position.* for atom [35] ", positions=ByInterface(together))
    refused("runs on the CPU", by=LibraryModel(models["water", "float64"], 1))
    with pytest.raises(BufferError):
        model.evaluate_on_device(**arguments).forces.__dlpack__(copy=True)


def test_c(build, models, repository, library, tmp_path):
    from transip_md.evaluators.library_model import LibraryModel

    program, emulated = tmp_path / "device_arrays", build / "emulated" / "libtransip.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler (apt install gcc)")
    command = [
        compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{repository / 'libtransip' / 'include'}",
        str(repository / "tests" / "cuda" / "device_arrays.c"), str(emulated), f"-Wl,-rpath,{emulated.parent}",
        "-o", str(program),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    result = subprocess.run([program, models["water", "float64"]], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = np.array(result.stdout.split(), dtype=float)
    positions = [[0.0, 0.0, 0.0], [0.96, 0.1, 0.0], [-0.2, 0.93, 0.1]]
    wanted = LibraryModel(models["water", "float64"], 1).evaluate(
        np.array([8, 1, 1]), np.array(positions), cell=triclinic_water().cell.array, periodic=np.ones(3, dtype=bool)
    )
    numbers = np.concatenate([[wanted.energies.sum()], wanted.energies, wanted.forces.ravel(), wanted.virial.ravel()])
    assert np.abs(found - numbers).max() <= TOLERANCE["float64"] * np.abs(numbers).max()
