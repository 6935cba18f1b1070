"""Drift and fluctuation of the conserved energy, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass

import ase
import numpy as np

from transip_md.common import units
from transip_md.common.thermal import degrees_of_freedom, thermal_angular_momentum
from transip_md.common.tolerances import DRIFT
from transip_md.engines.base import EnergyRecord

#: Blocks that the run is cut into for the error of the slope.
BLOCKS = 20
MILLI = 1000.0


@dataclass(frozen=True)
class Conservation:
    """How well a run conserved energy; at constant temperature, the energy with the thermostat's share.

    Attributes:
        slope: least-squares slope of the conserved energy, meV/atom/ps.
        slope_error: its standard error from block averages, meV/atom/ps.
        fluctuation: standard deviation of the conserved energy around that line, meV/atom.
        temperature: mean over the run, K.
        passed: the verdict.
        reason: why, in a few words.
        kt_per_ns_dof: the slope in kT of the mean temperature, per nanosecond and degree of freedom.
        per_sigma: |slope| of the whole energy over the standard deviation of the kinetic energy, 1/ps.
    """

    slope: float
    slope_error: float
    fluctuation: float
    temperature: float
    passed: bool
    reason: str
    kt_per_ns_dof: float = float("nan")
    per_sigma: float = float("nan")


def _line(time: np.ndarray, energy: np.ndarray) -> tuple[float, np.ndarray]:
    """Least-squares slope and the residuals around the line."""
    centred = time - time.mean()
    slope = float((centred * energy).sum() / (centred**2).sum())
    return slope, energy - energy.mean() - slope * centred


def slope_error(time: np.ndarray, energy: np.ndarray, blocks: int = BLOCKS) -> float:
    """Standard error of the least-squares slope, from averages over blocks.

    Neighbouring records are correlated (the energy error of velocity Verlet follows the vibrations), so the textbook
    error of a line through all of them is too small; averages over blocks longer than a vibration are not
    (Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989)). With b block means e_k at times t_k and residuals
    d_k: error^2 = sum(d_k^2) / (b - 2) / sum((t_k - <t>)^2).

    Args:
        time: [n], any unit.
        energy: [n].
        blocks: number of blocks, at most n.

    Returns:
        Error in units of energy over time.
    """
    blocks = min(blocks, len(time))
    times = np.array([part.mean() for part in np.array_split(time, blocks)])
    means = np.array([part.mean() for part in np.array_split(energy, blocks)])
    _, residuals = _line(times, means)
    return float(np.sqrt((residuals**2).sum() / (blocks - 2) / ((times - times.mean()) ** 2).sum()))


def drift_of(record: EnergyRecord, atoms: int) -> tuple[float, float]:
    """Slope of the conserved energy and its error, meV/atom/ps."""
    energy = MILLI * record.conserved / atoms
    return _line(record.time, energy)[0], slope_error(record.time, energy)


def fluctuation_of(record: EnergyRecord, atoms: int) -> float:
    """Standard deviation of the conserved energy around its line, meV/atom."""
    return float(_line(record.time, MILLI * record.conserved / atoms)[1].std())


def analyse(record: EnergyRecord, atoms: int, threshold: float = DRIFT) -> Conservation:
    """Judge a run.

    It passes if its drift is within the threshold and known better than the threshold; a run too short to judge fails.

    Args:
        record: energies along the run, at least 4 rows.
        atoms: number of atoms.
        threshold: largest accepted |slope|, meV/atom/ps.
    """
    temperature = float(np.mean(record.temperature))
    if not np.isfinite(record.conserved).all():
        nan = float("nan")
        return Conservation(nan, nan, nan, temperature, False, "the energy is not finite")
    slope, error = drift_of(record, atoms)
    if abs(slope) > threshold:
        passed, reason = False, f"drift above {threshold:g} meV/atom/ps"
    elif error > threshold:
        passed, reason = False, f"too short to judge: the drift is known to {error:.2g} meV/atom/ps only"
    else:
        passed, reason = True, f"drift within {threshold:g} meV/atom/ps"
    # meV/ps of the whole system is eV/ns.
    whole = slope * atoms
    thermal, spread = units.BOLTZMANN * temperature * degrees_of_freedom(atoms), float(np.std(record.kinetic))
    return Conservation(
        slope,
        error,
        fluctuation_of(record, atoms),
        temperature,
        passed,
        reason,
        kt_per_ns_dof=whole / thermal if thermal > 0 else float("nan"),
        per_sigma=abs(whole) / MILLI / spread if spread > 0 else float("nan"),
    )


def momentum_drift(record: EnergyRecord, atoms: ase.Atoms, temperature: float) -> tuple[float | None, float | None]:
    """Largest changes of momentum and angular momentum, over their thermal sizes.

    The thermal size of the momentum is sqrt(3 M kT); of the angular momentum see
    `transip_md.common.thermal.thermal_angular_momentum`.

    Args:
        record: of a run.
        atoms: the structure that it started from.
        temperature: K.

    Returns:
        The two, without unit; None where it was not recorded, and for the angular momentum of periodic structures:
        that is not conserved.
    """
    momentum = angular = None
    masses = atoms.get_masses()
    if record.momentum is not None:
        thermal = np.sqrt(3.0 * masses.sum() * units.BOLTZMANN * temperature * units.ACCELERATION)
        momentum = float(np.linalg.norm(record.momentum - record.momentum[0], axis=1).max() / thermal)
    if record.angular is not None and not atoms.pbc.any() and len(atoms) > 1:
        thermal = thermal_angular_momentum(masses, atoms.positions, temperature)
        angular = float(np.linalg.norm(record.angular - record.angular[0], axis=1).max() / thermal)
    return momentum, angular
