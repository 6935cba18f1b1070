"""Files that appear whole or not at all, and errors of the disk with what to do."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A file beside `path` to write into; it replaces `path` when the block ends, and goes when it fails.

    Raises:
        OSError: with the name of `path`, whatever was written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        with naming(path):
            yield partial
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_whole(path: Path | str, text: str) -> None:
    """Write a text file whole or not at all. Raises OSError."""
    with replacing(path) as partial:
        partial.write_text(text)


@contextlib.contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Give errors of the operating system the name of the file that is written: a full disk's have none."""
    try:
        yield
    except OSError as error:
        if error.filename is None or ".part" in str(error.filename):
            error.filename = str(path)
        raise


def describe(error: OSError) -> str:
    """One line for users: what could not be done with which file, and what to type."""
    file = error.filename if error.filename is not None else "a file"
    if error.errno in _FULL:
        return (
            f"{file} could not be written: the disk is full ({error.strerror}). Make room or give another folder, and "
            "type the same command again: what is finished is kept."
        )
    if error.errno in _READ_ONLY:
        return f"{file} could not be used: {error.strerror}. Give another folder, or change the permissions."
    return f"{file} could not be used: {error.strerror or error}. Look at the path, and type the command again."
