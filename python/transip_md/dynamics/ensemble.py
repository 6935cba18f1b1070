"""Do thermostatted runs sample the ensemble that they claim? Kinetic energies, and pairs of temperatures."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass

import numpy as np

from transip_md.common import units
from transip_md.common.optional import physical_validation
from transip_md.engines.base import EnergyRecord

#: Standard deviations that a sampled distribution may be off.
SIGMAS = 3.0
#: Uncorrelated samples that a distribution needs at least.
FEWEST_SAMPLES = 30


@dataclass(frozen=True)
class KineticEnsemble:
    """Kinetic energies of one run against the Maxwell-Boltzmann distribution.

    Attributes:
        mean: how far the mean is off, in its standard deviations.
        width: how far the standard deviation is off, in its standard deviations.
        passed: both are within `SIGMAS`.
    """

    mean: float
    width: float
    passed: bool


@dataclass(frozen=True)
class PotentialEnsemble:
    """Potential energies of two runs whose temperatures differ.

    The logarithm of the ratio of their distributions is a line of slope 1/kT1 - 1/kT2 (Shirts, J. Chem. Theory
    Comput. 9, 909 (2013)).

    Attributes:
        temperatures: K.
        off: how far the slope is off, in its standard deviations.
        passed: within `SIGMAS`.
    """

    temperatures: tuple[float, float]
    off: float
    passed: bool


def _data(record: EnergyRecord, atoms: int, temperature: float) -> object:
    package = physical_validation()
    assert package is not None
    ones = ("energy", "length", "volume", "temperature", "pressure", "time")
    unit = package.data.UnitData(kb=units.BOLTZMANN, **{f"{name}_conversion": 1.0 for name in ones})
    return package.data.SimulationData(
        units=unit,
        system=package.data.SystemData(natoms=atoms, nconstraints=0, ndof_reduction_tra=3, ndof_reduction_rot=0),
        ensemble=package.data.EnsembleData("NVT", natoms=atoms, volume=1.0, temperature=temperature),
        observables=package.data.ObservableData(
            kinetic_energy=record.kinetic, potential_energy=record.potential, total_energy=record.total
        ),
    )


@contextlib.contextmanager
def _quietly() -> object:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def kinetic_ensemble(record: EnergyRecord, atoms: int, temperature: float) -> KineticEnsemble | None:
    """Judge the kinetic energies of a thermostatted run; None without physical_validation or for too short a run.

    Args:
        record: of the run; its equilibration and correlated samples are left out by physical_validation.
        atoms: number of atoms.
        temperature: of the thermostat, K.
    """
    package = physical_validation()
    if package is None or len(record.time) < FEWEST_SAMPLES:
        return None
    data = _data(record, atoms, temperature)
    with _quietly():
        mean, width = package.kinetic_energy.distribution(data, strict=False, verbosity=0, bootstrap_seed=1)
    mean, width = float(mean), float(width)
    return KineticEnsemble(mean, width, abs(mean) <= SIGMAS and abs(width) <= SIGMAS)


def potential_ensemble(
    records: tuple[EnergyRecord, EnergyRecord], atoms: int, temperatures: tuple[float, float]
) -> PotentialEnsemble | None:
    """Judge the potential energies of two thermostatted runs; None without physical_validation, or without overlap.

    Args:
        records: of the runs.
        atoms: number of atoms.
        temperatures: of their thermostats, K.
    """
    package = physical_validation()
    if package is None:
        return None
    first, second = (_data(record, atoms, t) for record, t in zip(records, temperatures, strict=True))
    try:
        with _quietly():
            off = package.ensemble.check(first, second, verbosity=0)
    except (package.util.error.InputError, ValueError, RuntimeError, np.linalg.LinAlgError):
        return None
    number = float(np.max(np.abs(off)))
    return PotentialEnsemble(temperatures, number, number <= SIGMAS)
