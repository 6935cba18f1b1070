"""``transip-md label``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from transip_md.cli.console import console
from transip_md.cli.progress import LongTask
from transip_md.cli.summary import add_command, record
from transip_md.common.errors import CheckFailedError
from transip_md.common.outputs import require_folder_of


def label(
    files: Annotated[list[Path], typer.Argument(help="Structures, in any format that ase reads.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="An .extxyz file.")],
    teacher: Annotated[
        str | None,
        typer.Option(
            help="gfn2-xtb, gfn1-xtb, or module:function that makes an ase calculator for a structure.",
            show_default="the frames' own labels",
        ),
    ] = None,
    subtract: Annotated[
        bool, typer.Option("--subtract", help="Labels are the frames' own minus the teacher's.")
    ] = False,
    add: Annotated[
        list[Path] | None,
        typer.Option(help="Add energies and forces of an exported model; repeats, and then adds the mean."),
    ] = None,
) -> None:
    """Label structures by a teacher, by how far their own labels differ from it, or with a model added. Resumes.

    Structures that the teacher fails on are dropped, counted and listed in OUTPUT.dropped.
    """
    require_folder_of(output)
    from transip_md.learning.frame_labels import Labelling, label_frames
    from transip_md.sampling import dropped

    labelling = Labelling(teacher, subtract, tuple(add or []))
    done = 0
    with LongTask("labelling", unit="structures") as progress, closing(label_frames(files, output, labelling)) as steps:
        for done, total in steps:
            progress.update(done, total=total)
    refused = sum(dropped(output).values())
    noted = record()
    noted.numbers |= {"frames": done - refused, "failed": refused}
    noted.files.append(output)
    if refused == done:
        raise CheckFailedError(f"The teacher failed on all {done} structures: see {output}.dropped.")
    failures = f"; the teacher failed on {refused}: {output}.dropped" if refused else ""
    console.print(f"{output}: {done - refused} frames, labels: {labelling.text()}{failures}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(app, label)
