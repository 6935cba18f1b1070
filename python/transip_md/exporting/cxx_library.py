"""Compiled models share the C++ library of the process that loads them, however this machine's compiler links."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transip_md.common.variables import environment_variables

#: The shared C++ library, by the name that programs are linked to.
SHARED = "libstdc++.so.6"
#: Something that needs it.
SOURCE = "#include <locale>\nstd::locale here() { return std::locale(); }\n"
#: Where the linker looks before its own folders.
SEARCH = "LIBRARY_PATH"


def links_shared(compiler: str, *options: str) -> bool:
    """Whether a compiler makes shared libraries that load `SHARED`; False as well if it makes none.

    Args:
        compiler: the command, such as "g++".
        options: go behind the source.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "here.cpp", Path(folder) / "here.so"
        source.write_text(SOURCE)
        command = [compiler, "-shared", "-fPIC", str(source), *options, "-o", str(library)]
        try:
            subprocess.run(command, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return False
        return SHARED.encode() in library.read_bytes()


def loaded_library() -> Path | None:
    """The file that this process has `SHARED` from."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    return next((Path(line.split(maxsplit=5)[5]) for line in lines if Path(line).name.startswith(SHARED)), None)


@contextmanager
def shared_by_all(compiler: str) -> Iterator[list[str]]:
    """Make what a compiler links use the process's own C++ library; while it lasts the linker looks for it there.

    Where a compiler links the C++ library statically (no ``libstdc++.so`` beside ``libstdc++.a``, or
    ``-static-libstdc++``), a compiled model has its own copy, takes locales from both, and crashes when it is loaded.

    Args:
        compiler: the command, such as "g++".

    Yields:
        Names to link with, each to follow ``-l``; none where the compiler needs no help.
    """
    library = loaded_library()
    if library is None or links_shared(compiler):
        yield []
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / SHARED).symlink_to(library)
        folders = [folder, *filter(None, [os.environ.get(SEARCH)])]
        with environment_variables({SEARCH: os.pathsep.join(folders)}):
            yield [f":{SHARED}"]
