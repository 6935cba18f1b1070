"""The folders of the package import downward only, see [tool.importlinter] in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys


def test_the_map_of_imports(repository):
    found = subprocess.run(
        [sys.executable, "scripts/import_map.py"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "loose modules: none" in found.stdout
