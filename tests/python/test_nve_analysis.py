import numpy as np
import pytest

from transip_md.common import units
from transip_md.common.errors import UsageError
from transip_md.common.thermal import degrees_of_freedom, kinetic_energy, temperature_of, thermal_velocities
from transip_md.dynamics.analysis import analyse, slope_error
from transip_md.dynamics.files import plot_energies, read_csv, write_csv
from transip_md.dynamics.run import NveSettings
from transip_md.engines.base import EnergyRecord

ATOMS = 9


def record(slope: float, time: float = 5.0, amplitude: float = 0.05, noise: float = 0.0) -> EnergyRecord:
    """Total energy with a known drift (meV/atom/ps) and a known oscillation (meV/atom)."""
    times = np.linspace(0, time, 2001)
    deviation = slope * times + amplitude * np.sqrt(2) * np.sin(2 * np.pi * times / 0.011)
    deviation = deviation + np.random.default_rng(0).normal(scale=noise or 1e-12, size=len(times))
    kinetic = 0.3 + 0.1 * np.sin(20 * times)
    total = -300.0 + 1e-3 * ATOMS * deviation
    return EnergyRecord(times, total - kinetic, kinetic, temperature_of(kinetic, ATOMS))


@pytest.mark.parametrize("slope", [0.0, 0.01, -0.015, 0.3, -2.0])
def test_known_drift_and_fluctuation(slope):
    verdict = analyse(record(slope), ATOMS)
    assert verdict.slope == pytest.approx(slope, abs=3 * verdict.slope_error + 1e-4)
    assert verdict.fluctuation == pytest.approx(0.05, rel=0.02)
    assert verdict.passed == (abs(slope) <= 0.02)


def test_error_of_the_slope_is_the_scatter_of_slopes():
    """Many runs with independent noise: the error that each one claims is the scatter of their slopes."""
    times = np.linspace(0, 4, 400)
    rng = np.random.default_rng(1)
    slopes, errors = [], []
    for _ in range(400):
        energy = rng.normal(size=400)
        slopes.append(np.polyfit(times, energy, 1)[0])
        errors.append(slope_error(times, energy))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(slopes), rel=0.1)


def test_correlated_noise_needs_blocks():
    """With noise that remembers, the textbook error would be several times too small."""
    rng = np.random.default_rng(2)
    times = np.arange(4000) * 0.001
    slopes, errors = [], []
    for _ in range(200):
        shocks = rng.normal(size=4000)
        energy = np.zeros(4000)
        for i in range(1, 4000):
            energy[i] = 0.95 * energy[i - 1] + shocks[i]
        slopes.append(np.polyfit(times, energy, 1)[0])
        errors.append(slope_error(times, energy))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(slopes), rel=0.25)


def test_too_short_to_tell_fails():
    verdict = analyse(record(0.0, time=0.2, noise=1.0), ATOMS, threshold=10.0)
    short = analyse(record(0.0, time=0.02, noise=3.0), ATOMS, threshold=1000.0)
    assert verdict.passed and short.passed
    unsure = analyse(record(0.0, time=0.2, noise=1.0), ATOMS, threshold=abs(verdict.slope) + 1e-3)
    assert not unsure.passed and "too short to judge" in unsure.reason


def test_not_a_number_fails():
    bad = record(0.0)
    bad.potential[1000] = np.nan
    verdict = analyse(bad, ATOMS)
    assert not verdict.passed and "not finite" in verdict.reason


def test_csv_round_trip(tmp_path):
    written = record(0.01)
    write_csv(tmp_path / "e.csv", written)
    assert (tmp_path / "e.csv").read_text().splitlines()[0] == (
        "time_ps,potential_eV,kinetic_eV,total_eV,temperature_K"
    )
    columns = np.loadtxt(tmp_path / "e.csv", delimiter=",", skiprows=1)
    assert np.array_equal(columns[:, 3], columns[:, 1] + columns[:, 2])
    read = read_csv(tmp_path / "e.csv")
    for name in ("time", "potential", "kinetic", "temperature", "total"):
        assert np.array_equal(getattr(read, name), getattr(written, name)), name


def test_plot(tmp_path):
    from PIL import Image

    plot_energies(tmp_path / "e.png", {"ase": record(0.0), "other": record(0.1)}, ATOMS, "title")
    with Image.open(tmp_path / "e.png") as image:
        assert image.width > 600 and len(image.convert("L").getcolors()) > 20


def test_thermal_velocities(ethanol):
    velocities = thermal_velocities(ethanol, 300.0, seed=3)
    masses = ethanol.get_masses()
    assert np.abs((masses[:, None] * velocities).sum(axis=0)).max() < 1e-14
    energy = kinetic_energy(masses, velocities)
    assert energy == pytest.approx(0.5 * degrees_of_freedom(9) * units.BOLTZMANN * 300.0, rel=1e-12)
    assert np.array_equal(velocities, thermal_velocities(ethanol, 300.0, seed=3))
    assert not np.array_equal(velocities, thermal_velocities(ethanol, 300.0, seed=4))
    # 1/2 m v^2 of a hydrogen at 300 K: some 0.03 Angstrom/fs, in field units.
    assert 0.005 < np.abs(velocities[3]).mean() < 0.05


def test_maxwell_boltzmann_distribution(ethanol):
    """Over many seeds: every atom has its share of the kinetic energy."""
    share = np.zeros(9)
    masses = ethanol.get_masses()
    for seed in range(2000):
        velocities = thermal_velocities(ethanol, 300.0, seed)
        share += masses * (velocities**2).sum(axis=1)
    share /= share.sum()
    # Without the motion of the centre of mass an atom keeps 1 - m/M of its share.
    wanted = 1 - masses / masses.sum()
    assert share == pytest.approx(wanted / wanted.sum(), rel=0.05)


def test_settings():
    assert NveSettings(timestep=0.5, time=5.0, interval=2.5).plan() == (10000, 5)
    assert NveSettings(timestep=1.0, time=2.0, interval=2.5).plan() == (2000, 2)
    with pytest.raises(UsageError, match="too short for a verdict"):
        NveSettings(time=0.05).plan()
    with pytest.raises(UsageError, match="timestep must be positive"):
        NveSettings(timestep=-1.0).plan()
    for time in (float("nan"), float("inf")):
        with pytest.raises(UsageError, match="time must be positive and finite"):
            NveSettings(time=time).plan()
