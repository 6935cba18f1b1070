"""``transip-md nve``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from transip_md.cli.console import coloured_verdict, console, errors
from transip_md.cli.engine_commands import EngineChoice, Symmetry
from transip_md.cli.progress import LongTask
from transip_md.cli.summary import add_command, record
from transip_md.common.errors import CheckFailedError, UsageError
from transip_md.common.tolerances import DRIFT

if TYPE_CHECKING:
    import ase

    from transip_md.dynamics.results import Study
    from transip_md.dynamics.run import NveSettings


def nve(
    model: Annotated[Path | None, typer.Argument(help="A file made by `transip-md export`.")] = None,
    structures: Annotated[
        list[Path] | None,
        typer.Argument(help="Structures in any format that ase reads; periodic for models with a cutoff only."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for tables, pictures, report and LAMMPS decks.")] = Path(
        "nve"
    ),
    engine: EngineChoice = "all",
    dt: Annotated[list[float] | None, typer.Option("--dt", help="Time step, fs; repeats.  [default: 0.5]")] = None,
    time: Annotated[float, typer.Option("--time", help="Length of each run, ps.")] = 5.0,
    temperature: Annotated[
        list[float] | None, typer.Option(help="Of initial velocities and thermostat, K; repeats.  [default: 300]")
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(min=0, help="Of the initial velocities; repeats.  [default: 1]")
    ] = None,
    dtype: Annotated[
        list[str] | None, typer.Option(help="float32 or float64; repeats.  [default: the model file's]")
    ] = None,
    ensemble: Annotated[Literal["nve", "nvt"], typer.Option(help="nvt: a Nose-Hoover chain.")] = "nve",
    damping: Annotated[float, typer.Option(help="Relaxation time of the thermostat, fs.")] = 100.0,
    interval: Annotated[float, typer.Option(help="Time between records, fs.")] = 2.5,
    threshold: Annotated[float, typer.Option(help="Largest accepted drift, meV/atom/ps.")] = DRIFT,
    device: Annotated[str, typer.Option(help="Where the model runs: auto, cpu, cuda or cuda:N.")] = "auto",
    symmetry: Symmetry = "none",
    from_: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Judge a run from elsewhere: LAMMPS log, OpenMM or transip-md CSV; repeats."),
    ] = None,
    structure: Annotated[Path | None, typer.Option(help="With --from: the structure that was run.")] = None,
    trajectory: Annotated[
        Path | None, typer.Option(help="With --from and --structure: DCD, XTC, LAMMPS dump or extended XYZ.")
    ] = None,
) -> None:
    """Run dynamics from equal velocities in every engine, and judge how the energy is conserved.

    Every combination of structures, engines, time steps, temperatures, seeds and dtypes is run. A run that was
    interrupted resumes when the same command is typed again.
    """
    from transip_md.dynamics.run import NveSettings

    base = NveSettings(
        time=time,
        interval=interval,
        threshold=threshold,
        device=device,
        ensemble=ensemble,
        damping=damping,
        symmetry=symmetry,
    )
    if from_:
        if model is not None:
            raise UsageError("--from reads a run that was made elsewhere, and takes no model. Leave the model out.")
        study = _read(from_, structure, base)
        shapes = _shapes_of_trajectory(trajectory, structure)
    else:
        if model is None or not structures:
            raise UsageError("Expected a model file and a structure, or --from FILE. Type `transip-md nve --help`.")
        if structure is not None or trajectory is not None:
            raise UsageError("--structure and --trajectory go with --from.")
        study = _run(
            model, structures, engine, dt or [0.5], temperature or [300.0], seed or [1], dtype or [], base, out
        )
        shapes = _shapes_of_runs(study)
    _finish(study, shapes, out, model)


def _run(
    model: Path, structures: list[Path], engine: str, timesteps: list[float], temperatures: list[float],
    seeds: list[int], dtypes: list[str], base: NveSettings, out: Path,
) -> Study:  # fmt: skip
    from transip_md.modelfile.metadata import read_metadata

    # Before anything that takes seconds to import.
    metadata = read_metadata(model)
    from transip_md.data.electronic_state import known_state
    from transip_md.data.structures import read_structure
    from transip_md.dynamics.study import Matrix, name_structures, run_study
    from transip_md.engines import engine_list

    found = [(path, read_structure(path)) for path in structures]
    for path, atoms in found:
        known_state(metadata, atoms, str(path))
    named = name_structures(found)
    matrix = Matrix(
        named, engine_list(engine), *(list(dict.fromkeys(v)) for v in (timesteps, temperatures, seeds, dtypes)), base
    )
    try:
        with LongTask("dynamics") as progress:
            return run_study(
                model,
                matrix,
                out,
                lambda name, done, total: progress.update(done, total=total, description=name),
            )
    except (KeyboardInterrupt, SystemExit) as error:
        errors.print(f"Interrupted. The same command resumes from {out}.", soft_wrap=True)
        raise typer.Exit(error.code if isinstance(error, SystemExit) else 130) from None


def _read(logs: list[Path], structure: Path | None, base: NveSettings) -> Study:
    """A study of runs from elsewhere."""
    import ase

    from transip_md.data.structures import read_structure
    from transip_md.dynamics.analysis import analyse
    from transip_md.dynamics.logs import read_log
    from transip_md.dynamics.results import Study
    from transip_md.dynamics.study import conclude, make_run

    atoms = read_structure(structure) if structure is not None else None
    runs = []
    for path in logs:
        log = read_log(path, None if atoms is None else len(atoms))
        count = log.atoms or (len(atoms) if atoms is not None else None)
        if count is None:
            raise UsageError(f"{path} does not give the number of atoms. Type `--structure FILE`.")
        if atoms is not None and len(atoms) != count:
            raise UsageError(f"{path} is of {count} atoms, {structure} of {len(atoms)}.")
        record = log.record
        settings = dataclasses.replace(
            base,
            timestep=log.timestep or 0.0,
            temperature=float(record.temperature.mean()),
            time=float(record.time[-1] - record.time[0]),
            ensemble="nvt" if record.bath is not None else "nve",
        )
        # Names of elements do not matter to energies.
        stand_in = atoms if atoms is not None else ase.Atoms(f"X{count}", masses=[1.0] * count)
        verdict = analyse(record, count, base.threshold)
        runs.append(make_run(path.name, "", settings, log.engine, stand_in, record, verdict))
    return conclude(Study(", ".join(path.name for path in logs), None, base.threshold, runs))


def _shapes_of_trajectory(trajectory: Path | None, structure: Path | None) -> dict:
    if trajectory is None:
        return {}
    from transip_md.data.structures import read_structure
    from transip_md.dynamics.shape import read_trajectory, shape_of

    if structure is None:
        raise UsageError("--trajectory needs to know its atoms. Type `--structure FILE`, atoms in the same order.")
    atoms: ase.Atoms = read_structure(structure)
    return {trajectory.name: shape_of(read_trajectory(trajectory, atoms), atoms)}


def _shapes_of_runs(study: Study) -> dict:
    """Of the first run of each structure that kept frames; nothing without mdtraj."""
    from transip_md.common.optional import INSTALL, mdtraj
    from transip_md.dynamics.shape import shape_of, trajectory_of

    if mdtraj() is None:
        console.print(f"Bond lengths, RMSD and RDF are left out: mdtraj is not installed. {INSTALL}")
        return {}
    shapes = {}
    for run in study.runs:
        if run.structure not in shapes and run.record.frames is not None and run.record.frame_times is not None:
            trajectory = trajectory_of(run.atoms, run.record.frames, run.record.frame_times)
            shapes[run.structure] = shape_of(trajectory, run.atoms)
    return shapes


def _finish(study: Study, shapes: dict, out: Path, model: Path | None) -> None:
    """Print, write, and fail if something failed."""
    from transip_md.common.outputs import make_folder
    from transip_md.dynamics.report import write_study_report
    from transip_md.dynamics.results import write_tables

    make_folder(out)
    write_tables(study, out, shapes)
    write_study_report(study, out / "report.html", shapes)
    noted = record()
    noted.numbers |= {
        "largest_drift_meV_per_atom_ps": max(abs(run.conservation.slope) for run in study.runs),
        "largest_fluctuation_meV_per_atom": max(run.conservation.fluctuation for run in study.runs),
        "allowed_drift_meV_per_atom_ps": study.threshold,
    }
    noted.details |= study.to_dict()
    noted.files += [out / "report.html", out / "nve.csv", out / "nve.json"]
    console.print(_table(study))
    for name, order in study.orders.items():
        verdict = "PASS" if order.passed else "FAIL"
        console.print(f"{verdict} order of the integrator {order.order:.2f}: {name}", soft_wrap=True)
    for name, pair in study.pairs.items():
        verdict = "PASS" if pair.passed else "FAIL"
        console.print(f"{verdict} ensemble, off by {pair.off:.1f} sigma: {name}", soft_wrap=True)
    console.print(f"{out}: report.html, nve.csv, nve.json, pictures; a folder for each case, if there are several")
    if model is not None:
        from transip_md.cli.engine_commands import warn_of_direct_forces

        warn_of_direct_forces(model)
    if study.failures:
        raise CheckFailedError("Energy is not conserved. " + "; ".join(study.failures) + ".")


def _table(study: Study) -> Table:
    """One line a run; what all runs share stands in the title."""
    from transip_md.dynamics.results import shared_name, shortened_name

    table = Table(
        title=f"{study.model}: {shared_name(study)}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False,
        padding=(0, 1), collapse_padding=True,
    )  # fmt: skip
    # In a narrow terminal names and the error of the drift wrap; the other numbers never do.
    table.add_column("run", overflow="fold", min_width=8)
    table.add_column(Text("drift (meV\n/atom/ps)"), justify="right", overflow="fold", min_width=10)
    for heading in ("fluctuation\n(meV/atom)", "mean T\n(K)", "change\nof L", ""):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for run in study.runs:
        found = run.conservation
        table.add_row(
            shortened_name(study, run),
            f"{found.slope:+.5f} ± {found.slope_error:.5f}",
            f"{found.fluctuation:.5f}",
            f"{found.temperature:.0f}",
            "" if run.angular is None else f"{run.angular:.2g}",
            coloured_verdict(run.passed),
        )
    return table


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(app, nve)
