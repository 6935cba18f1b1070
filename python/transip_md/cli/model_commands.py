"""``transip-md export``, ``transip-md info`` and ``transip-md presets``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from transip_md.cli.console import console
from transip_md.cli.summary import add_command, record
from transip_md.common.errors import UsageError
from transip_md.common.outputs import require_folder_of


def export(
    checkpoint: Annotated[
        list[str],
        typer.Argument(
            help="A checkpoint file, or the name of a shipped model, such as ethanol; several with --committee."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model file to write, by convention *.pt.")],
    dtype: Annotated[
        Literal["float32", "float64"],
        typer.Option(help="Precision of the weights; positions are float64 always."),
    ] = "float64",
    form: Annotated[
        Literal["torchscript", "aoti"],
        typer.Option(
            "--format",
            help="torchscript runs wherever torch does; aoti is compiled for this machine (a minute or two), *.pt2.",
        ),
    ] = "torchscript",
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="What an aoti file is compiled for.")] = "cpu",
    committee: Annotated[bool, typer.Option("--committee", help="Write several models into one file.")] = False,
) -> None:
    """Write a self-describing model file, and check it against the eager model before saying so."""
    from transip_md.exporting.examples import CHECK_STRUCTURES
    from transip_md.exporting.export import export as write
    from transip_md.exporting.export import export_committee
    from transip_md.model.checkpoint import load_named
    from transip_md.modelfile.metadata import NOT_CONSERVATIVE

    require_folder_of(output)
    if committee and form != "torchscript":
        raise UsageError("A committee's file holds TorchScript: leave --format out.")
    if not committee and len(checkpoint) > 1:
        raise UsageError(f"One checkpoint makes one file; got {len(checkpoint)}. Type --committee for one file of all.")
    loaded = [load_named(one) for one in checkpoint]
    if committee:
        metadata = export_committee(loaded, output, dtype)[0]
    else:
        metadata = write(loaded[0], output, dtype, form, device)
    noted = record()
    noted.numbers["bytes"] = output.stat().st_size
    noted.details["metadata"] = json.loads(metadata.to_json())
    noted.files.append(output)
    models = f"{len(loaded)} models, " if committee else ""
    console.print(
        f"{output}: {models}format {metadata.format}, {metadata.dtype}, {output.stat().st_size // 1024} kB; read back "
        f"and compared with the eager model on {CHECK_STRUCTURES} random structures.",
        soft_wrap=True,
    )
    if not metadata.conservative:
        console.print(f"Warning: {NOT_CONSERVATIVE}", soft_wrap=True)


def info(
    file: Annotated[Path | None, typer.Argument(help="A model file; without one, a report of the environment.")] = None,
    as_json: bool = False,
) -> None:
    """Show the metadata of a model file; without a file, what is installed and built."""
    if file is not None:
        _show_model(file, as_json)
    else:
        _show_environment(as_json)


def _show_model(file: Path, as_json: bool) -> None:
    from ase.data import chemical_symbols

    from transip_md.modelfile.certificate import certificate_line
    from transip_md.modelfile.committee_file import models_in, read_model
    from transip_md.modelfile.metadata import read_metadata

    metadata, models = read_metadata(file), models_in(file)
    noted = record()
    errors = metadata.training.get("held_out", {})
    noted.numbers |= {
        "bytes": len(read_model(file)),
        "force_mae_meV_per_A": errors.get("force_mae"),
        "energy_mae_meV_per_atom": errors.get("energy_mae"),
    }
    noted.details["metadata"] = json.loads(metadata.to_json())
    if as_json:
        print(metadata.to_json())
        return
    training = metadata.training
    held_out = training.get("held_out", {})
    rows = {
        "format": str(metadata.format),
        "elements": " ".join(chemical_symbols[z] for z in metadata.species),
        "attention": _attention(metadata.cutoff, metadata.interaction_range),
        "dtype of the weights": metadata.dtype,
        "units": f"{metadata.units.energy}, {metadata.units.length}",
        "forces": "-dE/dr (conservative)" if metadata.conservative else "DIRECT: NOT THE GRADIENT OF THE ENERGY",
        "charge": _range(metadata.charge),
        "multiplicity": _range(metadata.multiplicity),
        "trained on": training.get("data", "not given"),
        "level of theory": training.get("level_of_theory", "not given"),
        "licence": training.get("licence", "not given"),
        "held-out force MAE": _error(held_out.get("force_mae"), "meV/Angstrom"),
        "held-out force RMSE": _error(held_out.get("force_rmse"), "meV/Angstrom"),
        "held-out energy MAE": _error(held_out.get("energy_mae"), "meV/atom"),
        "rotation error of forces": _error((held_out.get("rotation") or {}).get("force_mae"), "meV/Angstrom"),
        "sample of the training set": "yes: distances from it are measured" if metadata.has_sample else "no",
        "closest atoms in training": _error(training.get("closest_pair"), "Angstrom"),
        "certificate": certificate_line(metadata),
        "made with": ", ".join(f"{name} {version}" for name, version in metadata.made_with.items()),
        "checkpoint sha256": metadata.source_sha256 or "none",
    }
    if len(models) > 1:
        rows = {"models": f"{len(models)}; this is the first, {file}#2 the second", **rows}
    _print_table(str(file), rows)


def _attention(cutoff: float | None, reach: float | None) -> str:
    if cutoff is None:
        return "all-to-all, isolated molecules"
    return f"neighbours within {cutoff:g} Angstrom, interaction range {reach:g} Angstrom, periodic systems too"


def _range(bounds: tuple[int, int]) -> str:
    return str(bounds[0]) if bounds[0] == bounds[1] else f"{bounds[0]} to {bounds[1]}"


def _error(value: float | None, unit: str) -> str:
    return "not given" if value is None else f"{value:.3g} {unit}"


def _show_environment(as_json: bool) -> None:
    from transip_md.cli.environment import report

    rows = report()
    record().details["environment"] = rows
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        _print_table("environment", rows)


def _print_table(title: str, rows: dict[str, str]) -> None:
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


def presets() -> None:
    """Show the sizes of models that a training configuration can ask for by name."""
    import torch

    from transip_md.model.config import ModelConfig
    from transip_md.model.network import TransIP
    from transip_md.model.presets import PRESETS

    table = Table(title="presets: all-to-all models of neutral singlets of H C N O", title_justify="left")
    for heading in ("preset", "width", "layers", "heads", "feed-forward", "weights"):
        table.add_column(heading, justify="left" if heading == "preset" else "right")
    for name, shape in PRESETS.items():
        # Weights are counted, not drawn.
        with torch.device("meta"):
            model = TransIP(ModelConfig(species=(1, 6, 7, 8), **shape))
        sizes = [shape[field] for field in ("dim", "layers", "heads", "feedforward")]
        record().numbers[f"{name}: weights"] = model.parameter_count()
        table.add_row(name, *map(str, sizes), f"{model.parameter_count():,}")
    record().details["presets"] = {name: dict(shape) for name, shape in PRESETS.items()}
    console.print(table)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(app, export)
    add_command(app, info)
    add_command(app, presets)
