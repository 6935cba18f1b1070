"""What a TorchScript file may contain: it is looked through before anything in it runs.

TorchScript is a language that reads and writes files, so a model file is a program. The twin of
libtransip_torch/src/script_guard.cpp.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from transip_md.modelfile.archive import Archive
from transip_md.modelfile.operators import ALLOWED_OPERATORS
from transip_md.modelfile.pickles import check_pickle, refused

_PICKLES = ("data.pkl", "constants.pkl")
_MOST_ITERATIONS = 1000000
#: Functions of our exports that search, by loops which end when they have found; evaluations must not call them.
_SEARCHING = ("make_frame", "rotation_set")


def load_script(content: bytes, path: Path | str, device: torch.device) -> torch.jit.ScriptModule:
    """Load TorchScript whose operators and pickles are on the lists; nothing of it has run when this returns.

    Args:
        content: the archive.
        path: named in errors.
        device: for the weights.

    Raises:
        UsageError: damaged, or refused: the operator, class or opcode is named.
        RuntimeError: torch cannot load it.
    """
    check_before_unpickling(Archive(path, content), path)
    # As torch.jit.load does, but with the compilation unit in hand: it has the functions of all classes, of hooks too.
    unit = torch._C.CompilationUnit()
    module = torch._C.import_ir_module_from_buffer(unit, content, device, {}, False)
    for function in unit.get_functions():
        _check_block(function.graph, function.name, path)
    return torch.jit._recursive.wrap_cpp_module(module)


def check_before_unpickling(archive: Archive, path: Path | str) -> None:
    """Look through an archive before torch unpickles it.

    In its pickles are only tensors, containers and the file's own classes, and no class runs code when it is unpickled.

    Raises:
        UsageError: an entry is damaged, or there is more.
    """
    archive.check_contents()
    for name in archive.entries:
        if name.startswith("code/") and not name.endswith(".debug_pkl") and b"__setstate__" in archive.read(name):
            raise refused(path, f"its class in {name} runs code when it is unpickled (__setstate__)")
    for name in _PICKLES:
        if name in archive:
            check_pickle(archive.read(name), path, name)


def _check_block(block: Any, function: str, path: Path | str) -> None:
    for node in block.nodes():
        kind = node.kind()
        if kind not in ALLOWED_OPERATORS:
            raise refused(path, f"its TorchScript uses the operator {kind}")
        if kind == "prim::Loop" and function not in _SEARCHING:
            count = next(iter(node.inputs())).toIValue()
            if isinstance(count, int) and count > _MOST_ITERATIONS:
                raise refused(path, f"its TorchScript has a loop without a bound in {function}")
        if kind == "prim::CallMethod" and node.s("name") in _SEARCHING:
            raise refused(path, f"its TorchScript calls {node.s('name')} in {function}")
        for inner in node.blocks():
            _check_block(inner, function, path)
