"""Builds everything with plain cmake, warnings as errors, and runs the C++ tests."""

from __future__ import annotations

import subprocess

import pytest

from toys import bad_model_files


def test_cpp(cpp_build, toy_file, local_files, all_to_all_files, tmp_path):
    bad_model_files(tmp_path)
    files = [toy_file, tmp_path, *local_files.values(), *all_to_all_files.values()]
    command = [str(cpp_build / "test_libtransip"), *map(str, files)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 failed" in result.stdout


def test_plain_cpp_builds_the_plugins_that_can_be_built(cpp_build):
    from transip_md.plugins import locate

    assert (cpp_build / "lammps" / "transipplugin.so").is_file() == (locate.lammps_folder() is not None)
    assert (cpp_build / "openmm" / "libOpenMMTransIP.so").is_file() == (locate.openmm_folder() is not None)


def test_plugins_export_only_what_their_hosts_look_for(cpp_build):
    """Two plugins in one process must not see each other's libtransip."""
    for library in ("lammps/transipplugin.so", "openmm/libOpenMMTransIP.so"):
        path = cpp_build / library
        if not path.is_file():
            pytest.skip(f"{library} was not built: its engine is not installed")
        symbols = subprocess.run(["nm", "-DC", "--defined-only", str(path)], capture_output=True, text=True).stdout
        assert "transip::Model" not in symbols
