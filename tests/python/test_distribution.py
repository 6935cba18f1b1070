"""The wheel and the source distribution: what is in them, installed where nothing of the checkout is seen."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from transip_md.plugins.build import find_tool


def run(*command: object, cwd: Path, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(word) for word in command]
    result = subprocess.run(words, cwd=cwd, capture_output=True, text=True, env={**kept, **environment})
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def distributions(repository, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("distributions")
    for kind in ("wheel", "sdist"):
        run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder, cwd=repository)
    return folder


def test_an_installed_wheel_has_all_that_it_needs(distributions, tmp_path):
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert "transip_md/py.typed" in archive.namelist()
    # Not into this environment; its packages are seen, the checkout is not.
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", tmp_path / "site", wheel, cwd=tmp_path)
    code = """
import sys, transip_md
from transip_md.model.checkpoint import shipped_names
from transip_md.plugins.kinds import source_folder
assert transip_md.__file__.startswith(sys.argv[1]), transip_md.__file__
assert "water" in shipped_names() and str(source_folder()).startswith(sys.argv[1])
transip_md.export("ethanol", "ethanol.pt")
print(source_folder())
"""
    site = tmp_path / "site"
    sources = run(sys.executable, "-c", code, site, cwd=tmp_path, PYTHONPATH=str(site)).strip()
    locate = site / "transip_md" / "plugins" / "locate.py"
    python = f"-DPython3_EXECUTABLE={sys.executable}"
    configured = run(
        find_tool("cmake"), "-S", sources, "-B", tmp_path / "build", python, f"-DTRANSIP_LOCATE={locate}", cwd=tmp_path
    )
    assert "Build files have been written" in configured
    command = site / "bin" / "transip-md"
    assert "transip-md" in run(sys.executable, command, "--version", cwd=tmp_path, PYTHONPATH=str(site))


def test_the_source_distribution_builds_the_same_wheel(distributions, tmp_path):
    (source,) = distributions.glob("*.tar.gz")
    (wheel,) = distributions.glob("*.whl")
    # The first releases of Python 3.11 have no filters; this archive is our own.
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert not (folder / "recipes" / "organic" / "data").exists() and not (folder / ".venv").exists()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again", cwd=folder)
    (again,) = (tmp_path / "again").glob("*.whl")
    names = [sorted(zipfile.ZipFile(file).namelist()) for file in (wheel, again)]
    assert names[0] == names[1]
