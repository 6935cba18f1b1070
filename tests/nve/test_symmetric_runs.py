"""Constant-energy dynamics with an exact symmetry: the same run in every engine, and no lost angular momentum."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest

from transip_md.common.errors import UsageError
from transip_md.dynamics.run import NveSettings, run_nve
from transip_md.engines import ENGINE_NAMES
from transip_md.validation.parity import compare_engines

pytestmark = pytest.mark.usefixtures("lammps_plugin", "openmm_plugin")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, ethanol_file, repository):
    atoms = ase.io.read(repository / "examples/ethanol.xyz")
    return {
        symmetry: run_nve(
            ethanol_file,
            atoms,
            list(ENGINE_NAMES),
            tmp_path_factory.mktemp(symmetry.split()[0]),
            NveSettings(time=0.2, symmetry=symmetry),
        ).records
        for symmetry in ("none", "frame", "average 4")
    }


def lost(record) -> float:
    """Largest relative change of the angular momentum."""
    angular = record.angular
    return float(np.linalg.norm(angular - angular[0], axis=1).max() / np.linalg.norm(angular[0]))


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_frame_conserves_angular_momentum_and_energy(runs, engine):
    assert lost(runs["frame"][engine]) < 1e-9
    assert lost(runs["none"][engine]) > 1e-4
    energy = {symmetry: np.ptp(records[engine].total) for symmetry, records in runs.items()}
    assert energy["frame"] < 1.2 * energy["none"]


@pytest.mark.parametrize("symmetry", ["frame", "average 4"])
def test_engines_run_the_same(runs, symmetry):
    records = runs[symmetry]
    for engine in ("lammps", "openmm"):
        # LAMMPS's constants differ from CODATA 2018 by 6e-8.
        assert np.abs(records[engine].potential - records["ase"].potential)[:20].max() < 1e-6
    assert np.abs(records["ase"].potential - runs["none"]["ase"].potential).max() > 1e-4


def test_engines_agree_on_a_turned_structure(ethanol_file, repository, tmp_path):
    atoms = ase.io.read(repository / "examples/ethanol.xyz")
    reference = atoms.positions.copy()
    atoms.rotate(70, (1, 2, 3))
    rows, _ = compare_engines(ethanol_file, atoms, list(ENGINE_NAMES), tmp_path, symmetry="frame", reference=reference)
    assert len(rows) == 4 and all(row.passed for row in rows)
    assert rows[0].energy == pytest.approx(
        compare_engines(ethanol_file, atoms, ["ase"], tmp_path, symmetry="none")[0][0].energy, abs=0.1
    )


def test_random_rotations_are_refused_at_constant_energy():
    with pytest.raises(UsageError, match=r"brings energy at every step.* Type --ensemble nvt, or type symmetry"):
        NveSettings(symmetry="random 1").plan()
    NveSettings(symmetry="random 1", ensemble="nvt").plan()
    NveSettings(symmetry="random 1 forced").plan()
