"""torch-sim with tensors on a CUDA device that is the emulator: what stays on the device, and the numbers."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any, ClassVar

import ase.build
import numpy as np
import pytest
import torch
from emulated_lammps import TOLERANCE, triclinic_water

from transip_md.common.errors import UsageError
from transip_md.evaluators import device_arrays
from transip_md.evaluators.device_arrays import CUDA

pytest.importorskip("torch_sim", reason="torch-sim is not installed (pip install 'transip-md[torchsim]')")

from transip_md.engines.torch_sim import TransIPModel

STREAM = 7


class OnDevice(torch.Tensor):
    """A tensor of the host that says it is on the emulated device, whose memory is the host's."""

    is_cuda = True
    #: Shapes of what was copied to the host.
    copied: ClassVar[list[tuple[int, ...]]] = []

    @property
    def device(self) -> torch.device:
        # The number is that of the emulated device, and torch takes it.
        return torch.device("cpu", 0)

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA, 0

    def __dlpack__(self, stream: int) -> object:
        assert stream == STREAM
        return self.as_subclass(torch.Tensor).__dlpack__()

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.tolist):
            cls.copied.append(tuple(args[0].shape))
        return super().__torch_function__(function, types, args, kwargs or {})


def on_device(array: np.ndarray) -> OnDevice:
    return torch.from_numpy(np.array(array)).as_subclass(OnDevice)


def from_device(array: device_arrays.DeviceArray) -> OnDevice:
    """What torch.from_dlpack gives where torch knows CUDA."""
    found = device_arrays.borrow(array, "array", array.dtype, array.shape, 0, 1)
    numbers = (ctypes.c_double * int(np.prod(array.shape))).from_address(found.pointer)
    return on_device(np.array(numbers).reshape(array.shape))


@pytest.fixture(autouse=True)
def torch_with_cuda(monkeypatch):
    monkeypatch.setattr(OnDevice, "copied", [])
    monkeypatch.setattr(torch, "from_dlpack", from_device)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=STREAM))


def state_of(structures: list[ase.Atoms], dtype: type = np.float64) -> dict[str, Any]:
    system = np.repeat(np.arange(len(structures)), [len(atoms) for atoms in structures])
    return {
        "positions": on_device(np.concatenate([atoms.positions for atoms in structures]).astype(dtype)),
        "atomic_numbers": on_device(np.concatenate([atoms.numbers for atoms in structures])),
        "system_idx": on_device(system),
        "cell": on_device(np.array([atoms.cell.array.T for atoms in structures], dtype=dtype)),
        "pbc": torch.from_numpy(structures[0].pbc),
    }


def compare(found: dict[str, torch.Tensor], structures: list[ase.Atoms], path, scale: float = 1.0) -> None:
    """Compare results with evaluations one by one by the kernels of the CPU."""
    from transip_md.evaluators.library_model import LibraryModel

    model, start = LibraryModel(path, 1), 0
    assert all(isinstance(tensor, OnDevice) for tensor in found.values())
    for index, atoms in enumerate(structures):
        box = {"cell": atoms.cell.array, "periodic": atoms.pbc} if atoms.pbc.any() else {}
        wanted = model.evaluate(atoms.numbers, atoms.positions, **box)
        numbers = {"energy": (found["energy"][index], wanted.energies.sum())}
        numbers["forces"] = (found["forces"][start : start + len(atoms)], wanted.forces)
        if box:
            stress = -0.5 * (wanted.virial + wanted.virial.T) / atoms.get_volume()
            numbers["stress"] = (found["stress"][index], stress)
        for name, (got, right) in numbers.items():
            difference = np.abs(np.asarray(got.as_subclass(torch.Tensor)) - right).max()
            assert difference <= scale * TOLERANCE["float64"] * max(10.0, np.abs(right).max()), name
        start += len(atoms)


def test_boxes_stay_on_the_device(emulated_library, models):
    boxes = [triclinic_water(), triclinic_water()[:6], triclinic_water()]
    boxes[2].positions[0] += 0.1
    model = TransIPModel(models["water", "float64"], device="cuda", kernels="native")
    for structures in (boxes, boxes[:1]):
        found = model(state_of(structures))
        assert OnDevice.copied == []
        compare(found, structures, models["water", "float64"])


def test_a_molecule_stays_on_the_device(emulated_library, models):
    model = TransIPModel(models["ethanol", "float64"], device="cuda", kernels="native")
    molecule = ase.build.molecule("CH3CH2OH")
    found = model(state_of([molecule]))
    assert OnDevice.copied == []
    assert set(found) == {"energy", "forces"}
    compare(found, [molecule], models["ethanol", "float64"])
    # Results have the dtype of the state, whose positions are rounded.
    assert model(state_of([molecule], np.float32))["forces"].dtype == torch.float32


def test_by_way_of_the_host(emulated_library, models):
    """Several molecules of a model without a cutoff are one step; a symmetry wants the host."""
    molecules = [ase.build.molecule(name) for name in ("CH3CH2OH", "CH3OCH3")]
    model = TransIPModel(models["ethanol", "float64"], device="cuda", kernels="native")
    found = {name: tensor.as_subclass(OnDevice) for name, tensor in model(state_of(molecules)).items()}
    assert (18, 3) in OnDevice.copied
    compare(found, molecules, models["ethanol", "float64"])
    OnDevice.copied.clear()
    symmetric = TransIPModel(models["ethanol", "float64"], device="cuda", kernels="native", symmetry="average 12")
    symmetric(state_of(molecules[:1]))
    assert (9, 3) in OnDevice.copied


def test_what_is_refused(emulated_library, models):
    model = TransIPModel(models["water", "float64"], device="cuda", kernels="native")
    boxes = [triclinic_water(), triclinic_water()]
    boxes[1].numbers[0] = 92
    with pytest.raises(UsageError, match=r"Structure 1 \(counted from 0\): .*does not know atomic number 92"):
        model(state_of(boxes))
    with pytest.raises(UsageError, match="attends all-to-all"):
        TransIPModel(models["ethanol", "float64"], device="cuda", kernels="native")(state_of(boxes[:1]))
