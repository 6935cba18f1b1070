"""``transip-md validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from transip_md.cli.console import console
from transip_md.cli.progress import LongTask
from transip_md.cli.summary import add_command, record
from transip_md.common.errors import CheckFailedError, UsageError
from transip_md.common.outputs import require_folder_of

if TYPE_CHECKING:
    from transip_md.validation.findings import Finding, Validation

COLOURS = {"PASS": "green", "WARN": "yellow", "FAIL": "red", "SKIP": "bright_black", "INFO": "cyan"}


def _names(choices: list[str] | None) -> list[str]:
    """Names given one by one or with commas."""
    return [name for choice in choices or [] for name in choice.split(",") if name]


def validate(
    model: Annotated[Path, typer.Argument(help="A file made by `transip-md export`.")],
    structures: Annotated[
        list[Path], typer.Argument(help="Structures in any format that ase reads; the last frame of each is checked.")
    ],
    only: Annotated[list[str] | None, typer.Option(help="Checks to carry out; repeats, or commas.")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Checks to leave out; repeats, or commas.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a report with pictures into this file.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A warning fails too.")] = False,
    stamp: Annotated[bool, typer.Option("--stamp", help="Write the result into the model file's certificate.")] = False,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint that the file was made from, for what T explains.")
    ] = None,
    symmetry: Annotated[
        str, typer.Option(help="none, 'average N' or frame: exact symmetry in every evaluation, docs/symmetry.md.")
    ] = "none",
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="Where the model runs: auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Measure what a model breaks: derivatives, symmetries, smoothness, precision, engines, labels, conservation."""
    if html is not None:
        require_folder_of(html)
    if stamp and symmetry != "none":
        raise UsageError(
            f"--stamp writes what the model itself does, and this is with symmetry {symmetry}. Leave one of them out."
        )
    from transip_md.validation.run import validate as run

    with LongTask("validating", unit="checks") as bar:

        def report(title: str, structure: str, done: int, total: int) -> None:
            bar.update(done, total=total, description=f"{title}, {structure}")

        result = run(
            model,
            structures,
            only=_names(only),
            skip=_names(skip),
            device=device,
            checkpoint=checkpoint,
            seed=seed,
            symmetry=symmetry,
            progress=report,
        )
    console.print(_table(result))
    for finding in result.of("SKIP"):
        console.print(f"SKIP {_location(result, finding)}: {finding.note}", soft_wrap=True)
    noted = record()
    noted.verdict = result.verdict
    noted.numbers |= {key: result.value(key) for key in dict.fromkeys(finding.key for finding in result.findings)}
    noted.details |= result.to_dict()
    if html is not None:
        _write_report(result, html)
        noted.files.append(html)
    if stamp:
        from transip_md.modelfile.certificate import stamp as write
        from transip_md.validation.certificate import certificate_of

        write(model, certificate_of(result))
        noted.files.append(model)
        console.print(f"{model}: certificate written", soft_wrap=True)
    failed = sorted({finding.check for finding in result.of(*(("FAIL", "WARN") if strict else ("FAIL",)))})
    if failed:
        raise CheckFailedError(f"The model does not pass: {', '.join(failed)}.")


def _location(result: Validation, finding: Finding) -> str:
    return finding.check if len(result.structures) == 1 else f"{finding.check}, {finding.structure}"


def _table(result: Validation) -> Table:
    """Narrow enough for 80 columns."""
    title = f"{result.model} on {', '.join(result.structures)}"
    if result.symmetry != "none":
        title += f", symmetry {result.symmetry}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("check", overflow="fold", min_width=8)
    for heading, side in (("", "left"), ("value", "right"), ("", "left"), ("good / bad", "left")):
        table.add_column(heading, justify=side, no_wrap=True)
    for finding in result.findings:
        if finding.verdict == "SKIP":
            continue
        value = "-" if finding.value is None else f"{finding.value:.3g}"
        levels = " / ".join(f"{level:.2g}" for level in (finding.good, finding.bad) if level is not None)
        verdict = Text(finding.verdict, style=COLOURS[finding.verdict])
        where = "" if len(result.structures) == 1 else f" {finding.structure}"
        engine = f" {finding.note}" if finding.check == "engines" else ""
        unit = finding.unit.replace("Angstrom", "A")
        table.add_row(finding.key + engine + where, verdict, value, unit, levels)
    return table


def _write_report(result: Validation, html: Path) -> None:
    from transip_md.validation.report import write_report

    write_report(result, html)
    console.print(f"{html}: the report, {html.stat().st_size // 1024} kB", soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(app, validate)
