"""A command that is ended takes the engine that it started with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase
import numpy as np
import pytest

from toys import LENGTH
from transip_md.engines.lammps.engine import read_thermo


def living_in(folder: Path) -> set[int]:
    """Processes that run in a folder; one that ended and was not waited for has none any more."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if place.readlink() == folder:
                found.add(int(place.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signal_leaves_no_lammps_behind(tmp_path, toy_file, lammps_plugin, number):
    ase.Atoms("CCO", np.eye(3) * LENGTH).write(tmp_path / "springs.xyz")
    out = tmp_path / "out"
    # Far more steps than there is time for.
    command = [
        sys.executable, "-m", "transip_md.cli.main", "nve", str(toy_file), str(tmp_path / "springs.xyz"),
        "--engine", "lammps", "--time", "5000", "--out", str(out),
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        # Tests started in the background (nohup, a shell's &) have some signals ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 120
        while not ((out / "nve.log").exists() and len(read_thermo(out / "nve.log")) > 2):
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.1)
        # The wheel's script and the program itself.
        children = living_in(out)
        assert len(children) >= 2
        process.send_signal(number)
        errors = process.communicate(timeout=30)[1]
    finally:
        process.kill()
        left = living_in(out)
        for orphan in left:
            os.kill(orphan, signal.SIGKILL)
    assert not left
    assert process.returncode == 128 + number and f"goes on from what lies in {out}" in errors
