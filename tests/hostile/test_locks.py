"""Two runs in one place: the second is refused and told of the first; a killed run holds nothing."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import ase.io
import pytest

from transip_md.common.errors import EnvironmentFaultError
from transip_md.common.locks import LOCK_NAME, exclusive

TRANSIP = [sys.executable, "-m", "transip_md"]


def start(*words: object) -> subprocess.Popen:
    command = [*TRANSIP, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check_pair(*words: object) -> str:
    """Start a command twice at once: one is carried out, or the second starts so late that both are; its words."""
    pair = [start(*words), start(*words)]
    said = [process.communicate(timeout=300) for process in pair]
    codes = sorted(process.returncode for process in pair)
    assert codes in ([0, 3], [0, 0]), said
    if codes == [0, 3]:
        (refused,) = (err for process, (_, err) in zip(pair, said, strict=True) if process.returncode == 3)
        assert "is in use by process" in refused and "Traceback" not in refused, refused
        return refused
    return ""


def test_a_lock_names_its_holder(tmp_path):
    with exclusive(tmp_path):
        assert (tmp_path / LOCK_NAME).exists()
        with pytest.raises(EnvironmentFaultError, match=f"is in use by process {os.getpid()} on "), exclusive(tmp_path):
            pass
    assert not (tmp_path / LOCK_NAME).exists()
    with exclusive(tmp_path / "file.extxyz"), exclusive(tmp_path / "other.extxyz"):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".file.extxyz.lock", ".other.extxyz.lock"]
    assert not list(tmp_path.iterdir())


def test_a_killed_process_holds_nothing(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from transip_md.common.locks import exclusive\n"
        "with exclusive(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(EnvironmentFaultError, match=f"process {process.pid}"), exclusive(tmp_path):
        pass
    process.kill()
    process.wait()
    assert (tmp_path / LOCK_NAME).exists()
    with exclusive(tmp_path):
        pass
    assert not (tmp_path / LOCK_NAME).exists()


def sampling(output: Path, repository: Path, frames: int = 12) -> list[object]:
    return ["sample", repository / "examples/ethanol.xyz", "-o", output, "--frames", frames, "--stride", 2,
            "--temperature", 300, "--seed", 1]  # fmt: skip


@pytest.fixture
def check_sampled(tmp_path, repository, transip_md) -> Callable[[Path], None]:
    """Asserts that a file holds the frames that one undisturbed run gives."""
    undisturbed = tmp_path / "undisturbed.extxyz"
    assert transip_md(*sampling(undisturbed, repository)).returncode == 0

    def check(output: Path) -> None:
        assert len(ase.io.read(output, index=":")) == 12
        assert output.read_bytes() == undisturbed.read_bytes()

    return check


@pytest.mark.parametrize("count", [1, pytest.param(20, marks=pytest.mark.long)])
def test_sample_twice_at_once(tmp_path, repository, check_sampled, count):
    for number in range(count):
        output = tmp_path / f"{number}.extxyz"
        check_pair(*sampling(output, repository))
        check_sampled(output)


def test_holder_that_has_not_yet_written_its_name(tmp_path):
    output = tmp_path / "out.extxyz"
    with (tmp_path / ".out.extxyz.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        named = {"pid": 4711, "host": "here", "since": "now", "command": "sample"}
        threading.Timer(0.1, lambda: (lock.write(json.dumps(named)), lock.flush())).start()
        with pytest.raises(EnvironmentFaultError, match="is in use by process 4711 on here"), exclusive(output):
            pass


@pytest.mark.long
def test_nve_twice_at_once(tmp_path, toy_file, ethanol):
    shutil.copy(toy_file, tmp_path / "m.pt")
    ethanol.write(tmp_path / "e.xyz", format="extxyz")
    for number in range(20):
        out = tmp_path / str(number)
        words = ["nve", tmp_path / "m.pt", tmp_path / "e.xyz", "--engine", "ase", "--dt", 0.1, "--time", 0.12,
                 "--threshold", 1000, "--out", out]  # fmt: skip
        check_pair(*words)
        assert (out / "report.html").exists() and not list(out.glob("*lock*"))


RECIPE = """
data:
  train: [train.extxyz]
  test: [test.extxyz]
  validation: 8
  description: ethanol
  level_of_theory: GFN2-xTB
  licence: MIT
model: {dim: 16, layers: 1, heads: 2, feedforward: 16}
steps: 60
batch_size: 4
warmup: 5
report_every: 20
accelerator: cpu
"""


@pytest.mark.long
def test_train_twice_at_once(tmp_path, repository, transip_md):
    assert transip_md(*sampling(tmp_path / "train.extxyz", repository, 40)).returncode == 0
    shutil.copy(tmp_path / "train.extxyz", tmp_path / "test.extxyz")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    for number in range(20):
        check_pair("train", tmp_path / "recipe.yaml", "-o", tmp_path / f"{number}.ckpt")
        assert (tmp_path / f"{number}.ckpt").exists()


def test_nve_of_other_settings_in_one_folder(tmp_path, toy_file, ethanol):
    shutil.copy(toy_file, tmp_path / "m.pt")
    ethanol.write(tmp_path / "e.xyz", format="extxyz")
    (tmp_path / "out").mkdir()
    with exclusive(tmp_path / "out"):
        process = start("nve", tmp_path / "m.pt", tmp_path / "e.xyz", "--engine", "ase", "--temperature", 50,
                        "--time", 0.12, "--out", tmp_path / "out")  # fmt: skip
        _, said = process.communicate(timeout=120)
    assert process.returncode == 3 and f"{tmp_path}/out is in use by process {os.getpid()}" in said.replace("\n", "")


@pytest.mark.parametrize("count", [1, pytest.param(20, marks=pytest.mark.long)])
def test_sample_killed_in_between(tmp_path, repository, check_sampled, count):
    for number in range(count):
        output = tmp_path / f"{number}.extxyz"
        process = start(*sampling(output, repository))
        wanted = 1 + number % 8
        while process.poll() is None and not (
            output.exists() and output.read_text().count("Lattice") + output.read_text().count("Properties") >= wanted
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        again = subprocess.run([*TRANSIP, *map(str, sampling(output, repository))], capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        check_sampled(output)
