"""libtransip installed by cmake and used from C, and its answers to what cannot be evaluated."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess

import numpy as np
import pytest

from made_once import build_example
from transip_md.evaluators import binding
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.plugins.build import find_tool


@pytest.fixture(scope="session")
def installed(cpp_build, tmp_path_factory):
    """A prefix with the library, its header and its packages."""
    prefix = tmp_path_factory.mktemp("prefix")
    command = [str(find_tool("cmake")), "--install", str(cpp_build), "--component", "library", "--prefix", str(prefix)]
    subprocess.run(command, check=True, capture_output=True)
    return prefix


@pytest.fixture(scope="session")
def program(installed, repository, tmp_path_factory):
    """The example in C, and beside it that in Fortran, built by their CMakeLists.txt through the CMake package."""
    build = tmp_path_factory.mktemp("example")
    build_example(repository / "examples" / "library", build, installed)
    return build / "energy"


def test_the_c_example_gives_the_reference_numbers(program, ethanol_file, ethanol, repository):
    check_numbers(program, "by native kernels", ethanol_file, ethanol, repository)


@pytest.fixture
def fortran_program(program):
    if shutil.which("gfortran") is None:
        pytest.skip("gfortran is not installed (apt install gfortran)")
    return program.with_name("energy_fortran")


def test_the_fortran_example_gives_the_reference_numbers(fortran_program, ethanol_file, ethanol, repository):
    check_numbers(fortran_program, " eV", ethanol_file, ethanol, repository)


def test_the_fortran_example_says_what_is_wrong(fortran_program, tmp_path, repository):
    structure = repository / "examples" / "ethanol.xyz"
    result = subprocess.run([fortran_program, tmp_path / "none.pt", structure], capture_output=True, text=True)
    assert result.returncode == 2 and "No such model file" in result.stderr


def check_numbers(program, line, ethanol_file, ethanol, repository):
    structure = repository / "examples" / "ethanol.xyz"
    said = subprocess.run([program, ethanol_file, structure], capture_output=True, text=True, check=True).stdout
    wanted = ExportedModel(ethanol_file, "cpu").evaluate(ethanol.numbers, ethanol.positions)
    lines = said.splitlines()
    assert line in lines[0]
    assert float(lines[0].split()[1]) == pytest.approx(wanted.energies.sum(), abs=1e-9)
    forces = np.array([[float(value) for value in line.split()[2:5]] for line in lines[1:]])
    assert forces == pytest.approx(wanted.forces, abs=1e-8)


def test_the_c_example_says_what_is_wrong(program, tmp_path, repository):
    structure = repository / "examples" / "ethanol.xyz"
    result = subprocess.run([program, tmp_path / "none.pt", structure], capture_output=True, text=True)
    assert result.returncode == 2 and "No such model file" in result.stderr


def test_pkg_config(installed, repository, tmp_path, ethanol_file):
    if shutil.which("pkg-config") is None or shutil.which("cc") is None:
        pytest.skip("pkg-config or cc is not installed")
    folder = next(installed.rglob("pkgconfig"))
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "transip"],
        env={**os.environ, "PKG_CONFIG_PATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    source = repository / "examples" / "library" / "energy.c"
    subprocess.run(
        ["cc", "-std=c99", "-Wall", "-Werror", str(source), "-o", "energy", *flags], cwd=tmp_path, check=True
    )
    library = {"LD_LIBRARY_PATH": str(folder.parent)}
    command = ["./energy", str(ethanol_file), str(repository / "examples" / "ethanol.xyz")]
    said = subprocess.run(command, cwd=tmp_path, env={**os.environ, **library}, capture_output=True, text=True)
    assert said.stdout.startswith("energy "), said.stderr


def test_the_header_is_c99_and_cxx(repository, tmp_path):
    for language in (["-x", "c", "-std=c99"], ["-x", "c++", "-std=c++11"]):
        (tmp_path / "use.c").write_text('#include "transip.h"\nint main(void) { return transip_interface() == 0; }\n')
        include = f"-I{repository / 'libtransip' / 'include'}"
        command = ["g++", *language, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", include, "use.c"]
        subprocess.run(command, cwd=tmp_path, check=True)


@pytest.fixture
def loaded(ethanol_file, library):
    """A handle of ethanol."""
    handle = ctypes.c_void_p()
    found = binding.library()
    assert found.transip_load(str(ethanol_file).encode(), None, ctypes.byref(handle)) == 0
    yield found, handle
    found.transip_free(handle)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"species": None}, "species must not be NULL"),
        ({"positions": None}, "positions must not be NULL"),
        ({"atoms": -1}, "atoms must be 0 or more, got -1"),
        ({"charge": 7}, "got charge 7"),
        ({"multiplicity": 0}, "got multiplicity 0"),
        ({"periodic": (ctypes.c_int * 3)(1, 1, 1)}, "attends all-to-all"),
    ],
)
def test_bad_structures_are_refused(loaded, ethanol, change, words):
    library, handle = loaded
    species, positions = ethanol.numbers.astype(np.int64), ethanol.positions.copy()
    fields = {"atoms": 9, "species": species.ctypes.data, "positions": positions.ctypes.data, "multiplicity": 1}
    structure, energy = binding.Atoms(**{**fields, **change}), ctypes.c_double()
    result = binding.Result(ctypes.addressof(energy), None, None, None)
    assert library.transip_evaluate(handle, ctypes.byref(structure), ctypes.byref(result)) == 1
    assert words in library.transip_message().decode()


def test_values_that_are_not_finite(loaded, ethanol):
    library, handle = loaded
    species, positions = ethanol.numbers.astype(np.int64), ethanol.positions.copy()
    energy = ctypes.c_double()
    result = binding.Result(ctypes.addressof(energy), None, None, None)
    structure = binding.Atoms(atoms=9, species=species.ctypes.data, positions=positions.ctypes.data, multiplicity=1)
    positions[4] = positions[2]
    assert library.transip_evaluate(handle, ctypes.byref(structure), ctypes.byref(result)) == 2
    assert "at one position" in library.transip_message().decode()
    positions[4] = np.nan
    assert library.transip_evaluate(handle, ctypes.byref(structure), ctypes.byref(result)) == 1
    assert "atom 4 (counted from 0) is not finite" in library.transip_message().decode()


def test_null_handles(library):
    found = binding.library()
    assert found.transip_load(None, None, None) == 1
    assert found.transip_evaluate(None, None, None) == 1
    assert "model must not be NULL" in found.transip_message().decode()
    found.transip_free(None)


@pytest.mark.parametrize("name", ["local", "molecule"])
def test_random_structures_under_the_sanitizers(cpp_build, name, local_file, molecule_file):
    """Two hundred of each kind of model, on one thread and on two; a sanitizer's finding ends the program."""
    file = {"local": local_file, "molecule": molecule_file}[name]
    command = [cpp_build / "random_structures", file, "200", "1", "6", "8"]
    environment = {**os.environ, "TRANSIP_INSTRUCTIONS": "baseline"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert result.returncode == 0 and result.stdout == "200 structures\n", result.stdout + result.stderr
