"""Constant-energy dynamics of the shipped model in every engine."""

from __future__ import annotations

import itertools

import ase.io
import numpy as np
import pytest

from transip_md.common.tolerances import DRIFT
from transip_md.dynamics.files import read_csv
from transip_md.dynamics.run import NveSettings, run_nve
from transip_md.engines import ENGINE_NAMES

pytestmark = pytest.mark.usefixtures("lammps_plugin", "openmm_plugin")


@pytest.fixture(scope="module")
def two_picoseconds(tmp_path_factory, ethanol_file, repository):
    folder = tmp_path_factory.mktemp("nve")
    atoms = ase.io.read(repository / "examples/ethanol.xyz")
    return folder, run_nve(ethanol_file, atoms, list(ENGINE_NAMES), folder, NveSettings(time=2.0))


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_drift_over_2_ps(two_picoseconds, engine):
    _, result = two_picoseconds
    verdict = result.verdicts[engine]
    assert verdict.passed, verdict
    assert abs(verdict.slope) <= DRIFT
    assert len(result.records[engine].time) == 801


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_start_is_the_same(two_picoseconds, engine):
    _, result = two_picoseconds
    record = result.records[engine]
    assert record.time[0] == 0 and record.time[-1] == pytest.approx(2.0)
    assert record.temperature[0] == pytest.approx(300.0, rel=1e-6)
    assert record.potential[0] == pytest.approx(result.records["ase"].potential[0], abs=1e-9)
    assert record.kinetic[0] == pytest.approx(result.records["ase"].kinetic[0], rel=2e-7)


@pytest.mark.parametrize("engine", ["lammps", "openmm"])
def test_engines_follow_the_same_path_at_first(two_picoseconds, engine):
    """A tenth of a picosecond: before rounding has grown into another path (units differ in the eighth digit)."""
    _, result = two_picoseconds
    first = slice(0, 41)
    reference = result.records["ase"]
    assert np.abs(result.records[engine].potential[first] - reference.potential[first]).max() < 1e-5


def test_temperature_is_the_one_that_lammps_prints(two_picoseconds):
    from transip_md.engines.lammps.engine import read_thermo

    folder, result = two_picoseconds
    printed = read_thermo(folder / "nve.log")[:, 5]
    # LAMMPS's Boltzmann constant of units metal has five digits.
    assert result.records["lammps"].temperature == pytest.approx(printed, rel=1e-5)


def test_files(two_picoseconds):
    folder, result = two_picoseconds
    for engine in ENGINE_NAMES:
        read = read_csv(folder / f"{engine}.csv")
        assert np.array_equal(read.potential, result.records[engine].potential)
        assert len(ase.io.read(folder / f"{engine}.extxyz", index=":")) == 201
    assert (folder / "energy.png").stat().st_size > 10_000
    assert (folder / "in.nve").is_file() and not (folder / "nve.dump").exists()


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_fluctuation_falls_as_the_square_of_the_time_step(tmp_path, ethanol_file, ethanol, engine):
    # Half a picosecond: later the paths of different time steps part, and with them the vibrations that are compared.
    fluctuation = []
    for timestep in (1.0, 0.5, 0.25):
        settings = NveSettings(timestep=timestep, time=0.5, interval=2.0, threshold=1.0)
        result = run_nve(ethanol_file, ethanol, [engine], tmp_path, settings)
        fluctuation.append(result.verdicts[engine].fluctuation)
    for coarse, fine in itertools.pairwise(fluctuation):
        assert 3.0 <= coarse / fine <= 5.0, fluctuation


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_drift_over_5_ps(tmp_path, ethanol_file, ethanol, engine):
    """The demo's time."""
    verdict = run_nve(ethanol_file, ethanol, [engine], tmp_path, NveSettings()).verdicts[engine]
    assert verdict.passed, verdict
    assert abs(verdict.slope) <= DRIFT


@pytest.mark.long
def test_drift_over_50_ps(tmp_path, ethanol_file, ethanol):
    """Ten times the demo's time: the drift is known ten times better."""
    verdict = run_nve(ethanol_file, ethanol, ["lammps"], tmp_path, NveSettings(time=50.0)).verdicts["lammps"]
    print(verdict)
    assert abs(verdict.slope) <= DRIFT / 10
    assert verdict.slope_error <= DRIFT / 10
