"""The order of the integrator: how the fluctuation of the conserved energy falls with the time step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from transip_md.common.optional import physical_validation
from transip_md.dynamics.analysis import fluctuation_of
from transip_md.engines.base import EnergyRecord

#: The part of the runs that is compared, ps: later the paths of different time steps part, and their vibrations too.
SAME_PATH = 1.0
#: Of velocity Verlet and of every other symplectic integrator of practical use.
EXPECTED = 2.0
#: How far a fitted order may be off. Records, anharmonicity and a time step of 1 fs beside C-H vibrations cost 0.2.
ALLOWED = 0.4


@dataclass(frozen=True)
class Order:
    """The order that runs with several time steps show.

    Attributes:
        timesteps: fs, falling.
        fluctuations: meV/atom, over the first `SAME_PATH`.
        order: slope of log(fluctuation) against log(time step).
        deviation: physical_validation's: largest relative deviation of the ratio of two fluctuations from the square of
            the ratio of time steps; None without that package.
        passed: the order is `EXPECTED` within `ALLOWED`.
    """

    timesteps: list[float]
    fluctuations: list[float]
    order: float
    deviation: float | None
    passed: bool


def order_of(records: Mapping[float, EnergyRecord], atoms: int) -> Order | None:
    """The order, from records of otherwise equal runs by time step (fs); None from fewer than two time steps."""
    if len(records) < 2:
        return None
    timesteps = sorted(records, reverse=True)
    parts = [_beginning(records[timestep]) for timestep in timesteps]
    fluctuations = [fluctuation_of(part, atoms) for part in parts]
    if not np.isfinite(fluctuations).all() or min(fluctuations) <= 0:
        return Order(timesteps, fluctuations, float("nan"), None, False)
    order = float(np.polyfit(np.log(timesteps), np.log(fluctuations), 1)[0])
    deviation = _convergence(timesteps, parts)
    return Order(timesteps, fluctuations, order, deviation, abs(order - EXPECTED) <= ALLOWED)


def _beginning(record: EnergyRecord) -> EnergyRecord:
    """The first `SAME_PATH` of a run, energies only."""
    part = record.time <= record.time[0] + SAME_PATH + 1e-9
    bath = None if record.bath is None else record.bath[part]
    return EnergyRecord(
        record.time[part], record.potential[part], record.kinetic[part], record.temperature[part], bath=bath
    )


def _convergence(timesteps: list[float], parts: list[EnergyRecord]) -> float | None:
    package = physical_validation()
    if package is None:
        return None
    data = []
    for timestep, part in zip(timesteps, parts, strict=True):
        observables = package.data.ObservableData(constant_of_motion=part.conserved)
        data.append(package.data.SimulationData(dt=timestep, observables=observables))
    return float(package.integrator.convergence(data, verbose=False))
