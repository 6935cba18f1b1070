"""A program that runs for a command and ends with it: no signal to the command leaves the program behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

#: Seconds between looks at a running program, and that it gets to end when it is asked to.
POLL, GRACE = 0.2, 5.0


@contextlib.contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Signals that would end the process are noted in a list instead; those that somebody else handles stay theirs."""
    noted: list[int] = []
    before = {}
    # Python delivers signals to the main thread, and only it may ask for them.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, lambda caught, _: noted.append(caught))
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: subprocess.Popen) -> None:
    """End a program with everything that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


def run_child(
    command: list[str], folder: Path, environment: dict[str, str], output: IO[str], look: Callable[[], None]
) -> int:
    """Run a program in a session of its own and wait for it.

    SIGINT, SIGTERM and SIGHUP, and whatever `look` raises, end the program and all of its children. The wheel's ``lmp``
    starts the program itself as a child, which a signal to one process does not reach.

    Args:
        command: what to run.
        folder: in which.
        environment: of the program.
        output: gets what it prints.
        look: called now and then while it runs.

    Returns:
        The exit status.

    Raises:
        KeyboardInterrupt: on SIGINT.
        SystemExit: on SIGTERM and SIGHUP, with the status that shells give them: 128 and the signal's number.
    """
    # Noted from before the start on: an exception out of Popen itself would leave a program without its handle.
    with _noted_signals() as noted:
        process = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output, env=environment, start_new_session=True
        )
        try:
            while process.poll() is None and not noted:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL)
                look()
        finally:
            if process.poll() is None:
                _end(process)
    if noted:
        raise KeyboardInterrupt if noted[0] == signal.SIGINT else SystemExit(128 + noted[0])
    return process.returncode
