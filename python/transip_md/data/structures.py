"""Reading molecular structures from files, with errors that a user can act on."""

from __future__ import annotations

import io
from pathlib import Path

import ase
import ase.io
from ase.io.formats import filetype, get_compression, get_ioformat, open_with_compression

from transip_md.common.errors import UsageError


def read_structure(path: Path | str) -> ase.Atoms:
    """Read one structure (the last frame of the file) in any format that ase knows.

    Args:
        path: the file; positions in Angstrom as ase reads them.

    Returns:
        The structure.

    Raises:
        UsageError: the file is missing, unreadable or holds no atoms.
    """
    frames = _read(Path(path), slice(-1, None))
    if len(frames[-1]) == 0:
        raise UsageError(f"{path}, last frame, holds no atoms. Expected at least one.")
    return frames[-1]


def read_frames(path: Path | str) -> list[ase.Atoms]:
    """Read all frames of a file in any format that ase knows, compressed (.gz, .bz2, .xz) or not.

    Args:
        path: the file; positions in Angstrom as ase reads them.

    Returns:
        The frames in order.

    Raises:
        UsageError: the file is missing, unreadable or has a frame without atoms.
    """
    frames = _read(Path(path), slice(None))
    for index, frame in enumerate(frames):
        if len(frame) == 0:
            raise UsageError(f"{path}, frame {index} holds no atoms. Expected at least one. Leave the frame out.")
    return frames


def _read(path: Path, index: slice) -> list[ase.Atoms]:
    """At least one frame, which may have no atoms. Raises UsageError."""
    if not path.is_file():
        raise UsageError(f"No such structure file: {path}. Give a file that ase reads, such as .xyz or .pdb.")
    try:
        source, form = _unpacked(path)
        # An @ in the name of a file that exists does not mean an index.
        frames = ase.io.read(source, index=index, format=form, do_not_split_by_at_sign=True)
    except Exception as error:  # ase's many readers fail in as many ways
        raise UsageError(
            f"{path} could not be read as a structure: {str(error) or type(error).__name__}. "
            "Expected a file that ase reads, such as .xyz, .extxyz or .pdb."
        ) from error
    if not frames:
        raise UsageError(f"{path} holds no frames. Expected at least one.")
    return frames


def _unpacked(path: Path) -> tuple[Path | io.StringIO | io.BytesIO, str | None]:
    """What ase shall read, and its format; None lets ase find out.

    A compressed file is unpacked in memory: ase's readers seek backwards, for which the packed one would be unpacked
    from its beginning each time.
    """
    if get_compression(str(path))[1] is None:
        return path, None
    form = filetype(str(path))
    binary = get_ioformat(form).isbinary
    with open_with_compression(str(path), "rb" if binary else "rt") as packed:
        content = packed.read()
    return (io.BytesIO(content) if binary else io.StringIO(content)), form
