"""A calculator travels to other processes: as the path, hash and options of its model."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import shutil

import pytest

from transip_md.common.errors import UsageError
from transip_md.engines.ase import TransIPCalculator
from transip_md.evaluators.torch_model import ExportedModel


def energy_of(atoms) -> float:
    return atoms.get_potential_energy()


@pytest.mark.parametrize("symmetry", ["none", "average 4", "frame"])
def test_round_trip(ethanol_file, ethanol, symmetry):
    ethanol.calc = TransIPCalculator(ethanol_file, device="cpu", symmetry=symmetry)
    energy, forces = ethanol.get_potential_energy(), ethanol.get_forces()
    for calculator in (pickle.loads(pickle.dumps(ethanol.calc)), copy.deepcopy(ethanol.calc)):
        other = ethanol.copy()
        other.calc = calculator
        assert other.get_potential_energy() == energy
        assert (other.get_forces() == forces).all()


def test_other_processes(ethanol_file, ethanol):
    """By spawn, as joblib, dask and Parsl start workers: nothing is inherited."""
    ethanol.calc = TransIPCalculator(ethanol_file, device="cpu")
    moved = ethanol.copy()
    moved.positions[0] += 0.05
    moved.calc = ethanol.calc
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map(energy_of, [ethanol, moved])
    assert found == [ethanol.get_potential_energy(), moved.get_potential_energy()]


def test_a_file_that_changed_meanwhile(ethanol_files, tmp_path):
    file = shutil.copy(ethanol_files["float64"], tmp_path / "m.pt")
    pickled = pickle.dumps(TransIPCalculator(file, device="cpu"))
    shutil.copy(ethanol_files["float32"], file)
    with pytest.raises(UsageError, match="its contents have changed"):
        pickle.loads(pickled)


def test_a_relative_path_is_found_from_elsewhere(ethanol_file, tmp_path, monkeypatch):
    monkeypatch.chdir(ethanol_file.parent)
    pickled = pickle.dumps(ExportedModel(ethanol_file.name, "cpu"))
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickled).metadata.species == (1, 6, 8)
