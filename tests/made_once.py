"""Folders that take minutes to make: made by the first test process that wants one, and kept for later runs if asked.

The environment variable TRANSIP_MD_TEST_BUILD names the folder that is kept; `make test` sets it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock

from transip_md.common.trusted_paths import why_untrusted
from transip_md.plugins.build import find_tool

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "python" / "transip_md"
#: Parts of the package that use model files and say nothing of how one is compiled.
UNINVOLVED = {
    "bench", "cli", "dynamics", "engines", "importing", "plugins", "reports", "sampling", "shipped", "training",
    "validation",
}  # fmt: skip


def _shared_folder(tmp_path_factory) -> Path:
    """The folder that is kept, unless others may write it (it holds machine code), or the one of this run."""
    if kept := os.environ.get("TRANSIP_MD_TEST_BUILD"):
        folder = Path(kept).resolve()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if why_untrusted(folder / "code.so") is None:
            return folder
    base = tmp_path_factory.getbasetemp()
    # Processes of pytest-xdist have folders of their own in one.
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def made_once(tmp_path_factory, name: str, key: str, make: Callable[[Path], None]) -> Path:
    """A copy, for this process, of a folder that `make` fills; another `key` has it made anew, in place of the old."""
    place = _shared_folder(tmp_path_factory)
    folder = place / f"{name}-{key}"
    with FileLock(place / f"{name}.lock"):
        if not folder.is_dir():
            for old in place.glob(f"{name}-*"):
                shutil.rmtree(old)
            unfinished = place / f"{name}-unfinished"
            unfinished.mkdir(mode=0o700)
            make(unfinished)
            unfinished.rename(folder)
        # Another run, of other sources, may take the folder away.
        return shutil.copytree(folder, tmp_path_factory.mktemp(name) / name)


def compiler_key(shape: dict[str, object]) -> str:
    """Hash of what a compiled model file depends on: the model's shape, sources, torch, Python and processor."""
    digest = hashlib.sha256()
    for part in (sorted(shape.items()), torch.__version__, sys.version, torch.backends.cpu.get_cpu_capability()):
        digest.update(repr(part).encode())
    sources = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in UNINVOLVED]
    for path in [*sorted(sources), REPOSITORY / "tests" / "networks.py"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def build_example(source: Path, build: Path, *prefixes: Path | str) -> None:
    """Build an example by its own CMakeLists.txt, against what is installed under the prefixes."""
    cmake = str(find_tool("cmake"))
    found = f"-DCMAKE_PREFIX_PATH={';'.join(map(str, prefixes))}"
    for command in ([cmake, "-S", str(source), "-B", str(build), found], [cmake, "--build", str(build)]):
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


def built_by_cmake(tmp_path_factory, target: str = "all") -> Path:
    """A folder with everything built by plain cmake, the C++ tests too; what changed is built.

    `make build` compiles the plugins in the same folder. Warnings are errors, unless it was configured without.

    Args:
        tmp_path_factory: pytest's.
        target: "all", or what is left out of it: "cuda_tests".

    Returns:
        The folder of the build.
    """
    return _built_in(_shared_folder(tmp_path_factory), target)


@cache
def _built_in(place: Path, target: str) -> Path:
    """The same in a folder for builds, once in a process."""
    folder = place / "cmake"
    parts = [f"-DTRANSIP_{part}={value}" for part, value in (
        ("LAMMPS", "AUTO"), ("OPENMM", "AUTO"), ("TORCH", "AUTO"), ("LIBRARY", "ON"), ("TESTS", "ON")
    )]  # fmt: skip
    configure = [
        str(find_tool("cmake")), "-S", str(REPOSITORY), "-B", str(folder), "-G", "Ninja", *parts,
        f"-DCMAKE_MAKE_PROGRAM={find_tool('ninja')}", f"-DPython3_EXECUTABLE={sys.executable}",
    ]  # fmt: skip
    environment = {"CXXFLAGS": "-Werror", **os.environ}
    with FileLock(place / "cmake.lock"):
        for command in (configure, [str(find_tool("cmake")), "--build", str(folder), "--target", target]):
            result = subprocess.run(command, capture_output=True, text=True, env=environment)
            assert result.returncode == 0, result.stdout + result.stderr
    return folder
