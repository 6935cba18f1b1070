"""Files of format 1, exported before there was an index of weights: every engine goes on giving their numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import ase
import numpy as np
import pytest

from transip_md.common.errors import UsageError
from transip_md.common.tolerances import PARITY
from transip_md.engines.ase import TransIPCalculator
from transip_md.engines.base import Job
from transip_md.exporting.recast import file_of_dtype
from transip_md.modelfile.certificate import stamp
from transip_md.modelfile.metadata import read_metadata

FOLDER = Path(__file__).resolve().parents[1] / "data" / "format1"
NUMBERS = json.loads((FOLDER / "numbers.json").read_text())
MODELS = sorted(NUMBERS)


def structure(name: str) -> ase.Atoms:
    values = NUMBERS[name]
    local = read_metadata(FOLDER / f"{name}.pt").cutoff is not None
    return ase.Atoms(values["numbers"], values["positions"], cell=values["cell"], pbc=local)


def check(name: str, energy: float, forces: np.ndarray) -> None:
    """Compare with what the version that wrote the file gave."""
    tolerance = PARITY[read_metadata(FOLDER / f"{name}.pt").dtype]
    assert energy == pytest.approx(NUMBERS[name]["energy"], abs=tolerance.energy)
    assert np.abs(forces - NUMBERS[name]["forces"]).max() < tolerance.force


@pytest.mark.parametrize("name", MODELS)
def test_ase(name):
    atoms = structure(name)
    atoms.calc = TransIPCalculator(FOLDER / f"{name}.pt", device="cpu")
    check(name, atoms.get_potential_energy(), atoms.get_forces())


@pytest.mark.parametrize("name", MODELS)
def test_lammps(name, lammps_plugin, tmp_path):
    from transip_md.engines.lammps.engine import LammpsEngine

    found = LammpsEngine().single_point(Job(FOLDER / f"{name}.pt", structure(name), tmp_path))
    check(name, found.energy, found.forces)


@pytest.mark.parametrize("name", MODELS)
def test_openmm(name, openmm_plugin, tmp_path):
    from transip_md.engines.openmm.engine import OpenMMEngine

    found = OpenMMEngine().single_point(Job(FOLDER / f"{name}.pt", structure(name), tmp_path))
    check(name, found.energy, found.forces)


def test_stamped_it_stays_of_format_1(tmp_path):
    copy = shutil.copy(FOLDER / "molecule.pt", tmp_path / "m.pt")
    assert stamp(copy, {"summary": "PASS"}).format == 1
    assert read_metadata(copy).certificate == {"summary": "PASS"}
    TransIPCalculator(copy, device="cpu")


def test_recast_it_becomes_format_2(tmp_path):
    recast = file_of_dtype(FOLDER / "molecule.pt", "float32", tmp_path)
    metadata = read_metadata(recast)
    assert metadata.format == 2 and metadata.network is not None and metadata.weights


def test_a_flipped_weight_is_found_by_its_crc(tmp_path):
    content = bytearray((FOLDER / "molecule.pt").read_bytes())
    content[len(content) // 3] ^= 1
    (tmp_path / "flipped.pt").write_bytes(content)
    with pytest.raises(UsageError, match="is damaged"):
        TransIPCalculator(tmp_path / "flipped.pt", device="cpu")
