"""Run the same dynamics in several engines, each from where an interrupted run left it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import ase

from transip_md.common.errors import UsageError
from transip_md.common.outputs import make_folder
from transip_md.common.thermal import thermal_velocities
from transip_md.common.tolerances import DRIFT
from transip_md.data.electronic_state import NEUTRAL_SINGLET, known_state
from transip_md.dynamics.analysis import Conservation, analyse
from transip_md.dynamics.files import plot_energies, read_csv, read_positions, write_csv, write_frames
from transip_md.engines import make_engine
from transip_md.engines.base import Dynamics, EnergyRecord, Engine, Job
from transip_md.evaluators.evaluation import check_isolated
from transip_md.modelfile.metadata import read_metadata
from transip_md.symmetry.request import SymmetryRequest

#: Records that a verdict needs at least.
FEWEST_RECORDS = 40
#: Frames that a run keeps, and states that it writes to resume from, at most.
FRAMES, STATES = 200, 50


@dataclass(frozen=True)
class NveSettings:
    """What to run.

    Attributes:
        timestep: fs.
        time: ps.
        temperature: of the initial velocities and of the thermostat, K.
        seed: of the initial velocities.
        interval: between records, fs.
        threshold: largest accepted drift, meV/atom/ps.
        device: where the model runs.
        ensemble: "nve", or "nvt" with a Nose-Hoover chain.
        damping: relaxation time of the thermostat, fs.
        symmetry: "none", "average N", "frame" (on the structure that the run starts from) or the like.
    """

    timestep: float = 0.5
    time: float = 5.0
    temperature: float = 300.0
    seed: int = 1
    interval: float = 2.5
    threshold: float = DRIFT
    device: str = "auto"
    ensemble: Literal["nve", "nvt"] = "nve"
    damping: float = 100.0
    symmetry: str = "none"

    def plan(self) -> tuple[int, int]:
        """Number of steps and steps between records.

        Raises:
            UsageError: a value that is not positive, or too few records for a verdict.
        """
        for name in ("timestep", "time", "temperature", "interval", "threshold", "damping"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be positive and finite, got {getattr(self, name)}.")
        if self.ensemble not in ("nve", "nvt"):
            raise UsageError(f"ensemble must be nve or nvt, got {self.ensemble!r}.")
        SymmetryRequest.parse(self.symmetry).check_thermostat(self.ensemble == "nvt", "Type --ensemble nvt")
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
    """Records and verdicts by engine.

    Attributes:
        records: energies along the run, one record an engine.
        verdicts: how well each engine conserved energy.
    """

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

    The folder gets ``<engine>.csv``, ``<engine>.extxyz`` with frames, ``energy.png`` and, for LAMMPS, the deck that was
    run. What an earlier call with the same arguments finished is read; what it began resumes.

    Args:
        model: an exported model file.
        atoms: the structure; periodic for models with a cutoff only.
        engines: names of engines.
        folder: made if need be.
        settings: what to run.
        progress: called with how far each engine is.

    Raises:
        UsageError: settings, structure or model that cannot be used.
        EnvironmentFaultError: an engine or its plugin is missing.
    """
    steps, every = settings.plan()
    metadata = read_metadata(model)
    metadata.check_species(atoms.numbers)
    known_state(metadata, atoms, f"The structure {atoms.get_chemical_formula()}")
    if metadata.cutoff is None:
        check_isolated(atoms.pbc)
    runners = [make_engine(name) for name in engines]
    make_folder(folder)
    records_count = steps // every
    dynamics = Dynamics(
        settings.timestep,
        steps,
        every,
        thermal_velocities(atoms, settings.temperature, settings.seed),
        ensemble=settings.ensemble,
        temperature=settings.temperature,
        damping=settings.damping,
        frames_every=math.ceil(records_count / FRAMES),
        save_every=math.ceil(records_count / STATES),
    )
    job = Job(model, atoms, folder, settings.device, settings.symmetry)
    records = {}
    for runner in runners:

        def report(done: int, name: str = runner.name) -> None:
            progress(name, done, steps)

        records[runner.name] = _run_or_read(runner, job, dynamics, settings, report)
        report(steps)
    verdicts = {name: analyse(record, len(atoms), settings.threshold) for name, record in records.items()}
    kind = "energy" if settings.ensemble == "nve" else "temperature"
    title = (
        f"{atoms.get_chemical_formula()}, constant {kind}, {settings.timestep:g} fs, {settings.temperature:g} K, "
        f"{metadata.dtype}"
    )
    plot_energies(folder / "energy.png", records, len(atoms), title)
    return NveResult(records, verdicts)


def _fingerprint(job: Job, dynamics: Dynamics, settings: NveSettings) -> str:
    """What makes two runs the same: model, structure, velocities, settings but for the threshold."""
    plain = {**asdict(settings), "threshold": None, "every": dynamics.every, "steps": dynamics.steps}
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    atoms = job.atoms
    for part in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, atoms.get_masses(), dynamics.velocities):
        digest.update(part.tobytes())
    if job.state != NEUTRAL_SINGLET:
        digest.update(repr(tuple(job.state)).encode())
    digest.update(job.model.read_bytes())
    return digest.hexdigest()


def _run_or_read(
    runner: Engine, job: Job, dynamics: Dynamics, settings: NveSettings, report: Callable[[int], None]
) -> EnergyRecord:
    """A record that lies in the folder, or a run, which resumes where an interrupted one of the same kind stopped."""
    mark, table = job.folder / f"{runner.name}.run", job.folder / f"{runner.name}.csv"
    frames = job.folder / f"{runner.name}.extxyz"
    wanted = _fingerprint(job, dynamics, settings)
    if not mark.is_file() or mark.read_text() != wanted:
        for stale in (table, frames, *job.folder.glob(f"{runner.name}.state.*")):
            stale.unlink(missing_ok=True)
        if runner.name == "lammps":
            for stale in job.folder.glob(f"{settings.ensemble}.restart.*"):
                stale.unlink()
        mark.write_text(wanted)
    if table.is_file():
        record = read_csv(table)
        if frames.is_file():
            positions, times = read_positions(frames)
            record = dataclasses.replace(record, frames=positions, frame_times=times)
        return record
    record = runner.dynamics(job, dynamics, report)
    write_frames(frames, record, job.atoms)
    write_csv(table, record)
    return record
