"""A full disk: one line that says what to do, exit 3, nothing left behind, and resuming works when there is room."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from transip_md.common.whole_files import describe, replacing, write_whole

TRANSIP = [sys.executable, "-m", "transip_md"]


def limit(size: int) -> Callable[[], None]:
    """Files of a process may not grow beyond so many bytes: writing ends with an error, as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def run(*words: object, room: int) -> subprocess.CompletedProcess:
    # Python would cut its own caches of compiled modules short as well, and whoever imports those next would get an
    # EOFError: in the folder of the sources, so in other tests too.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*TRANSIP, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit(room), timeout=300, env=environment)


def check_full(result: subprocess.CompletedProcess, name: str) -> None:
    assert result.returncode == 3, result.stdout + result.stderr
    assert "Traceback" not in result.stderr and len(result.stderr.strip().splitlines()) <= 3, result.stderr
    assert name in result.stderr and "the disk is full" in result.stderr, result.stderr


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if ".part" in path.name or path.name.endswith(".lock"))


def test_export(tmp_path, transip_md):
    check_full(run("export", "ethanol", "-o", tmp_path / "m.pt", room=100_000), "m.pt")
    assert not list(tmp_path.iterdir())
    assert transip_md("export", "ethanol", "-o", tmp_path / "m.pt").returncode == 0


def test_stamp_keeps_the_file_as_it_was(tmp_path, ethanol_file, repository):
    file = shutil.copy(ethanol_file, tmp_path / "m.pt")
    before = file.read_bytes()
    words = ["validate", file, repository / "examples/ethanol.xyz", "--only", "translation", "--stamp"]
    check_full(run(*words, room=100_000), "m.pt")
    assert file.read_bytes() == before and not left_in(tmp_path)


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_validate(tmp_path, toy_file, repository, option):
    out = tmp_path / f"out.{option[2:]}"
    words = ["validate", toy_file, repository / "examples/ethanol.xyz", "--only", "translation", option, out]
    check_full(run(*words, room=500), out.name)
    assert not list(tmp_path.iterdir())


def test_sample(tmp_path, repository, transip_md):
    words = [
        "sample",
        repository / "examples/ethanol.xyz",
        "--frames",
        4,
        "--stride",
        2,
        "--temperature",
        300,
        "--seed",
        1,
    ]
    check_full(run(*words, "-o", tmp_path / "f.extxyz", room=2500), "f.extxyz")
    assert transip_md(*words, "-o", tmp_path / "f.extxyz").returncode == 0
    assert transip_md(*words, "-o", tmp_path / "undisturbed.extxyz").returncode == 0
    assert (tmp_path / "f.extxyz").read_bytes() == (tmp_path / "undisturbed.extxyz").read_bytes()
    assert not left_in(tmp_path)


def test_nve(tmp_path, toy_file, repository, transip_md):
    words = ["nve", toy_file, repository / "examples/ethanol.xyz", "--engine", "ase", "--dt", 0.1, "--time", 0.12,
             "--threshold", 1000, "--out", tmp_path / "out"]  # fmt: skip
    result = run(*words, room=2000)
    check_full(result, "out")
    assert not left_in(tmp_path)
    assert transip_md(*words).returncode == 0


def test_a_folder_that_is_a_file(tmp_path, transip_md):
    (tmp_path / "file").touch()
    assert transip_md("export", "ethanol", "-o", tmp_path / "file" / "m.pt").returncode in (2, 3)


def test_replacing(tmp_path):
    write_whole(tmp_path / "a.json", "one")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a.json") as partial:
        partial.write_text("two")
        raise KeyboardInterrupt
    assert (tmp_path / "a.json").read_text() == "one" and not left_in(tmp_path)


def test_words_for_a_disk_that_may_only_be_read():
    error = OSError(30, "Read-only file system")
    error.filename = "/data/m.pt"
    assert describe(error).startswith("/data/m.pt could not be used: Read-only file system. Give another folder")
