"""The C++ interface of the OpenMM plugin: installed by cmake, used by the example in C++."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")

from made_once import build_example, built_by_cmake
from transip_md.common import units
from transip_md.common.tolerances import PARITY
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.plugins.build import find_tool
from transip_md.plugins.locate import openmm_folder


@pytest.fixture(scope="module")
def program(repository, tmp_path_factory) -> Path:
    """examples/openmm/cpp, built by its CMakeLists.txt against the installed plugin and the OpenMM of the wheel."""
    built = built_by_cmake(tmp_path_factory, "transip_openmm")
    prefix, build = tmp_path_factory.mktemp("prefix"), tmp_path_factory.mktemp("example")
    install = [str(find_tool("cmake")), "--install", str(built), "--component", "openmm", "--prefix", str(prefix)]
    result = subprocess.run(install, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    build_example(repository / "examples" / "openmm" / "cpp", build, openmm_folder(), prefix)
    return build / "energy"


def test_the_example_gives_the_reference_numbers(program, ethanol_file, ethanol, repository):
    structure = repository / "examples" / "ethanol.xyz"
    result = subprocess.run([program, ethanol_file, structure], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    energy, *rows, end = result.stdout.splitlines()
    wanted, forces, _ = ExportedModel(ethanol_file).evaluate(ethanol.numbers, ethanol.positions)
    tolerance = PARITY["float64"]
    assert float(energy.split()[1]) / units.KJ_PER_MOL_PER_EV == pytest.approx(wanted.sum(), abs=tolerance.energy)
    got = np.array([row.split() for row in rows], dtype=float) / (units.KJ_PER_MOL_PER_EV * units.ANGSTROM_PER_NM)
    assert np.abs(got - forces).max() <= tolerance.force
    # At rest at first: what the dynamics keeps is the energy of the start.
    assert float(end.split()[-2]) == pytest.approx(float(energy.split()[1]), abs=0.05)


def test_the_example_says_what_is_wrong(program, tmp_path, repository):
    structure = repository / "examples" / "ethanol.xyz"
    result = subprocess.run([program, tmp_path / "none.pt", structure], capture_output=True, text=True)
    assert result.returncode == 2 and "No such model file" in result.stderr
