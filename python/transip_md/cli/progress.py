"""Progress of long commands on standard error: a bar in a terminal, a line now and then without one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from transip_md.cli.console import errors
from transip_md.common.text import one_line

#: Seconds from the start of a command to its first line of progress, and from each line to the next.
FIRST, INTERVAL = 10.0, 60.0
#: Whether progress is left out.
QUIET = False


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


class _Description(ProgressColumn):
    """A task's description, which may hold names of files."""

    def render(self, task: Task) -> Text:
        """The description as it is."""
        return Text(one_line(task.description))


class _Note(ProgressColumn):
    """What a task reports beside its count."""

    def __init__(self, note: Callable[[], str]) -> None:
        super().__init__()
        self.note = note

    def render(self, task: Task) -> Text:
        """The note as it is at this moment."""
        return Text(one_line(self.note()))


class LongTask:
    """Progress of one task; a context manager.

    Attributes:
        description: what is being done.
        total: how many units there are to do, if that is known.
        completed: how many of them are done.
        unit: name of the units, plural.
    """

    def __init__(
        self,
        description: str,
        total: float | None = None,
        completed: float = 0,
        unit: str = "steps",
        note: Callable[[], str] = str,
    ) -> None:
        """The task as it begins; `note` gives what else there is to report, such as a loss."""
        self.description, self.total, self.completed, self.unit = description, total, completed, unit
        self._note = note
        self._first = completed
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._bar: Progress | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Show the bar, or begin to print lines."""
        self._began = time.monotonic()
        if QUIET:
            return self
        if errors.is_terminal:
            self._bar = Progress(
                _Description(), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                _Note(self._note), console=errors, transient=True,
            )  # fmt: skip
            self._row = self._bar.add_task(self.description, total=self.total, completed=int(self.completed))
            self._bar.start()
        else:
            self._thread = threading.Thread(target=self._print_lines, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away, or stop printing lines."""
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()
        elif self._thread is not None:
            self._thread.join()

    def update(
        self,
        completed: float | None = None,
        *,
        total: float | None = None,
        description: str | None = None,
    ) -> None:
        """Note what is done by now; what is not given stays as it was."""
        with self._lock:
            if completed is not None and completed < self.completed:
                # Another part of the work has begun, and the rate is that of the new part.
                self._first, self._began = completed, time.monotonic()
            self.completed = self.completed if completed is None else completed
            self.total = self.total if total is None else total
            self.description = self.description if description is None else description
        if self._bar is not None:
            self._bar.update(self._row, completed=self.completed, total=self.total, description=self.description)

    def report(self, line: str) -> None:
        """Print a line above the bar: in a terminal and without one."""
        if not QUIET:
            errors.print(line, soft_wrap=True)

    def line(self) -> str:
        """What is done, at what rate, and how long the rest takes at that rate."""
        with self._lock:
            seconds = time.monotonic() - self._began
            rate = (self.completed - self._first) / seconds if seconds > 0 else 0.0
            of = "" if self.total is None else f" of {self.total:.10g}"
            parts = [f"{self.description}: {self.completed:.10g}{of} {self.unit}"]
            if note := self._note():
                parts.append(note)
            parts.append(f"{rate:.3g} {self.unit}/s")
            if self.total is not None and rate > 0:
                parts.append(f"{_clock((self.total - self.completed) / rate)} left")
            return ", ".join(parts)

    def _print_lines(self) -> None:
        wait = min(FIRST, INTERVAL)
        while not self._ended.wait(wait):
            self.report(self.line())
            wait = INTERVAL
