"""``transip-md eval``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from transip_md.cli.console import console
from transip_md.cli.progress import LongTask
from transip_md.cli.summary import add_command, record
from transip_md.common.errors import CheckFailedError, UsageError

if TYPE_CHECKING:
    from transip_md.data.frames import Frames
    from transip_md.model.checkpoint import Checkpoint
    from transip_md.model.network import TransIP
    from transip_md.training.evaluation import Report, Tally


def evaluate(
    checkpoint: Annotated[
        str, typer.Argument(help="A checkpoint file, or the name of a shipped model, such as ethanol.")
    ],
    data: Annotated[list[Path], typer.Argument(help="Labelled files, or folders of .aselmdb.")],
    rotations: Annotated[
        bool, typer.Option("--rotation/--no-rotation", help="Measure what changes when structures are rotated.")
    ] = True,
    charge: Annotated[int, typer.Option(help="Total charge, e, of frames that do not give theirs.")] = 0,
    multiplicity: Annotated[int, typer.Option(min=1, help="Spin multiplicity of frames that do not give theirs.")] = 1,
    device: Annotated[str, typer.Option(help="Where the model runs: auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Errors of a model on labelled structures: over all, by element, by number of atoms and under rotation."""
    from transip_md.data.frames import open_frames
    from transip_md.evaluators.torch_model import choose_device
    from transip_md.training.evaluation import Tally

    where = choose_device(device)
    loaded = _load(checkpoint)
    sets = {
        str(path): open_frames([path], species=loaded.config.species, charge=charge, multiplicity=multiplicity)
        for path in data
    }
    tallies = _measure(loaded.model.to(where).requires_grad_(False), sets, rotations)
    reports = {name: tally.report() for name, tally in tallies.items()}
    whole = Tally.total(list(tallies.values())).report()
    if len(reports) > 1:
        console.print(_files_table(reports))
    for table in (_whole_table(checkpoint, whole), _elements_table(whole), _sizes_table(whole)):
        console.print(table)
    if not loaded.config.conservative:
        from transip_md.modelfile.metadata import NOT_CONSERVATIVE

        console.print(Text(NOT_CONSERVATIVE, style="yellow"), soft_wrap=True)
    noted = record()
    noted.numbers |= _numbers(whole)
    noted.details |= _origin(checkpoint, loaded) | {
        "assumed": {"charge": charge, "multiplicity": multiplicity},
        "files": [{"file": name, **report.to_dict()} for name, report in reports.items()],
        "whole": whole.to_dict(),
    }


def _load(checkpoint: str) -> Checkpoint:
    from transip_md.model.checkpoint import load_named
    from transip_md.modelfile.metadata import read_metadata

    try:
        exported = read_metadata(checkpoint)
    except UsageError:
        return load_named(checkpoint)
    raise UsageError(
        f"{checkpoint} is a file made by `transip-md export`. Expected the checkpoint that it was made from "
        f"(sha256 {exported.source_sha256 or 'unknown'}), or the name of a shipped model."
    )


def _measure(model: TransIP, sets: dict[str, Frames], rotations: bool) -> dict[str, Tally]:
    """Count the errors on each set. CheckFailedError if the model gives values that are not finite."""
    from transip_md.training.evaluation import tally_errors

    tallies: dict[str, Tally] = {}
    total = sum(len(frames) for frames in sets.values())
    with LongTask("evaluating", total, unit="structures") as progress:
        before = 0
        for name, frames in sets.items():
            tallies[name] = tally_errors(
                model,
                frames,
                rotations=rotations,
                advanced=lambda done, before=before: progress.update(before + done),
            )
            before += len(frames)
            found = tallies[name].report()
            if not math.isfinite(found.energy_rmse + found.force_rmse):
                raise CheckFailedError(
                    f"{name}: the model gives energies or forces that are not finite. Two atoms at one position, or "
                    "weights that are not finite, do that."
                )
    return tallies


def _number(value: float) -> str:
    return f"{value:.4g}"


def _table(title: str, *headings: str) -> Table:
    """A table whose first column is text and the others are numbers."""
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(Text(heading), justify="right" if table.columns else "left", overflow="fold")
    return table


def _whole_table(model: str, report: Report) -> Table:
    table = _table(f"{model}: errors", "", "value", "unit")
    table.columns[2].justify = "left"
    table.add_row("structures", str(report.structures), "")
    table.add_row("energy MAE", _number(report.energy_mae), "meV/atom")
    table.add_row("energy RMSE", _number(report.energy_rmse), "meV/atom")
    table.add_row("force component MAE", _number(report.force_mae), "meV/Angstrom")
    table.add_row("force component RMSE", _number(report.force_rmse), "meV/Angstrom")
    rotated = report.rotation
    if rotated is not None:
        table.add_section()
        table.add_row("rotation: energy, mean", _number(rotated.energy_mae), "meV/atom")
        table.add_row("rotation: force component, mean", _number(rotated.force_mae), "meV/Angstrom")
        table.add_row("rotation: force component, worst", _number(rotated.force_worst), "meV/Angstrom")
        table.add_row("rotation: force, mean cosine", f"{rotated.force_cosine:.7f}", "")
    return table


def _files_table(reports: dict[str, Report]) -> Table:
    # Headings of two lines leave room for the names in a terminal of 80 columns.
    table = _table(
        "files: energies in meV/atom, forces in meV/Angstrom",
        "file", "struc-\ntures", "energy\nMAE", "force\nMAE", "force\nRMSE", "rotation:\nforce",
    )  # fmt: skip
    names = [Path(path).name for path in reports]
    shown = names if len(set(names)) == len(names) else list(reports)
    for name, report in zip(shown, reports.values(), strict=True):
        rotated = "-" if report.rotation is None else _number(report.rotation.force_mae)
        numbers = (report.energy_mae, report.force_mae, report.force_rmse)
        table.add_row(name, str(report.structures), *map(_number, numbers), rotated)
    return table


def _elements_table(report: Report) -> Table:
    table = _table("by element: meV/Angstrom", "element", "components", "force MAE", "force RMSE")
    for element, error in report.elements.items():
        table.add_row(element, str(error.components), _number(error.mae), _number(error.rmse))
    return table


def _sizes_table(report: Report) -> Table:
    table = _table(
        "by number of atoms: energies in meV/atom, forces in meV/Angstrom",
        "atoms", "structures", "energy MAE", "energy RMSE", "force MAE", "force RMSE",
    )  # fmt: skip
    for size, error in report.sizes.items():
        numbers = (error.energy_mae, error.energy_rmse, error.force_mae, error.force_rmse)
        table.add_row(str(size), str(error.structures), *map(_number, numbers))
    return table


def _numbers(report: Report) -> dict[str, float | None]:
    """Errors over all structures, by name with its unit."""
    numbers = {
        "structures": report.structures,
        "energy_mae_meV_per_atom": report.energy_mae,
        "energy_rmse_meV_per_atom": report.energy_rmse,
        "force_mae_meV_per_A": report.force_mae,
        "force_rmse_meV_per_A": report.force_rmse,
    }
    if report.rotation is not None:
        numbers |= {
            "rotation_energy_meV_per_atom": report.rotation.energy_mae,
            "rotation_force_meV_per_A": report.rotation.force_mae,
        }
    return numbers


def _origin(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """What was evaluated, and by what."""
    return {
        "model": name,
        "sha256": checkpoint.sha256,
        "conservative": checkpoint.config.conservative,
        "units": {"energy": "meV/atom", "force": "meV/Angstrom"},
    }


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(app, evaluate, "eval")
