"""Time one baseline on one structure, in its environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import ase
import ase.io
import ase.units
import numpy as np

from baselines.catalogue import InstalledBaseline
from baselines.environments import RUNNERS, clean_environment, folder_of, is_ready, python_of
from transip_md.common.errors import EnvironmentFaultError, TransIPError

#: Longest that one run may take, s: start, compilation, steps that do not count and steps that do.
TIME_LIMIT = 900.0
#: A runner prints its result on a line that starts so.
ANSWER = "TIMING "
#: Lines of a runner that failed that are shown.
SHOWN_LINES = 4


def run_baseline(
    baseline: InstalledBaseline, atoms: ase.Atoms, velocities: np.ndarray, spec: dict[str, Any]
) -> dict[str, Any]:
    """Run a baseline's script.

    Args:
        baseline: which; its environment must be ready.
        atoms: the structure that the run starts from.
        velocities: Angstrom/fs, [N, 3].
        spec: "steps" at most, "warmup" at most, "seconds" that both shall take about, "timestep" in fs and "threads".

    Returns:
        "step" in s, "memory" in MB and "steps", how many were timed.

    Raises:
        EnvironmentFaultError: the environment is not there.
        TransIPError: the run failed or took longer than `TIME_LIMIT`.
    """
    if not is_ready(baseline):
        raise EnvironmentFaultError(
            f"{baseline.name} is not installed. `python benchmarks/versus.py` with --vs {baseline.name} installs it."
        )
    threads = str(spec["threads"])
    more = {name: threads for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = atoms.copy()
        # Only what all baselines read: nothing of the file's own.
        start = ase.Atoms(start.numbers, start.positions, cell=start.cell, pbc=start.pbc)
        start.set_velocities(velocities / ase.units.fs)
        ase.io.write(folder / "start.extxyz", start)
        (folder / "spec.json").write_text(json.dumps({**spec, "home": str(folder_of(baseline))}))
        command = [str(python_of(baseline)), str(RUNNERS / f"run_{baseline.name}.py"), "spec.json"]
        return answer_of(*_supervise(command, folder, clean_environment(more)))


def _supervise(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and output of a command that is ended, with all that it started, when it takes too long."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired as error:
        raise TransIPError(f"It took longer than {TIME_LIMIT:.0f} s.") from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, output


def answer_of(code: int, output: str) -> dict[str, Any]:
    """What a runner answered.

    Args:
        code: its exit code.
        output: all that it printed.

    Returns:
        Its result.

    Raises:
        TransIPError: it failed, or answered nothing.
    """
    lines = [line for line in output.splitlines() if line.strip()]
    answers = [line for line in lines if line.startswith(ANSWER)]
    if code == 0 and answers:
        return json.loads(answers[-1].removeprefix(ANSWER))
    if code < 0:
        why = f"It was ended by {signal.Signals(-code).name}"
        why += ", perhaps for want of memory" if code == -signal.SIGKILL else ""
    else:
        why = f"It stopped with exit {code}" if code else "It gave no answer"
    raise TransIPError("\n".join([f"{why}:", *lines[-SHOWN_LINES:]]))
