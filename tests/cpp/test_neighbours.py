"""The search for neighbours against all atoms in all boxes around, by any number of threads; under ThreadSanitizer."""

from __future__ import annotations

import os
import subprocess

import pytest


@pytest.mark.parametrize("program", ["test_neighbours", "test_neighbours_threads"])
def test_neighbours(cpp_build, program):
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1"}
    result = subprocess.run([str(cpp_build / program)], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 failed" in result.stdout
