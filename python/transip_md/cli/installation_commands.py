"""``transip-md doctor`` and ``transip-md models``."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.table import Table
from rich.text import Text

from transip_md.cli.console import console
from transip_md.cli.summary import add_command, record
from transip_md.common.errors import EnvironmentFaultError

STATES = {"works": "green", "absent": "yellow", "broken": "red"}


def doctor(as_json: bool = False) -> None:
    """Check the installation: what works, what is not installed, what is broken, and what to type."""
    from transip_md.cli.environment import diagnose

    parts = diagnose()
    noted = record()
    noted.numbers |= {state: sum(part.state == state for part in parts) for state in STATES}
    noted.details["parts"] = [asdict(part) for part in parts]
    if as_json:
        print(json.dumps([asdict(part) for part in parts], indent=1))
    else:
        table = Table(show_header=False, box=None, pad_edge=False)
        for column in ("state", "part", "what"):
            table.add_column(column, no_wrap=column != "what", overflow="fold")
        for part in parts:
            table.add_row(Text(part.state, style=STATES[part.state]), part.name, part.detail)
        console.print(table)
    if broken := [part.name for part in parts if part.state == "broken"]:
        raise EnvironmentFaultError(f"{', '.join(broken)}: see above what to type.")
    if not as_json:
        console.print("Try: transip-md export ethanol -o ethanol.pt, then transip-md parity ethanol.pt STRUCTURE")


def models(as_json: bool = False) -> None:
    """List the models that the package ships: elements, size, what they are for, errors on held-out data."""
    from ase.data import chemical_symbols

    from transip_md.model.checkpoint import load_shipped, shipped_names

    rows = []
    for name in shipped_names():
        checkpoint = load_shipped(name)
        held_out = checkpoint.training.get("held_out", {})
        rows.append(
            {
                "name": name,
                "elements": [chemical_symbols[z] for z in checkpoint.config.species],
                "charge": list(checkpoint.config.charge),
                "cutoff_A": checkpoint.config.cutoff,
                "weights": checkpoint.model.parameter_count(),
                "trained_on": checkpoint.training.get("data"),
                "level_of_theory": checkpoint.training.get("level_of_theory"),
                "licence": checkpoint.training.get("licence"),
                "force_mae_meV_per_A": held_out.get("force_mae"),
                "energy_mae_meV_per_atom": held_out.get("energy_mae"),
            }
        )
    record().numbers["models"] = len(rows)
    record().details["models"] = rows
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        low, high = row["charge"]
        reach = "isolated molecules" if row["cutoff_A"] is None else f"periodic too, cutoff {row['cutoff_A']:g} A"
        table = Table(title=row["name"], show_header=False, title_justify="left")
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row("elements", " ".join(row["elements"]))
        table.add_row("charge", str(low) if low == high else f"{low} to {high}")
        table.add_row("for", reach)
        table.add_row("weights", f"{row['weights']:,}")
        table.add_row("trained on", f"{row['trained_on']}; {row['level_of_theory']}")
        table.add_row("licence", str(row["licence"]))
        table.add_row("held-out force MAE", f"{row['force_mae_meV_per_A']:.3g} meV/Angstrom")
        table.add_row("held-out energy MAE", f"{row['energy_mae_meV_per_atom']:.3g} meV/atom")
        console.print(table)
    console.print("A file for the engines: transip-md export NAME -o model.pt")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(app, doctor)
    add_command(app, models)
