"""What a study found: runs with their numbers, names for people, tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ase

from transip_md.common.whole_files import write_whole
from transip_md.dynamics.analysis import Conservation
from transip_md.dynamics.ensemble import KineticEnsemble, PotentialEnsemble
from transip_md.dynamics.order import Order
from transip_md.dynamics.run import NveSettings
from transip_md.dynamics.shape import Shape
from transip_md.engines.base import EnergyRecord
from transip_md.modelfile.metadata import Metadata


@dataclass(frozen=True)
class Run:
    """One run in one engine.

    Attributes:
        structure: name.
        dtype: of the weights; empty for runs from elsewhere.
        settings: of the run.
        engine: name.
        atoms: the structure.
        record: along the run.
        conservation: drift, fluctuation, verdict.
        momentum: largest change of the momentum over its thermal size; None if it was not recorded.
        angular: of the angular momentum; None for periodic structures too.
        kinetic: of thermostatted runs, the distribution of the kinetic energy.
    """

    structure: str
    dtype: str
    settings: NveSettings
    engine: str
    atoms: ase.Atoms
    record: EnergyRecord
    conservation: Conservation
    momentum: float | None
    angular: float | None
    kinetic: KineticEnsemble | None

    def row(self) -> dict[str, Any]:
        """Plain numbers of the run: a line of the table."""
        found = self.conservation
        return {
            "structure": self.structure,
            "atoms": len(self.atoms),
            "dtype": self.dtype,
            "engine": self.engine,
            "ensemble": self.settings.ensemble,
            "timestep_fs": self.settings.timestep,
            "time_ps": float(self.record.time[-1] - self.record.time[0]),
            "temperature_K": self.settings.temperature,
            "seed": self.settings.seed,
            "drift_meV_per_atom_ps": found.slope,
            "drift_error_meV_per_atom_ps": found.slope_error,
            "drift_kT_per_ns_dof": found.kt_per_ns_dof,
            "drift_per_sigma_kinetic_per_ps": found.per_sigma,
            "fluctuation_meV_per_atom": found.fluctuation,
            "mean_temperature_K": found.temperature,
            "momentum_change": self.momentum,
            "angular_momentum_change": self.angular,
            "kinetic_mean_sigma": self.kinetic.mean if self.kinetic else None,
            "kinetic_width_sigma": self.kinetic.width if self.kinetic else None,
            "verdict": "PASS" if self.passed else "FAIL",
            "reason": self.reason,
        }

    @property
    def passed(self) -> bool:
        """Energy is conserved and, with a thermostat, the kinetic energy is distributed as it should."""
        return self.conservation.passed and (self.kinetic is None or self.kinetic.passed)

    @property
    def reason(self) -> str:
        """Why, in a few words."""
        if self.conservation.passed and self.kinetic is not None and not self.kinetic.passed:
            return f"kinetic energies are off: mean {self.kinetic.mean:.1f}, width {self.kinetic.width:.1f} sigma"
        return self.conservation.reason


@dataclass
class Study:
    """Runs, and what several of them show together.

    Attributes:
        model: name of the model file, or of what was read.
        metadata: of the model file; None where there is none.
        threshold: of the drift, meV/atom/ps.
        runs: all of them.
        orders: of the integrator, by the runs' common name.
        pairs: of two temperatures, by the runs' common name.
    """

    model: str
    metadata: Metadata | None
    threshold: float
    runs: list[Run]
    orders: dict[str, Order] = field(default_factory=dict)
    pairs: dict[str, PotentialEnsemble] = field(default_factory=dict)

    def series(self, run: Run) -> str:
        """Name that runs which differ by the time step only have in common; of runs from elsewhere, by the engine."""
        return name_of(run, without=["timestep", *(["structure", "temperature"] if self.metadata is None else [])])

    @property
    def failures(self) -> list[str]:
        """What failed, one line each; empty if all passed."""
        lines = [f"{name_of(run)}: {run.reason}" for run in self.runs if not run.passed]
        lines += [f"{name}: order {found.order:.2f}, not 2" for name, found in self.orders.items() if not found.passed]
        lines += [
            f"{name}: potential energies are {found.off:.1f} sigma off" for name, found in self.pairs.items()
            if not found.passed
        ]  # fmt: skip
        return lines

    @property
    def verdict(self) -> str:
        """PASS or FAIL."""
        return "FAIL" if self.failures else "PASS"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, without the records."""
        return {
            "model": self.model,
            "verdict": self.verdict,
            "threshold_meV_per_atom_ps": self.threshold,
            "runs": [run.row() for run in self.runs],
            "orders": {name: asdict(found) for name, found in self.orders.items()},
            "ensembles": {name: asdict(found) for name, found in self.pairs.items()},
        }


def _parts(run: Run) -> dict[str, str]:
    """Parts of a run's name."""
    settings = run.settings
    parts = {"structure": run.structure, "engine": run.engine}
    if run.dtype:
        parts |= {"dtype": run.dtype, "seed": f"seed {settings.seed}"}
    if settings.timestep:
        parts["timestep"] = f"{settings.timestep:g} fs"
    return {**parts, "temperature": f"{settings.temperature:.4g} K"}


def name_of(run: Run, *, without: Sequence[str] = ()) -> str:
    """A run's name for people; `without`: parts that are left out, such as "timestep" and "engine"."""
    return ", ".join(text for part, text in _parts(run).items() if part not in without)


def _shared(study: Study) -> dict[str, str]:
    """Parts of the name that all runs share."""
    first, *others = (_parts(run) for run in study.runs)
    return {part: text for part, text in first.items() if all(other.get(part) == text for other in others)}


def shared_name(study: Study) -> str:
    """What all runs of a study have in common, with ensemble and time."""
    time = max(float(run.record.time[-1] - run.record.time[0]) for run in study.runs)
    kinds = {"nve": "constant energy", "nvt": "constant temperature"}
    ensembles = ", ".join(dict.fromkeys(kinds[run.settings.ensemble] for run in study.runs))
    return ", ".join([*_shared(study).values(), ensembles, f"{time:g} ps"])


def shortened_name(study: Study, run: Run, *, without: Sequence[str] = ()) -> str:
    """A run's name without what all runs share, and without some parts; never empty."""
    return name_of(run, without=[*_shared(study), *without]) or run.engine


def write_tables(study: Study, folder: Path, shapes: dict[str, Shape]) -> None:
    """Write ``nve.json``, with what trajectories show of structures by name, and ``nve.csv``."""
    values = {**study.to_dict(), "structures": {name: shape.summary() for name, shape in shapes.items()}}
    write_whole(folder / "nve.json", json.dumps(values, indent=1) + "\n")
    rows = [run.row() for run in study.runs]
    with (folder / "nve.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
