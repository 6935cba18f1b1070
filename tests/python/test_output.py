"""What commands print: hostile text, narrow terminals, progress without a terminal."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path

from rich.table import Table

from transip_md.cli import progress
from transip_md.cli.console import PlainConsole
from transip_md.common.text import indented, one_line
from transip_md.modelfile.metadata import METADATA_NAME

HOSTILE = "[/x] frames [pbe0]\nvalidated: PASS\r\x1b[2Jgone \u202e"


def with_training(source: Path, target: Path, **training: str) -> Path:
    """A copy of a model file whose metadata say something else of its training."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith(METADATA_NAME):
                metadata = json.loads(content)
                metadata["training"].update(training)
                metadata["certificate"] = {"summary": HOSTILE}
                content = json.dumps(metadata).encode()
            new.writestr(entry, content)
    return target


def harmless(text: str) -> None:
    assert not any(letter in text for letter in "\x1b\r\u202e"), text
    assert not any(line.lstrip("│ ").startswith("validated: PASS") for line in text.splitlines()), text


def test_one_line_and_indented():
    assert one_line("a\nb\x1b[1m\u2028\udcff ü") == "a\ufffdb\ufffd[1m\ufffd\ufffd ü"
    assert indented("Error: a\nvalidated: \x1bPASS") == "Error: a\n  validated: \ufffdPASS"


def test_console_shows_text_as_it_is():
    written = io.StringIO()
    console = PlainConsole(file=written, width=200)
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    console.print(table)
    console.print(HOSTILE)
    harmless(written.getvalue())
    assert written.getvalue().count("[/x] frames [pbe0]") == 4


def test_hostile_metadata_and_names(tmp_path, ethanol_file, repository, transip_md, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    model = with_training(ethanol_file, tmp_path / "m[b].pt", data=HOSTILE)
    structure = tmp_path / "e[red]\x1b[2J.xyz"
    structure.write_bytes((repository / "examples/ethanol.xyz").read_bytes())
    commands = {
        "info": [model],
        "parity": [model, structure, "--engine", "ase"],
        "nve": [model, structure, "--engine", "ase", "--time", "0.15", "--out", tmp_path / "nve", "--threshold", "99"],
        "validate": [model, structure, "--only", "rotation"],
        "bench": [model, structure, "--engine", "model", "--seconds", "0.01", "--rounds", "1"],
    }
    for command, arguments in commands.items():
        result = transip_md(command, *arguments)
        harmless(result.stdout + result.stderr)
        # The title of a table, which names a long path, has several lines.
        shown = "".join(result.stdout.split())
        assert ("[/x]frames[pbe0]" if command == "info" else "e[red]") in shown, (command, result.stdout)
        if command != "parity":
            assert "m[b]" in shown, (command, result.stdout)


def test_tables_fit(tmp_path, ethanol_file, repository, transip_md, monkeypatch):
    """Into 60 columns, so into the usual 80 too."""
    monkeypatch.setenv("COLUMNS", "60")
    structure = repository / "examples/ethanol.xyz"
    commands = {
        "info": [ethanol_file],
        "parity": [ethanol_file, structure, "--engine", "ase"],
        "nve": [ethanol_file, structure, "--engine", "ase", "--time", "0.15", "--out", tmp_path, "--threshold", "99"],
        "eval": ["ethanol", structure_with_labels(tmp_path, structure)],
        "validate": [ethanol_file, structure, "--only", "rotation,forces"],
        "bench": [ethanol_file, structure, "--engine", "model,ase", "--seconds", "0.01", "--rounds", "1"],
    }
    for command, arguments in commands.items():
        result = transip_md(command, *arguments)
        assert result.stdout and "…" not in result.stdout, (command, result.stdout, result.stderr)
        assert (result.stdout + result.stderr).count("validated: ") <= 1, (command, result.stderr)


def structure_with_labels(folder: Path, structure: Path) -> Path:
    import ase.io
    import numpy as np
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = ase.io.read(structure)
    atoms.calc = SinglePointCalculator(atoms, energy=-300.0, forces=np.zeros((len(atoms), 3)))
    ase.io.write(folder / "a_labelled_file_with_a_long_name.extxyz", atoms)
    return folder / "a_labelled_file_with_a_long_name.extxyz"


def test_lines_without_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(progress, "FIRST", 0.05)
    monkeypatch.setattr(progress, "INTERVAL", 0.05)
    written = io.StringIO()
    monkeypatch.setattr(progress, "errors", PlainConsole(file=written, width=80))
    with progress.LongTask("training", 100, 10, note=lambda: "loss 0.5") as task:
        task.update(20)
        time.sleep(0.2)
    first = written.getvalue().splitlines()[0]
    assert first.startswith("training: 20 of 100 steps, loss 0.5, ")
    assert "steps/s, 0:00:0" in first and first.endswith(" left")
    ended = written.getvalue()
    time.sleep(0.15)
    assert written.getvalue() == ended


def test_the_first_line_comes_within_a_minute():
    assert progress.FIRST <= 60 and progress.INTERVAL <= 60
