"""One Python environment for each baseline, made once in the cache folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from baselines.catalogue import InstalledBaseline
from transip_md.common.errors import EnvironmentFaultError
from transip_md.plugins.kinds import cache_folder

RUNNERS = Path(__file__).resolve().parent / "runners"
#: Written into an environment when it is complete: what it was made from.
RECORD = "baseline.json"
#: Longest that an installation, or making a baseline's model, may take, s.
INSTALL_LIMIT = 3600.0
#: Lines of a failed installation that are shown; the rest is in the log.
SHOWN_LINES = 6
#: Variables that would bring this environment's packages, or its LAMMPS plugin, into a baseline's.
OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LAMMPS_PLUGIN_PATH", "LD_PRELOAD")


def folder_of(baseline: InstalledBaseline) -> Path:
    """Where a baseline's environment lies."""
    return cache_folder() / "baselines" / baseline.name


def python_of(baseline: InstalledBaseline) -> Path:
    """The Python of a baseline's environment."""
    return folder_of(baseline) / "bin" / "python"


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment variables for a program in a baseline's environment.

    Args:
        more: set beside those of this process.
    """
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    return {**kept, **(more or {})}


def preparation_of(baseline: InstalledBaseline) -> Path | None:
    """The script that makes a baseline's model after the installation, None if it needs none."""
    script = RUNNERS / f"prepare_{baseline.name}.py"
    return script if script.is_file() else None


def expected_record(baseline: InstalledBaseline) -> dict[str, str | list[str]]:
    """What a complete environment was made from, as it would be now."""
    script = preparation_of(baseline)
    return {
        "requirements": list(baseline.requirements),
        "python": sys.version.split()[0],
        "prepared by": script.read_text() if script else "",
    }


def is_ready(baseline: InstalledBaseline) -> bool:
    """Whether a baseline's environment is complete and made from what it would be made from now."""
    record = folder_of(baseline) / RECORD
    return record.is_file() and json.loads(record.read_text()) == expected_record(baseline)


def make_ready(baseline: InstalledBaseline, say: Callable[[str], None]) -> None:
    """Make a baseline's environment unless it is there.

    Args:
        baseline: which.
        say: takes one line at a time: what is installed, where, and how large it is.

    Raises:
        EnvironmentFaultError: it cannot be installed, or its model not be made; the message has the reason.
    """
    if is_ready(baseline):
        return
    folder = folder_of(baseline)
    log = folder.with_suffix(".log")
    # What was left by an interrupted installation, or made from other versions.
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    say(
        f"{baseline.name}: installing {', '.join(baseline.requirements)} into {folder}, once "
        f"(about {baseline.megabytes} MB, more if torch comes with CUDA; log: {log}) ..."
    )
    _run([sys.executable, "-m", "venv", str(folder)], log)
    pip = [str(python_of(baseline)), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    _run([*pip, *baseline.requirements], log)
    if script := preparation_of(baseline):
        say(f"{baseline.name}: making its model, once ...")
        _run([str(python_of(baseline)), str(script), str(folder)], log)
    (folder / RECORD).write_text(json.dumps(expected_record(baseline), indent=1) + "\n")
    say(f"{baseline.name}: {size_of(folder):.0f} MB in {folder}")


def _run(command: list[str], log: Path) -> None:
    with log.open("a") as output:
        print("$", " ".join(command), file=output, flush=True)
        try:
            result = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
                timeout=INSTALL_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EnvironmentFaultError(f"{' '.join(command)} took longer than {INSTALL_LIMIT:.0f} s.") from error
    if result.returncode:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        said = "\n".join(errors[-SHOWN_LINES:])
        raise EnvironmentFaultError(f"Exit {result.returncode} of {' '.join(command)}:\n{said}\nAll of it: {log}")


def size_of(folder: Path) -> float:
    """Of all files in a folder, MB."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_symlink()) / 1e6
