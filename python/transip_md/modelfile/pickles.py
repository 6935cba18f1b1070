"""Pickles of torch archives, looked through and read without running anything that they name."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

from transip_md.common.errors import UsageError

#: Opcodes of pickle's protocol 2 as torch's writer of modules uses them.
_OPCODES = frozenset(
    [
        "PROTO",
        "STOP",
        "MARK",
        "POP",
        "POP_MARK",
        "DUP",
        "GLOBAL",
        "REDUCE",
        "BUILD",
        "BINPERSID",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "NEWOBJ",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINFLOAT",
        "BINUNICODE",
        "BINSTRING",
        "SHORT_BINSTRING",
        "EMPTY_LIST",
        "LIST",
        "APPEND",
        "APPENDS",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "EMPTY_DICT",
        "DICT",
        "SETITEM",
        "SETITEMS",
        "BINGET",
        "LONG_BINGET",
        "BINPUT",
        "LONG_BINPUT",
    ]
)
_OWN = "__torch__."
#: Names of torch's storages that weights may have, and their dtypes.
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


def refused(path: Path | str, what: str) -> UsageError:
    """Error for a file that holds what no export writes."""
    return UsageError(
        f"{path} is refused: {what}, which no model exported by transip-md does. A model file is a program; use only "
        "what comes from people you trust."
    )


def is_known_global(module: str, name: str) -> bool:
    """Whether torch's own writer puts this global into a module's pickle: the file's classes, tensors, lists."""
    if module.startswith(_OWN):
        return not module.startswith("__torch__.torch.classes")
    if module == "torch.jit._pickle":
        return (name.startswith("build_") and name.endswith("list")) or name == "restore_type_tag"
    if module == "torch._utils":
        return name in ("_rebuild_tensor_v2", "_rebuild_parameter")
    if module == "torch":
        return name.endswith("Storage") or name == "device"
    return (module, name) == ("collections", "OrderedDict")


def check_pickle(data: bytes, path: Path | str, entry: str) -> None:
    """Raise UsageError if a pickle holds more than tensors, containers and the file's own classes; nothing is run."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name not in _OPCODES:
                raise refused(path, f"its {entry} has the pickle opcode {ord(opcode.code)}")
            if opcode.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
                if not is_known_global(module, name):
                    raise refused(path, f"its {entry} refers to {module}.{name}")
    except UsageError:
        raise
    except Exception as error:
        raise refused(path, f"its {entry} is broken ({error})") from error


class StoredTensor(NamedTuple):
    """Where a tensor of a module lies.

    Attributes:
        entry: name in the archive.
        dtype: "float64", "float32", ...
        shape: sizes, outermost first.
        whole: the tensor is all of its entry, row-major.
    """

    entry: str
    dtype: str
    shape: tuple[int, ...]
    whole: bool


class _Object:
    """An instance of a class of the file; its attributes as they are stored."""

    def __init__(self, *_: Any) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.attributes = state if isinstance(state, dict) else {}


class _Reader(pickle.Unpickler):
    """Unpickler whose globals are stand-ins: what it makes holds names and sizes, and runs nothing of the file's."""

    def find_class(self, module: str, name: str) -> Any:
        if not is_known_global(module, name):
            raise pickle.UnpicklingError(f"{module}.{name}")
        if module.startswith(_OWN):
            return _Object
        return {
            "_rebuild_tensor_v2": _tensor,
            "_rebuild_parameter": lambda tensor, *_: tensor,
            "OrderedDict": OrderedDict,
            "restore_type_tag": lambda value, _: value,
        }.get(name, _Global(name))

    def persistent_load(self, pid: Any) -> Any:
        _, storage, key, _, size = pid
        return str(storage), str(key), int(size)


class _Global(str):
    """A name that is also called as a function of one argument: lists of numbers."""

    def __call__(self, value: Any = None) -> Any:
        return value


def _tensor(storage: tuple[str, str, int], offset: int, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    name, key, size = storage
    row_major, count = [], 1
    for extent in reversed(shape):
        row_major.insert(0, count)
        count *= extent
    strided = all(a == b for a, b, extent in zip(stride, row_major, shape, strict=True) if extent > 1)
    whole = offset == 0 and count == size and strided
    return StoredTensor(f"data/{key}", STORAGES.get(name, name), tuple(int(n) for n in shape), whole)


def tensors_of(data: bytes) -> dict[str, StoredTensor]:
    """Tensors of a module's ``data.pkl`` by their dotted names.

    Args:
        data: the pickle, which `check_pickle` has let pass.
    """
    found: dict[str, StoredTensor] = {}

    def visit(value: Any, name: str) -> None:
        if isinstance(value, StoredTensor):
            found[name] = value
        elif isinstance(value, _Object):
            for key, inner in value.attributes.items():
                visit(inner, f"{name}.{key}" if name else key)

    visit(_Reader(io.BytesIO(data)).load(), "")
    return found
