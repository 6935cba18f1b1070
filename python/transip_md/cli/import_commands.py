"""``transip-md import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transip_md.cli.console import console
from transip_md.cli.summary import add_command, record
from transip_md.common.errors import UsageError
from transip_md.common.outputs import require_folder_of

if TYPE_CHECKING:
    from transip_md.importing.foreign_files import ForeignFile


def import_weights(
    source: Annotated[
        str, typer.Argument(help="A file of weights of another program, or hf:OWNER/REPO, hf:OWNER/REPO/FILE.")
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Checkpoint to write, *.ckpt.")] = None,
    table: Annotated[Path | None, typer.Option("--map", help="YAML: which key becomes which weight.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML: shape of the model, unless the table has it.")] = None,
    only_list: Annotated[bool, typer.Option("--list", help="Show the keys of SOURCE and write nothing.")] = False,
) -> None:
    """Make a checkpoint out of another program's TransIP weights, by a table (docs/import.md)."""
    if not only_list and (output is None or table is None):
        raise UsageError(
            "An import needs `-o model.ckpt` and `--map table.yaml`. `--list` shows the keys that the table must "
            "account for; how to write it: docs/import.md."
        )
    if output is not None:
        require_folder_of(output)
    from transip_md.importing.foreign_files import read_foreign

    if only_list:
        _show(read_foreign(source))
        return
    from transip_md.importing.conversion import import_checkpoint
    from transip_md.importing.table import model_config_of, read_table

    rules = read_table(table)
    shape = model_config_of(rules, config)
    done = import_checkpoint(read_foreign(source), rules, shape, output)
    noted = record()
    noted.numbers |= {
        "weights": done.weights,
        "rounded_weights": len(done.rounded),
        "largest_rounding": max(done.rounded.values(), default=0.0),
    }
    noted.files.append(output)
    if done.rounded:
        name, change = max(done.rounded.items(), key=lambda item: item[1])
        _say(f"rounded: {len(done.rounded)} weights lost digits; largest change {change:.1e} ({name})")
    _say(f"{output}: {done.weights} weights from the state dict {done.state_dict} of {source}, read back and equal.")
    _say(
        "Names and shapes fit; whether both programs compute the same from them is not checked: compare energies and "
        "forces of a few molecules with the original before using the model (docs/import.md)."
    )


def _show(source: ForeignFile) -> None:
    from transip_md.importing.foreign_files import describe_value

    state_dicts = source.state_dicts() or [source.state_dict(None)]
    noted = record()
    noted.numbers["keys"] = sum(len(state_dict.entries) for state_dict in state_dicts)
    noted.details |= {
        "sha256": source.sha256,
        "state_dicts": {str(state_dict): list(state_dict.entries) for state_dict in state_dicts},
    }
    _say(f"{source.name}, sha256 {source.sha256}")
    for state_dict in state_dicts:
        _say(f"weights_at: {state_dict}, {len(state_dict.entries)} keys")
        width = max(len(key) for key in state_dict.entries)
        for key, value in state_dict.entries.items():
            _say(f"  {key:{width}}  {describe_value(value)}")


def _say(line: str) -> None:
    console.print(line, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(app, import_weights, "import")
