"""The native kernels alone: threads, virials of single atoms, forked children, ranks; and under ThreadSanitizer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from engine_model_files import write_networks
from processor import instructions_here


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    return write_networks(tmp_path_factory.mktemp("networks"))


def run(program: Path, *arguments: object, **environment: str) -> str:
    command = [str(program), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 failed" in result.stdout
    return result.stdout


*SLOWER, FASTEST = instructions_here()


def test_kernels(cpp_build, files):
    run(cpp_build / "test_native", *files.values(), TRANSIP_INSTRUCTIONS=FASTEST)


@pytest.mark.parametrize("instructions", SLOWER)
@pytest.mark.parametrize("length", ["--short", pytest.param("", marks=pytest.mark.long)])
def test_kernels_that_are_not_taken_here(cpp_build, files, instructions, length):
    """The same source with other instructions: forces by differences are for the long tests."""
    words = [length] if length else []
    run(cpp_build / "test_native", *words, *files.values(), TRANSIP_INSTRUCTIONS=instructions)


def test_threads_under_thread_sanitizer(cpp_build, files):
    some = [files["local"], files["molecule-float32"]]
    run(
        cpp_build / "test_native_threads", "--short", *some,
        TRANSIP_INSTRUCTIONS="baseline", TSAN_OPTIONS="halt_on_error=1",
    )  # fmt: skip
