"""CTest knows every C++ program of the tests, and runs them all with the files that they take."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from made_once import built_by_cmake
from transip_md.plugins.build import find_tool


def ctest(folder, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(find_tool("ctest")), "--test-dir", str(folder), *arguments], capture_output=True, text=True
    )


def test_every_program_is_registered(cpp_build, repository):
    listed = {test["name"] for test in json.loads(ctest(cpp_build, "--show-only=json-v1").stdout)["tests"]}
    programs = {path.stem for path in (repository / "tests").rglob("*.cpp") if "int main(" in path.read_text()}
    assert {"test_libtransip", "test_native", "test_kernels", "test_search", "fuzz_model_file"} <= programs
    # Programs of tests/cuda that print instead of testing have other names.
    assert {
        name for name in programs if name.startswith("test_") or (repository / f"tests/cpp/{name}.cpp").exists()
    } <= listed
    assert {"test_native_threads", "test_kernels_undefined", "test_kernels--missing-row"} <= listed


@pytest.mark.long
def test_a_folder_with_tests_takes_a_build_of_one_plugin(tmp_path, repository):
    """As after `make test`, by `transip-md build lammps --folder`."""
    parts = {"TESTS": "ON", "LAMMPS": "ON", "LIBRARY": "OFF", "OPENMM": "OFF", "TORCH": "OFF"}
    result = subprocess.run(
        [
            str(find_tool("cmake")), "-S", str(repository), "-B", str(tmp_path), "-G", "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={find_tool('ninja')}", f"-DPython3_EXECUTABLE={sys.executable}",
            *(f"-DTRANSIP_{part}={value}" for part, value in parts.items()),
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.long
def test_all_pass(tmp_path_factory):
    folder = built_by_cmake(tmp_path_factory)
    result = ctest(folder, "--output-on-failure")
    assert result.returncode == 0, result.stdout[-5000:]
    assert "100% tests passed" in result.stdout
