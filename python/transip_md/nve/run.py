"""Run the same constant-energy dynamics in several engines."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import ase

from transip_md.engines import make_engine
from transip_md.engines.base import Dynamics, EnergyRecord, Job
from transip_md.errors import UsageError
from transip_md.nve.analysis import Conservation, analyse
from transip_md.nve.files import plot_energies, write_csv
from transip_md.outputs import make_folder
from transip_md.runtime import ExportedModel, check_isolated
from transip_md.thermal import thermal_velocities
from transip_md.tolerances import DRIFT

#: Records that a verdict needs at least.
FEWEST_RECORDS = 40


@dataclass(frozen=True)
class NveSettings:
    """What to run.

    Attributes:
        timestep: fs.
        time: ps.
        temperature: of the initial velocities, K.
        seed: of the initial velocities.
        interval: between records, fs.
        threshold: largest accepted drift, meV/atom/ps.
        device: where the model runs.
    """

    timestep: float = 0.5
    time: float = 5.0
    temperature: float = 300.0
    seed: int = 1
    interval: float = 2.5
    threshold: float = DRIFT
    device: str = "auto"

    def plan(self) -> tuple[int, int]:
        """Number of steps and steps between records.

        Raises:
            UsageError: a value that is not positive, or too few records for a verdict.
        """
        for name in ("timestep", "time", "temperature", "interval", "threshold"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be positive and finite, got {getattr(self, name)}.")
        every = max(1, round(self.interval / self.timestep))
        records = int(self.time * 1000.0 / self.timestep / every + 1e-9)
        if records < FEWEST_RECORDS:
            raise UsageError(
                f"The run is too short for a verdict: {self.time} ps at {self.timestep} fs with a record every "
                f"{every * self.timestep:g} fs gives {records} records, {FEWEST_RECORDS} are needed. "
                "Raise --time or lower --interval."
            )
        return records * every, every


@dataclass(frozen=True)
class NveResult:
    """Records and verdicts by engine."""

    records: dict[str, EnergyRecord]
    verdicts: dict[str, Conservation]

    @property
    def passed(self) -> bool:
        """Whether every engine passed."""
        return all(verdict.passed for verdict in self.verdicts.values())


#: Called with the engine's name, steps done and steps in all.
EngineProgress = Callable[[str, int, int], None]


def run_nve(
    model: Path,
    atoms: ase.Atoms,
    engines: list[str],
    folder: Path,
    settings: NveSettings,
    progress: EngineProgress = lambda *_: None,
) -> NveResult:
    """Run, judge, and write everything into a folder.

    The folder gets ``<engine>.csv``, ``energy.png``, ``nve.json`` and, for LAMMPS, the deck that was run.

    Args:
        model: an exported model file.
        atoms: the structure; periodic for models with a cutoff only.
        engines: names of engines.
        folder: made if need be.
        settings: what to run.
        progress: told how far each engine is.

    Raises:
        UsageError: settings, structure or model that cannot be used.
        EnvironmentFaultError: an engine or its plugin is missing.
    """
    steps, every = settings.plan()
    exported = ExportedModel(model, device=settings.device)
    exported.metadata.check_species(atoms.numbers)
    if exported.metadata.cutoff is None:
        check_isolated(atoms.pbc)
    runners = [make_engine(name) for name in engines]
    make_folder(folder)
    dynamics = Dynamics(settings.timestep, steps, every, thermal_velocities(atoms, settings.temperature, settings.seed))
    job = Job(model, atoms, folder, settings.device)
    records = {}
    for runner in runners:

        def tell(done: int, name: str = runner.name) -> None:
            progress(name, done, steps)

        records[runner.name] = runner.dynamics(job, dynamics, tell)
        write_csv(folder / f"{runner.name}.csv", records[runner.name])
    verdicts = {name: analyse(record, len(atoms), settings.threshold) for name, record in records.items()}
    formula = atoms.get_chemical_formula()
    dtype = exported.metadata.dtype
    title = f"{formula}, constant energy, {settings.timestep:g} fs, {settings.temperature:g} K, {dtype}"
    plot_energies(folder / "energy.png", records, len(atoms), title)
    summary = {
        "model": model.name,
        "formula": formula,
        "settings": asdict(settings),
        "engines": {name: asdict(verdict) for name, verdict in verdicts.items()},
    }
    (folder / "nve.json").write_text(json.dumps(summary, indent=1) + "\n")
    return NveResult(records, verdicts)
