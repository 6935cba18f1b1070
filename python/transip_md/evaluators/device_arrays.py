"""Arrays in the memory of a CUDA device, in and out: DLPack and the CUDA Array Interface, without torch, CuPy or JAX.

Layouts: https://dmlc.github.io/dlpack/latest/c_api.html (DLManagedTensor, the form without a version) and
https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html (version 3).
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple, Protocol

from transip_md.common.errors import UsageError

CUDA = 2  # kDLCUDA
CAPSULE = b"dltensor"
#: Codes (kDLInt, kDLFloat) and, in the CUDA Array Interface, names of the types that the library takes; 8 bytes each.
TYPES = {"int64": (0, "<i8"), "float64": (2, "<f8")}
#: Numbers of the default stream, and of the default stream of a thread, in both protocols and for the CUDA driver.
DEFAULT_STREAM, THREAD_STREAM = 1, 2


#: Of an array that is wanted: None is any size.
Shape = tuple[int | None, ...]


class _Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("dimensions", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    """DLManagedTensor."""


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_Managed._fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter))

# Capsules by their addresses: a capsule that is being destroyed must not be counted as an object once more.
_python = ctypes.PyDLL(None)
_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_python.PyCapsule_GetPointer.restype = ctypes.c_void_p
_python.PyCapsule_GetPointer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
_python.PyCapsule_IsValid.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
_python.PyCapsule_New.restype = ctypes.py_object
_python.PyCapsule_New.argtypes = (ctypes.c_void_p, ctypes.c_char_p, _Destructor)


class Memory(Protocol):
    """Memory of a device, which goes back when nothing holds this object.

    Attributes:
        pointer: its address on the device.
    """

    pointer: int


class Borrowed(NamedTuple):
    """An array of somebody else's, as long as this tuple is kept.

    Attributes:
        pointer: its address on the device.
        shape: of it.
        owner: what keeps it.
    """

    pointer: int
    shape: tuple[int, ...]
    owner: object


def borrow(value: Any, name: str, dtype: str, shape: Shape, device: int, stream: int) -> Borrowed:
    """Find an array on a device; by DLPack if the object knows it, else by the CUDA Array Interface.

    Args:
        value: the object.
        name: of the argument, for errors.
        dtype: one of `TYPES` that it must have.
        shape: that it must have; None: any size along that axis.
        device: number of the CUDA device that it must be on, where the object names one.
        stream: number of the CUDA stream in which it will be read.

    Returns:
        Where it is.

    Raises:
        UsageError: no array on a CUDA device, or one of another device, type, shape, order or stream.
    """
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        kind, number = value.__dlpack_device__()
        if kind != CUDA or number != device:
            raise UsageError(
                f"{name} must be on CUDA device {device}; got DLPack device type {int(kind)}, number {number}. "
                f"Move it there, or evaluate arrays of the host by `evaluate`."
            )
        return _of_capsule(value.__dlpack__(stream=stream), name, dtype, shape)
    if hasattr(value, "__cuda_array_interface__"):
        return _of_interface(value, name, dtype, shape, stream)
    raise UsageError(
        f"{name} must be an array on CUDA device {device}, with __dlpack__ or __cuda_array_interface__; got "
        f"{type(value).__name__}. Evaluate arrays of the host by `evaluate`."
    )


def _check_type(name: str, dtype: str, right: bool, found: str) -> None:
    if not right:
        raise UsageError(f"{name} must be {dtype}, got {found}. Convert it.")


def _check_shape(name: str, shape: Shape, found: tuple[int, ...]) -> None:
    if len(found) != len(shape) or any(size not in (None, here) for size, here in zip(shape, found, strict=True)):
        wanted = ", ".join("N" if size is None else str(size) for size in shape)
        raise UsageError(f"{name} must be [{wanted}], got {list(found)}.")


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of an array in row-major order, in elements."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def _check_order(name: str, shape: tuple[int, ...], strides: tuple[int, ...] | None) -> None:
    """Raise UsageError for strides, in elements, of an array that is not contiguous."""
    if strides is None or 0 in shape:
        return
    if any(size > 1 and a != b for size, a, b in zip(shape, strides, _contiguous(shape), strict=True)):
        raise UsageError(f"{name} must be contiguous in row-major order; its strides are {list(strides)}. Copy it.")


def _of_capsule(capsule: object, name: str, dtype: str, shape: Shape) -> Borrowed:
    """The array in a capsule, which keeps it: it is looked into, not taken over."""
    if not _python.PyCapsule_IsValid(id(capsule), CAPSULE):
        raise UsageError(f"{name}: its __dlpack__ gave no capsule named dltensor, as DLPack has it.")
    tensor = _Managed.from_address(_python.PyCapsule_GetPointer(id(capsule), CAPSULE)).tensor
    right = (tensor.code, tensor.bits, tensor.lanes) == (TYPES[dtype][0], 64, 1)
    _check_type(name, dtype, right, f"a type of DLPack code {tensor.code} and {tensor.bits} bits")
    sizes = tuple(tensor.shape[: tensor.dimensions])
    _check_shape(name, shape, sizes)
    _check_order(name, sizes, tuple(tensor.strides[: len(sizes)]) if tensor.strides else None)
    return Borrowed((tensor.data or 0) + tensor.byte_offset, sizes, capsule)


def _of_interface(value: Any, name: str, dtype: str, shape: Shape, stream: int) -> Borrowed:
    found = value.__cuda_array_interface__
    _check_type(name, dtype, found["typestr"] == TYPES[dtype][1], f"type {found['typestr']}")
    sizes = tuple(found["shape"])
    _check_shape(name, shape, sizes)
    strides = found.get("strides")
    _check_order(name, sizes, None if strides is None else tuple(step // 8 for step in strides))
    written_in = found.get("stream")
    if written_in is not None and written_in != stream:
        raise UsageError(
            f"{name} is written in CUDA stream {written_in} and would be read in stream {stream}: give "
            f"stream={written_in}."
        )
    return Borrowed(found["data"][0], sizes, value)


#: What capsules hold, by the address of their DLManagedTensor, until their arrays are given back.
_lent: dict[int, tuple[object, ...]] = {}


def _give_back(address: int) -> None:
    _lent.pop(address, None)


def _destroy(capsule: int) -> None:
    # The capsule of an array that somebody has taken over has another name.
    if _python.PyCapsule_IsValid(capsule, CAPSULE):
        _give_back(_python.PyCapsule_GetPointer(capsule, CAPSULE))


#: As C calls them; they live as long as the module.
_deleter, _destructor = _Deleter(_give_back), _Destructor(_destroy)


class DeviceArray:
    """Numbers on a CUDA device, which `torch.from_dlpack`, `cupy.asarray`, `jax.dlpack.from_dlpack` and others take.

    They are there when it is made, so that any stream may read them.

    Attributes:
        shape: of the array, row-major.
        dtype: "float64".
        device: number of the CUDA device.
        pointer: address on the device.
    """

    dtype = "float64"

    def __init__(self, memory: Memory, offset: int, shape: tuple[int, ...], device: int) -> None:
        """Name a part of the memory.

        Args:
            memory: kept as long as the array or what was made of it.
            offset: bytes at which the array begins.
            shape: of the array.
            device: number of the CUDA device.
        """
        self._memory = memory
        self.pointer = memory.pointer + offset
        self.shape = shape
        self.device = device

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """The CUDA Array Interface, version 3."""
        return {
            "shape": self.shape,
            "typestr": TYPES[self.dtype][1],
            "data": (self.pointer, False),
            "version": 3,
            "strides": None,
            "stream": None,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        """The kind of device, kDLCUDA, and its number."""
        return CUDA, self.device

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        """A capsule of this array.

        Args:
            stream: in which it will be read; any will do.
            max_version: of DLPack that the caller knows; the capsule is of the form without a version.
            dl_device: must be this array's own, if it is given.
            copy: must not be True.

        Raises:
            BufferError: a copy or another device is asked for.
        """
        if copy or (dl_device is not None and tuple(dl_device) != self.__dlpack_device__()):
            raise BufferError("The array is handed on where it is, without a copy.")
        sizes = (ctypes.c_int64 * max(1, len(self.shape)))(*self.shape)
        managed = _Managed()
        managed.tensor = _Tensor(
            self.pointer, CUDA, self.device, len(self.shape), TYPES[self.dtype][0], 64, 1, sizes, None, 0
        )
        managed.deleter = _deleter
        address = ctypes.addressof(managed)
        _lent[address] = (managed, sizes, self._memory)
        return _python.PyCapsule_New(address, CAPSULE, _destructor)
