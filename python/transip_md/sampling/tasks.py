"""Several files, several at a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path

from transip_md.sampling.errors import FewerFramesError, NothingToSampleError
from transip_md.sampling.plan import SamplingTask
from transip_md.sampling.run import sample


@dataclass(frozen=True)
class SamplingProgress:
    """How far a task has come."""

    task: SamplingTask
    #: Frames in its file.
    frames: int
    #: Why it has come to an end before its last frame; empty while it runs and when it is done.
    failure: str = ""
    #: Why the mode has no more frames to give, which is no failure; empty otherwise.
    shortfall: str = ""


def _run_task(task: SamplingTask, frames: int) -> Iterator[SamplingProgress]:
    """Carry out one task; whatever it ends in, the others are not lost."""
    done = 0
    try:
        for done in sample(task.structure, task.output, frames, task.recipe, task.partners):
            yield SamplingProgress(task, done)
    except (NothingToSampleError, FewerFramesError) as error:
        yield SamplingProgress(task, done, shortfall=str(error))
    except Exception as error:
        yield SamplingProgress(task, done, str(error) or type(error).__name__)
    else:
        yield SamplingProgress(task, frames)


def _work(orders: Connection, reports: Connection, frames: int) -> None:
    """Carry out tasks in a process of its own, as they are ordered, until the caller closes the orders."""
    # Read when the teacher is loaded; the processes themselves use the cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    # Without a caller there is nobody to wait for the rest.
    with contextlib.suppress(BrokenPipeError, EOFError):
        while True:
            for progress in _run_task(orders.recv(), frames):
                reports.send(progress)
            reports.send(None)


class _Worker:
    """A process that carries out tasks one after another: what it has loaded and relaxed serves the next one, too."""

    def __init__(self, frames: int) -> None:
        context = multiprocessing.get_context("spawn")
        orders, self._orders = context.Pipe(duplex=False)
        self.reports, reports = context.Pipe(duplex=False)
        self.process = context.Process(target=_work, args=(orders, reports, frames), daemon=True)
        self.task: SamplingTask | None = None
        # Ctrl-C reaches every process of a terminal, but is for the caller alone, who then ends the workers. They
        # inherit a signal that is blocked when they start; multiprocessing's own helper would unblock it if it were
        # started later.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # The worker's ends are its own now: when it ends, so do the pipes.
        orders.close()
        reports.close()

    def order(self, task: SamplingTask) -> None:
        """Have the process carry out a task."""
        self.task = task
        # A process that has ended in the meantime is noticed where its reports are read.
        with contextlib.suppress(BrokenPipeError):
            self._orders.send(task)

    def end(self) -> int:
        """End the process; its exit code."""
        self._orders.close()
        self.process.terminate()
        self.process.join()
        self.reports.close()
        return self.process.exitcode or 0


def _run_parallel(tasks: list[SamplingTask], frames: int, jobs: int) -> Iterator[SamplingProgress]:
    """Carry out tasks in processes, `jobs` at a time."""
    waiting = list(reversed(tasks))
    workers: dict[Connection, _Worker] = {}

    def structures_at_work() -> set[Path]:
        return {worker.task.structure for worker in workers.values() if worker.task}

    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                worker = _Worker(frames)
                workers[worker.reports] = worker
                worker.order(_next_task(waiting, None, structures_at_work()))
            for reader in wait(list(workers)):
                worker = workers[reader]
                assert worker.task is not None
                try:
                    progress = worker.reports.recv()
                except EOFError:
                    del workers[reader]
                    worker.process.join()
                    yield SamplingProgress(worker.task, 0, f"its process ended with exit code {worker.end()}")
                    continue
                if progress is not None:
                    yield progress
                elif waiting:
                    worker.order(_next_task(waiting, worker.task.structure, structures_at_work()))
                else:
                    del workers[reader]
                    worker.end()
    finally:
        for worker in workers.values():
            worker.end()


def _next_task(waiting: list[SamplingTask], relaxed: Path | None, taken: set[Path]) -> SamplingTask:
    """A task taken off the list: of the structure that a process has relaxed, or of one that no other is at work on."""

    def first(fits: Callable[[SamplingTask], bool]) -> int | None:
        return next((at for at in range(len(waiting) - 1, -1, -1) if fits(waiting[at])), None)

    at = first(lambda task: task.structure == relaxed)
    if at is None:
        at = first(lambda task: task.structure not in taken)
    return waiting.pop(-1 if at is None else at)


def sample_all(tasks: Iterable[SamplingTask], frames: int, jobs: int = 1) -> Iterator[SamplingProgress]:
    """Carry out several tasks; one that fails does not keep the others from being done.

    Each file is what `sample` alone writes, whatever the number of jobs, and resumes as it does.

    Args:
        tasks: from `plan`.
        frames: number of frames that each file shall hold in the end.
        jobs: tasks carried out at a time; each in a process of its own if more than one.

    Yields:
        Progress after each frame, and once at the end of each task.
    """
    tasks = list(tasks)
    if jobs > 1:
        yield from _run_parallel(tasks, frames, jobs)
    else:
        for task in tasks:
            yield from _run_task(task, frames)
