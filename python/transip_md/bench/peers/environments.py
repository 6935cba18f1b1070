"""One Python environment for each peer, made once in the cache folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from transip_md.bench.peers.catalogue import Peer
from transip_md.common.errors import EnvironmentFaultError
from transip_md.plugins.kinds import cache_folder

RUNNERS = Path(__file__).resolve().parent / "runners"
#: Written into an environment when it is complete: what it was made from.
RECORD = "peer.json"
#: Longest that an installation, or making a peer's model, may take, s.
INSTALL_LIMIT = 3600.0
#: Lines of a failed installation that are shown; the rest is in the log.
SHOWN_LINES = 6
#: Variables that would bring this environment's packages, or its LAMMPS plugin, into a peer's.
OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LAMMPS_PLUGIN_PATH", "LD_PRELOAD")


def folder_of(peer: Peer) -> Path:
    """Where a peer's environment lies."""
    return cache_folder() / "peers" / peer.name


def python_of(peer: Peer) -> Path:
    """The Python of a peer's environment."""
    return folder_of(peer) / "bin" / "python"


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment variables for a program in a peer's environment.

    Args:
        more: set beside those of this process.
    """
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    return {**kept, **(more or {})}


def preparation_of(peer: Peer) -> Path | None:
    """The script that makes a peer's model after the installation, None if it needs none."""
    script = RUNNERS / f"prepare_{peer.name}.py"
    return script if script.is_file() else None


def expected_record(peer: Peer) -> dict[str, str | list[str]]:
    """What a complete environment was made from, as it would be now."""
    script = preparation_of(peer)
    return {
        "requirements": list(peer.requirements),
        "python": sys.version.split()[0],
        "prepared by": script.read_text() if script else "",
    }


def is_ready(peer: Peer) -> bool:
    """Whether a peer's environment is complete and made from what it would be made from now."""
    record = folder_of(peer) / RECORD
    return record.is_file() and json.loads(record.read_text()) == expected_record(peer)


def make_ready(peer: Peer, say: Callable[[str], None]) -> None:
    """Make a peer's environment unless it is there.

    Args:
        peer: which.
        say: takes one line at a time: what is installed, where, and how large it is.

    Raises:
        EnvironmentFaultError: it cannot be installed, or its model not be made; the message says why.
    """
    if is_ready(peer):
        return
    folder = folder_of(peer)
    log = folder.with_suffix(".log")
    # What was left by an interrupted installation, or made from other versions.
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    say(
        f"{peer.name}: installing {', '.join(peer.requirements)} into {folder}, once "
        f"(about {peer.megabytes} MB, more if torch comes with CUDA; log: {log}) ..."
    )
    _run([sys.executable, "-m", "venv", str(folder)], log)
    pip = [str(python_of(peer)), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    _run([*pip, *peer.requirements], log)
    if script := preparation_of(peer):
        say(f"{peer.name}: making its model, once ...")
        _run([str(python_of(peer)), str(script), str(folder)], log)
    (folder / RECORD).write_text(json.dumps(expected_record(peer), indent=1) + "\n")
    say(f"{peer.name}: {size_of(folder):.0f} MB in {folder}")


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
