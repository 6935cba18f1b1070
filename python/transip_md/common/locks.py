"""One process at a time in an output folder or file that is resumed."""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import json
import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from transip_md.common.errors import EnvironmentFaultError

LOCK_NAME = ".transip-md.lock"
#: How often, and how many seconds apart, a lock is looked into for the name of its holder.
LOOKS, BETWEEN_LOOKS = 50, 0.02


@contextlib.contextmanager
def exclusive(output: Path) -> Iterator[None]:
    """Hold an output for this process; the system gives the lock back when the process ends, however it ends.

    Args:
        output: a folder that is there, or a file, which need not be.

    Raises:
        EnvironmentFaultError: another process holds it; the message names that process.
    """
    path = output / LOCK_NAME if output.is_dir() else output.with_name(f".{output.name}.lock")
    descriptor = _locked(path, output)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(_this_process()).encode())
        yield
    finally:
        # Removed while it is held: who waits for it sees that its file is gone, and makes a new one.
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path, output: Path) -> int:
    """Descriptor of the lock's file with the lock on it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise EnvironmentFaultError(
                f"{output} is in use by {_description(holder)}. Wait for it to end, or give another output."
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                os.close(descriptor)
                raise
            warnings.warn(
                f"{path.parent} lies on a file system without locks: start no second run in it.", stacklevel=4
            )
            return descriptor
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def _holder(descriptor: int) -> bytes:
    """What the process that holds the lock has written into it, which it does some moments after it has it."""
    for _ in range(LOOKS):
        if written := os.pread(descriptor, 4096, 0):
            return written
        time.sleep(BETWEEN_LOOKS)
    return b""


def _this_process() -> dict[str, str | int]:
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now, "command": " ".join(sys.argv[:4])[:200]}


def _description(holder: bytes) -> str:
    try:
        found = json.loads(holder)
        return f"process {found['pid']} on {found['host']} since {found['since']} ({found['command']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
