"""NVRTC of the wheel nvidia-cuda-nvrtc: compiles CUDA C++ on machines with no GPU and no driver."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

KERNELS = Path(__file__).resolve().parents[2] / "libtransip" / "src" / "cuda" / "kernels"


class CompilationError(Exception):
    """NVRTC does not compile a source; the message is its log."""


@dataclass(frozen=True)
class Usage:
    """What ptxas says of a kernel: registers of a thread, bytes spilled from them."""

    registers: int
    spilled: int


@cache
def path() -> Path | None:
    """The library file of the newest wheel that is installed; None if there is none."""
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations or []) if spec else []
    found = sorted(file for folder in folders for file in Path(folder).glob("*/lib/libnvrtc.so.*"))
    return found[-1] if found else None


@cache
def library() -> ctypes.CDLL | None:
    """That library, loaded."""
    if (file := path()) is None:
        return None
    # NVRTC looks for its built-in functions by name only.
    for builtins in file.parent.glob("libnvrtc-builtins.so.*"):
        ctypes.CDLL(str(builtins))
    loaded = ctypes.CDLL(str(file))
    loaded.nvrtcGetErrorString.restype = ctypes.c_char_p
    return loaded


def _text(program: ctypes.c_void_p, what: str) -> bytes:
    nvrtc = library()
    size = ctypes.c_size_t()
    assert getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)) == 0
    content = ctypes.create_string_buffer(size.value)
    assert getattr(nvrtc, f"nvrtcGet{what}")(program, content) == 0
    return content.raw


def version() -> str:
    """Version of NVRTC, "13.0"."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def compile_kernels(name: str, architecture: str, *definitions: str) -> tuple[bytes, dict[str, Usage]]:
    """Compile a file of the kernels' folder; arguments and results as of `compile_source`."""
    headers = {file.name: file.read_bytes() for file in sorted(KERNELS.iterdir()) if file.suffix in (".h", ".cuh")}
    return compile_source((KERNELS / name).read_text(), name, architecture, *definitions, headers=headers)


def compile_source(
    source: str,
    name: str,
    architecture: str,
    *definitions: str,
    headers: dict[str, bytes] | None = None,
    standard: str = "c++17",
) -> tuple[bytes, dict[str, Usage]]:
    """Compile CUDA C++.

    Args:
        source: the text.
        name: what the log calls it, "step.cu".
        architecture: "sm_90".
        definitions: of the preprocessor, "NAME=VALUE".
        headers: what it includes, by name.
        standard: of C++.

    Returns:
        The cubin, and what each kernel uses.

    Raises:
        CompilationError: it does not compile.
    """
    nvrtc = library()
    headers = headers or {}
    count = len(headers)
    strings = ctypes.c_char_p * count
    program = ctypes.c_void_p()
    created = nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), name.encode(), count,
        strings(*headers.values()), strings(*(header.encode() for header in headers)),
    )  # fmt: skip
    assert created == 0
    options = [f"--gpu-architecture={architecture}", f"--std={standard}", "--ptxas-options=-v"]
    options += [f"-D{definition}" for definition in definitions]
    encoded = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = nvrtc.nvrtcCompileProgram(program, len(options), encoded)
    log = _text(program, "ProgramLog").rstrip(b"\0").decode()
    if failed:
        raise CompilationError(log)
    cubin = _text(program, "CUBIN")
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return cubin, _usage(log)


def _usage(log: str) -> dict[str, Usage]:
    usage: dict[str, Usage] = {}
    name, spilled = "", 0
    for line in log.splitlines():
        if entry := re.search(r"Compiling entry function '(\w+)'", line):
            name = entry[1]
        elif spill := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spilled = int(spill[1]) + int(spill[2])
        elif used := re.search(r"Used (\d+) registers", line):
            usage[name.removeprefix("transip_")] = Usage(int(used[1]), spilled)
    return usage
