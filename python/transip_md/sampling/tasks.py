"""Several files, several at a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from transip_md.sampling.errors import FewerFramesError, NothingToSampleError
from transip_md.sampling.plan import SamplingTask
from transip_md.sampling.run import sample


@dataclass(frozen=True)
class SamplingProgress:
    """How far a task has come."""

    task: SamplingTask
    #: Frames in its file.
    frames: int
    #: Why it has come to an end before its last frame; empty while it goes on and when it is done.
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


def _work(task: SamplingTask, frames: int, reports: Connection) -> None:
    """Carry out one task in a process of its own."""
    # Read when the teacher is loaded; the processes themselves use the cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    # Without a caller there is nobody to wait for the rest.
    with contextlib.suppress(BrokenPipeError):
        for progress in _run_task(task, frames):
            reports.send(progress)


def _start_worker(task: SamplingTask, frames: int) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, frames, writer), daemon=True)
    # Ctrl-C reaches every process of a terminal, but is for the caller alone, who then ends the workers. They inherit a
    # signal that is blocked when they start; multiprocessing's own helper would unblock it if it were started later.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    # The worker's end is its own now: when it ends, so does the pipe.
    writer.close()
    return reader, process


def _run_parallel(tasks: list[SamplingTask], frames: int, jobs: int) -> Iterator[SamplingProgress]:
    """Carry out tasks in processes, `jobs` at a time."""
    waiting = list(reversed(tasks))
    running: dict[Connection, tuple[SamplingTask, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop()
                reader, process = _start_worker(task, frames)
                running[reader] = task, process
            for reader in wait(list(running)):
                try:
                    yield reader.recv()
                except EOFError:
                    task, process = running.pop(reader)
                    reader.close()
                    process.join()
                    if process.exitcode:
                        yield SamplingProgress(task, 0, f"its process ended with exit code {process.exitcode}")
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


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
