"""The plan of scripts/gpu_check.py, on machines without a GPU: what it names is there, and its options are known."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer


@pytest.fixture(scope="module")
def check(repository):
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("gpu_check", repository / "scripts" / "gpu_check.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_check"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def places(repository, tmp_path) -> dict[str, str]:
    for name in ("ethanol", "water"):
        for dtype in ("float32", "float64"):
            (tmp_path / f"{name}-{dtype}.pt").touch()
    (tmp_path / "test_gpu").touch()
    return {"out": str(tmp_path), "build": str(tmp_path), "python": sys.executable, "repository": str(repository)}


def parse_command_line(words: list[str]) -> None:
    """Have the command parse the words, without running it: an unknown option, or a file that is not there, raises."""
    from transip_md.cli.main import app

    group = typer.main.get_command(app)
    command = group.get_command(None, words[0])
    with command.make_context(words[0], words[1:]):
        pass


def test_every_command_is_there_and_parses(check, places, repository):
    seen = set()
    for part in check.PARTS:
        for command in part.commands:
            words = check.filled(command, places)
            if words[0] in ("ncu", "compute-sanitizer"):
                assert part.tool == words[0]
                start = next(i for i, word in enumerate(words) if word in ("transip-md", f"{places['build']}/test_gpu"))
                words = words[start:]
            seen.add(words[0])
            assert not any("{" in word for word in words)
            if words[0] == "transip-md":
                parse_command_line(words[1:])
            elif words[0].endswith("/test_gpu"):
                usage = (repository / "tests" / "cuda" / "test_gpu.cpp").read_text()
                assert all(f'"{word}"' in usage for word in words[1:] if word.startswith("--"))
            else:
                assert words[0] == sys.executable
                (file,) = [Path(word) for word in words if word.endswith(".py")]
                assert file.is_file()
                options = {word for word in words[2:] if word.startswith("--")}
                assert words[1:3] == ["-m", "pytest"] or all(f'"{word}"' in file.read_text() for word in options)
    assert len(seen) == 3


def test_an_unknown_option_does_not_parse(places):
    with pytest.raises(Exception, match="No such option"):
        parse_command_line(["bench", f"{places['out']}/water-float32.pt", "--no-such-option"])


def test_files_that_are_read_are_those_that_commands_write(check):
    for part in check.PARTS:
        written = {Path(word).name for command in part.commands for word in command.words if word.endswith(".json")}
        read = part.read.__closure__[0].cell_contents if part.read.__closure__ else ()
        assert set(read) <= written


def test_what_is_worth_most_comes_first(check):
    names = [part.name for part in check.PARTS]
    assert names[:3] == ["models", "parity", "timing"]
    assert len(set(names)) == len(names)


def run(repository, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(repository / "scripts" / "gpu_check.py"), *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_dry_run(repository, check):
    result = subprocess.run([repository / "scripts" / "gpu_check.sh", "--dry-run"], capture_output=True, text=True)
    assert result.returncode == 0
    assert all(f"{part.name} (" in result.stdout for part in check.PARTS)


def test_usage(repository, tmp_path):
    assert run(repository, "--only", "nothing", "-o", str(tmp_path)).returncode == 2
    result = subprocess.run([repository / "scripts" / "gpu_check.sh"], capture_output=True, text=True)
    assert result.returncode == 2 and "make gpu-bundle" in result.stderr


def test_without_a_device_parts_fail_and_are_written_down(repository, tmp_path):
    result = run(repository, "--only", "parity,memcheck", "-o", str(tmp_path), "--build", str(tmp_path))
    assert result.returncode == 1
    parity = json.loads((tmp_path / "parity.json").read_text())
    assert parity["exit"] == [127] * 6 and parity["results"] == [] and not parity["cut_off"]
    assert (tmp_path / "memcheck.json").is_file()


def test_a_part_that_takes_too_long_is_cut_and_keeps_its_output(check, places):
    words = (sys.executable, "-c", "import time; print('PASS a: difference 1e-9 of 1e-8', flush=True); time.sleep(60)")
    part = check.Part("slow", "a slow part", 2, (check.Command(words),), check.read_verdicts)
    start = time.monotonic()
    result = check.run_part(part, places, start + 100)
    assert time.monotonic() - start < 30
    assert result["cut_off"] and check.verdict(result) == "CUT"
    assert result["results"] == [
        {"case": "a", "passed": True, "difference": "1e-9", "allowed": 1e-8, "same_bits": True}
    ]


def test_output_is_read(check, tmp_path):
    verdicts = check.read_verdicts(
        "NVIDIA H100\nFAIL local, width 64: difference nan of 1e-10, other bits in the second run\n", tmp_path
    )
    assert verdicts[0]["passed"] is False and verdicts[0]["same_bits"] is False
    measured = check.read_measured(
        "platform, ethanol, mixed, force    1.2e-10  <=    1e-08  eV/Angstrom      PASS\n", tmp_path
    )
    assert measured == [
        {
            "check": "platform, ethanol, mixed, force",
            "value": "1.2e-10",
            "allowed": "1e-08",
            "unit": "eV/Angstrom",
            "passed": True,
        }
    ]
    table = (
        '"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"\n'
        '"0","transip_attend","gpu__time_duration.sum","ns","1,200"\n'
        '"1","transip_attend","gpu__time_duration.sum","ns","1,400"\n'
        '"2","transip_norm","gpu__time_duration.sum","ns","9"\n'
    )
    kernels = check.read_kernels("==PROF== noise\n" + table, tmp_path)
    assert [(row["kernel"], row["launches"], row["gpu__time_duration.sum"]) for row in kernels] == [
        ("transip_attend", 2, 1300.0), ("transip_norm", 1, 9.0)
    ]  # fmt: skip


def test_nothing_of_an_earlier_check_is_reported(check, tmp_path):
    parts = {part.name: part for part in check.PARTS}
    (tmp_path / "nve-water").mkdir()
    stale = [tmp_path / name for name in ("nve-water/nve.json", "timing.json", check.NATIVE_FILES[0])]
    kept = tmp_path / "parity.json"
    for file in (*stale, kept):
        file.write_text("{}")
    check.remove_earlier(tmp_path, (parts["timing"], parts["nve"]))
    assert not any(file.exists() for file in stale) and kept.exists()


def test_the_bundle_has_what_the_check_reads(repository):
    text = (repository / "scripts" / "gpu_bundle.py").read_text()
    packed = re.search(r"SOURCES = \((.*?)\)", text, re.DOTALL)[1]
    for name in (
        "CMakeLists.txt",
        "libtransip",
        "openmm_plugin",
        "pair_style",
        "python",
        "scripts",
        "tests",
        "examples",
    ):
        assert f'"{name}' in packed


def test_times_of_molecules_are_read(check, tmp_path):
    output = "NVIDIA\nTIME shape of ethanol, 9 atoms: one launch 0.0701 ms, many launches 0.151 ms\n"
    assert check.read_plans(output, tmp_path) == [
        {"case": "shape of ethanol, 9 atoms", "one_launch_ms": 0.0701, "many_launches_ms": 0.151}
    ]
