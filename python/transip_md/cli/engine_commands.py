"""``transip-md build`` and ``transip-md parity``."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from transip_md.cli.console import coloured_verdict, console
from transip_md.cli.summary import add_command, record
from transip_md.common.errors import CheckFailedError

Model = Annotated[Path, typer.Argument(help="A file made by `transip-md export`.")]
Structure = Annotated[
    Path, typer.Argument(help="A structure in any format that ase reads; periodic for models with a cutoff only.")
]
EngineChoice = Annotated[str, typer.Option("--engine", help="ase, lammps, openmm, several with commas, or all.")]
Device = Annotated[str, typer.Option(help="Where the model runs: auto, cpu, cuda or cuda:N.")]

Symmetry = Annotated[
    str, typer.Option(help="none, 'average N', frame or 'random SEED forced': exact symmetry, docs/symmetry.md.")
]


def build(
    plugin: Annotated[
        Literal["lammps", "openmm", "library", "torch", "all"], typer.Argument(help="What to build.")
    ] = "all",
    force: Annotated[bool, typer.Option(help="Build even what is up to date.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where to compile, and keep it.  [default: a temporary folder]"),
    ] = None,
) -> None:
    """Build the plugins for LAMMPS and OpenMM, the library for Python and C, and what they need for torch."""
    from transip_md.plugins.build import build as build_plugins
    from transip_md.plugins.kinds import KINDS

    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    built = build_plugins(list(KINDS) if plugin == "all" else [plugin], force=force, folder=folder, say=say)
    record().numbers["libraries"] = len(built)
    record().files += built.values()


def warn_of_direct_forces(model: Path) -> None:
    """Print a note if a model's forces are not the gradient of its energy."""
    from transip_md.modelfile.metadata import NOT_CONSERVATIVE, read_metadata

    if not read_metadata(model).conservative:
        console.print(f"Warning: {NOT_CONSERVATIVE}", soft_wrap=True)


def parity(
    model: Model,
    structure: Structure,
    engine: EngineChoice = "all",
    device: Device = "auto",
    symmetry: Symmetry = "none",
    reference: Annotated[
        Path | None, typer.Option(help="With --symmetry frame: what it superposes on.  [default: the structure]")
    ] = None,
) -> None:
    """Energy and forces of one structure in several engines, against the Python reference."""
    from transip_md.data.electronic_state import known_state
    from transip_md.data.structures import read_structure
    from transip_md.engines import engine_list
    from transip_md.modelfile.metadata import read_metadata
    from transip_md.validation.parity import compare_engines

    atoms = read_structure(structure)
    known_state(read_metadata(model), atoms, str(structure))
    reference_positions = None if reference is None else read_structure(reference).positions
    names = engine_list(engine)
    with tempfile.TemporaryDirectory() as folder:
        rows, tolerance = compare_engines(model, atoms, names, Path(folder), device, symmetry, reference_positions)
    table = Table(
        title=f"{structure.name}: single point, against the Python reference",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for heading in ("engine", "energy\n(eV)", "|dE|\n(eV)", "max |dF|\n(eV/A)", ""):
        table.add_column(Text(heading), justify="left" if heading == "engine" else "right", overflow="fold")
    noted = record()
    noted.numbers |= {
        "energy_difference_eV": max(row.energy_difference for row in rows),
        "force_difference_eV_per_A": max(row.force_difference for row in rows),
        "allowed_energy_difference_eV": tolerance.energy,
        "allowed_force_difference_eV_per_A": tolerance.force,
    }
    noted.details["engines"] = [asdict(row) for row in rows]
    for row in rows:
        table.add_row(
            row.engine,
            f"{row.energy:.10f}",
            f"{row.energy_difference:.1e}",
            f"{row.force_difference:.1e}",
            coloured_verdict(row.passed),
        )
    console.print(table)
    console.print(f"allowed: {tolerance.energy:.0e} eV and {tolerance.force:.0e} eV/A")
    warn_of_direct_forces(model)
    if not all(row.passed for row in rows):
        raise CheckFailedError("The engines do not agree.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(app, build)
    add_command(app, parity)
