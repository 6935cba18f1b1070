"""Drift and fluctuation of the total energy, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transip_md.engines.base import EnergyRecord
from transip_md.tolerances import DRIFT

#: Blocks that the run is cut into for the error of the slope.
BLOCKS = 20


@dataclass(frozen=True)
class Conservation:
    """How well a run conserved energy.

    Attributes:
        slope: least-squares slope of the total energy, meV/atom/ps.
        slope_error: its standard error from block averages, meV/atom/ps.
        fluctuation: standard deviation of the total energy around that line, meV/atom.
        temperature: mean over the run, K.
        passed: the verdict.
        reason: why, in a few words.
    """

    slope: float
    slope_error: float
    fluctuation: float
    temperature: float
    passed: bool
    reason: str


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


def analyse(record: EnergyRecord, atoms: int, threshold: float = DRIFT) -> Conservation:
    """Judge a run.

    It passes if its drift is within the threshold and known better than the threshold; a run too short to tell fails.

    Args:
        record: energies along the run, at least 4 rows.
        atoms: number of atoms.
        threshold: largest accepted |slope|, meV/atom/ps.
    """
    energy = 1000.0 * record.total / atoms
    temperature = float(np.mean(record.temperature))
    if not np.isfinite(energy).all():
        nan = float("nan")
        return Conservation(nan, nan, nan, temperature, False, "the energy is not finite")
    slope, residuals = _line(record.time, energy)
    error = slope_error(record.time, energy)
    fluctuation = float(residuals.std())
    if abs(slope) > threshold:
        passed, reason = False, f"drift above {threshold:g} meV/atom/ps"
    elif error > threshold:
        passed, reason = False, f"too short to tell: the drift is known to {error:.2g} meV/atom/ps only"
    else:
        passed, reason = True, f"drift within {threshold:g} meV/atom/ps"
    return Conservation(slope, error, fluctuation, temperature, passed, reason)
