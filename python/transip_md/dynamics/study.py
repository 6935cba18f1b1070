"""Many runs in one: structures, precisions, temperatures, time steps, seeds, engines; what they show together."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase

from transip_md.common.errors import UsageError
from transip_md.common.locks import exclusive
from transip_md.common.outputs import make_folder
from transip_md.dynamics.analysis import Conservation, momentum_drift
from transip_md.dynamics.ensemble import kinetic_ensemble, potential_ensemble
from transip_md.dynamics.order import order_of
from transip_md.dynamics.results import Run, Study, name_of
from transip_md.dynamics.run import NveSettings, run_nve
from transip_md.engines.base import EnergyRecord
from transip_md.exporting.recast import file_of_dtype
from transip_md.modelfile.metadata import Metadata, read_metadata

#: Called with the run's name, steps done and steps in all, over all runs.
StudyProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Matrix:
    """What to run: every combination.

    Attributes:
        structures: by name.
        engines: names.
        timesteps: fs.
        temperatures: K.
        seeds: of the initial velocities.
        dtypes: of the weights; empty: the model file's own.
        base: the settings that all runs share.
    """

    structures: dict[str, ase.Atoms]
    engines: list[str]
    timesteps: list[float]
    temperatures: list[float]
    seeds: list[int]
    dtypes: list[str]
    base: NveSettings


def _cases(matrix: Matrix) -> Iterator[tuple[str, str, NveSettings]]:
    """Structure, dtype and settings of every case."""
    products = itertools.product(matrix.structures, matrix.dtypes, matrix.temperatures, matrix.timesteps, matrix.seeds)
    for structure, dtype, temperature, timestep, seed in products:
        yield structure, dtype, dataclasses.replace(
            matrix.base, temperature=temperature, timestep=timestep, seed=seed
        )  # fmt: skip


def run_study(model: Path, matrix: Matrix, folder: Path, progress: StudyProgress = lambda *_: None) -> Study:
    """Run every combination and judge; records go into a folder.

    A folder of one case holds its files directly, else each case has a folder of its own. Runs that are finished are
    not run again, a run that was interrupted resumes.

    Args:
        model: an exported model file.
        matrix: what to run.
        folder: made if need be.
        progress: called with how far everything is.

    Raises:
        UsageError: settings, structure or model that cannot be used.
        EnvironmentFaultError: an engine or its plugin is missing, or another process runs in the folder.
    """
    metadata = read_metadata(model)
    matrix = dataclasses.replace(matrix, dtypes=matrix.dtypes or [metadata.dtype])
    cases = list(_cases(matrix))
    make_folder(folder)
    with exclusive(folder):
        return _run_cases(model, matrix, folder, cases, metadata, progress)


def _run_cases(
    model: Path,
    matrix: Matrix,
    folder: Path,
    cases: list[tuple[str, str, NveSettings]],
    metadata: Metadata,
    progress: StudyProgress,
) -> Study:
    """Run every combination in a folder that this process holds; see `run_study`."""
    all_steps = sum(settings.plan()[0] for *_, settings in cases) * len(matrix.engines)
    files = {dtype: file_of_dtype(model, dtype, folder) for dtype in matrix.dtypes}
    runs, before = [], 0
    for structure, dtype, settings in cases:
        atoms = matrix.structures[structure]
        name = f"{structure}-{dtype}-{settings.timestep:g}fs-{settings.temperature:g}K-seed{settings.seed}"
        run_folder = folder if len(cases) == 1 else folder / name
        done_by: dict[str, int] = {}

        def report(engine: str, done: int, _: int, name: str = name, before: int = before, by: dict = done_by) -> None:
            by[engine] = done
            progress(f"{name}, {engine}", before + sum(by.values()), all_steps)

        result = run_nve(files[dtype], atoms, matrix.engines, run_folder, settings, report)
        before += settings.plan()[0] * len(matrix.engines)
        runs += [
            make_run(structure, dtype, settings, engine, atoms, record, result.verdicts[engine])
            for engine, record in result.records.items()
        ]
    return conclude(Study(model.name, metadata, matrix.base.threshold, runs))


def make_run(
    structure: str, dtype: str, settings: NveSettings, engine: str, atoms: ase.Atoms, record: EnergyRecord,
    verdict: Conservation,
) -> Run:  # fmt: skip
    """A run with everything that is measured on it alone."""
    momentum, angular = momentum_drift(record, atoms, settings.temperature)
    kinetic = kinetic_ensemble(record, len(atoms), settings.temperature) if settings.ensemble == "nvt" else None
    return Run(structure, dtype, settings, engine, atoms, record, verdict, momentum, angular, kinetic)


def conclude(study: Study) -> Study:
    """Add what several runs show together: order of the integrator, and pairs of temperatures."""

    def by_name(name: Callable[[Run], str]) -> Iterator[tuple[str, list[Run]]]:
        groups: dict[str, list[Run]] = {}
        for run in study.runs:
            groups.setdefault(name(run), []).append(run)
        yield from groups.items()

    for name, group in by_name(study.series):
        found = order_of({run.settings.timestep: run.record for run in group}, len(group[0].atoms))
        if found is not None:
            study.orders[name] = found
    for name, group in by_name(lambda run: name_of(run, without=["temperature"])):
        runs = sorted(
            (run for run in group if run.settings.ensemble == "nvt"), key=lambda run: run.settings.temperature
        )
        for cold, warm in itertools.pairwise(runs):
            temperatures = cold.settings.temperature, warm.settings.temperature
            pair = potential_ensemble((cold.record, warm.record), len(cold.atoms), temperatures)
            if pair is not None:
                study.pairs[f"{name}, {temperatures[0]:g} and {temperatures[1]:g} K"] = pair
    return study


def name_structures(structures: Sequence[tuple[Path, ase.Atoms]]) -> dict[str, ase.Atoms]:
    """Structures by the names of their files. Raises UsageError for two of one name."""
    named: dict[str, ase.Atoms] = {}
    for path, atoms in structures:
        if path.stem in named:
            raise UsageError(f"Two structures are called {path.stem}. Give files with names of their own.")
        named[path.stem] = atoms
    return named
