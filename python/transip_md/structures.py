"""Reading molecular structures from files, with errors that a user can act on."""

from __future__ import annotations

from pathlib import Path

import ase
import ase.io

from transip_md.errors import UsageError


def read_structure(path: Path | str) -> ase.Atoms:
    """Read one structure (the last frame of the file) in any format that ase knows.

    Args:
        path: the file; positions in Angstrom as ase reads them.

    Returns:
        The structure.

    Raises:
        UsageError: the file is missing, unreadable or holds no atoms.
    """
    frames = read_frames(path, index=slice(-1, None))
    return frames[-1]


def read_frames(path: Path | str, index: slice = slice(None)) -> list[ase.Atoms]:
    """Read several frames; see `read_structure` for what it raises."""
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"No such structure file: {path}. Give a file that ase reads, such as .xyz or .pdb.")
    try:
        frames = ase.io.read(path, index=index)
    except Exception as error:  # ase's many readers fail in as many ways
        raise UsageError(
            f"{path} could not be read as a structure: {error or type(error).__name__}. "
            "Expected a file that ase reads, such as .xyz, .extxyz or .pdb."
        ) from error
    if not frames or any(len(frame) == 0 for frame in frames):
        raise UsageError(f"{path} holds no atoms.")
    return frames
