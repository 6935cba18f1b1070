"""The Fortran module of libtransip: every function of it against Python."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from sampled import file_with_sample
from transip_md.evaluators.committee import Committee
from transip_md.evaluators.library_model import LibraryModel
from transip_md.modelfile.committee_file import write_committee
from transip_md.symmetry.request import SymmetryRequest

NUMBERS = np.array([8, 1, 1])
POSITIONS = np.array([[0.0, 0.0, 0.0], [0.96, 0.1, 0.0], [-0.2, 0.93, 0.1]])


@pytest.fixture(scope="module")
def program(library, repository, tmp_path_factory):
    if shutil.which("gfortran") is None:
        pytest.skip("gfortran is not installed (apt install gfortran)")
    folder = tmp_path_factory.mktemp("fortran")
    command = [
        "gfortran", "-std=f2008", "-Wall", "-Wextra", "-Werror",
        str(repository / "examples" / "library" / "transip.f90"),
        str(repository / "tests" / "library" / "functions.f90"), str(library), f"-Wl,-rpath,{library.parent}",
        "-o", "run",
    ]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True)
    return folder / "run"


@pytest.mark.parametrize("shape", [{}, {"cutoff": 4.5}], ids=["all-to-all", "local"])
def test_functions(program, local_committee, tmp_path, shape):
    file = file_with_sample(tmp_path, **shape)
    result = subprocess.run([program, file, local_committee[0]], capture_output=True, text=True)
    assert result.returncode == 2 and "two models or more; got 1" in result.stderr
    committee = tmp_path / "committee.pt"
    write_committee(local_committee, committee)
    result = subprocess.run([program, file, committee], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    model = LibraryModel(file, 1)
    wanted = model.evaluate(NUMBERS, POSITIONS)
    energy = wanted.energies.sum()
    distances = model.distances(NUMBERS, POSITIONS)
    average = model.with_symmetry(SymmetryRequest.parse("average 12")).evaluate(NUMBERS, POSITIONS)
    found, deviation = Committee(local_committee).evaluate(NUMBERS, POSITIONS)
    energies = np.array([one.energies.sum() for one in found])
    expected = [
        np.concatenate([[energy], wanted.forces.ravel(), distances]),
        distances,
        np.array([energy, energy]),
        np.concatenate([[energy], wanted.forces.ravel()]),
        np.array([average.energies.sum()]),
        np.concatenate([[len(energies), energies.mean(), energies.std()], np.linalg.norm(deviation.forces, axis=1)]),
    ]
    lines = result.stdout.splitlines()
    for line, numbers in zip(lines, expected, strict=True):
        assert np.abs(np.array(line.split(), dtype=float) - numbers).max() <= 1e-9
