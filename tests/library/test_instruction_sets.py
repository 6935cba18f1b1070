"""A file that was exported on one machine is taken on another, whose processor has other instructions."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from processor import instructions_here
from transip_md.exporting.export import export
from transip_md.model.checkpoint import load_shipped, shipped_names

LOAD = """
import sys
from transip_md import load_model
for path in sys.argv[1:]:
    assert "native" in load_model(path, kernels="native").runs_by, path
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory, library):
    folder = tmp_path_factory.mktemp("shipped")
    for name in shipped_names():
        export(load_shipped(name), folder / f"{name}.pt", "float32")
    return [str(file) for file in sorted(folder.glob("*.pt"))]


@pytest.mark.parametrize("instructions", instructions_here())
def test_shipped_models_in_float32(files, instructions):
    """Float32 rounds differently in each; the check of the reference structure knows by how much."""
    environment = {**os.environ, "TRANSIP_INSTRUCTIONS": instructions}
    result = subprocess.run([sys.executable, "-c", LOAD, *files], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
