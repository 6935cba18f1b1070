"""Commands about the installation, options of all commands, completion, and the functions at the top of the package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import ase.io
import pytest
import yaml
from typer.testing import CliRunner

import transip_md
from transip_md.cli import progress
from transip_md.cli.main import app
from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.model.checkpoint import shipped_names
from transip_md.model.config import ModelConfig
from transip_md.training.config import TrainConfig, recipe_schema


def invoke(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_doctor_where_everything_works(lammps_plugin, openmm_plugin, library):
    result = invoke("doctor")
    assert result.exit_code == 0 and result.exception is None, result.output
    parts = {part["name"]: part for part in json.loads(invoke("doctor", "--json").stdout)}
    assert parts["LAMMPS plugin"]["state"] == "works"
    assert parts["torch"]["state"] == "works" and parts["torch"]["detail"][0].isdigit()


def test_doctor_names_the_fix(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSIP_MD_CACHE", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    result = invoke("doctor")
    assert isinstance(result.exception, EnvironmentFaultError) and result.exception.exit_code == 3
    said = " ".join(result.output.split())
    assert "Type `transip-md build library`." in said and "needs g++" in said
    parts = {part["name"]: part["state"] for part in json.loads(invoke("doctor", "--json").stdout)}
    assert parts["compiler"] == "broken" and parts["library for Python and C"] == "broken"


def test_a_package_that_is_absent_is_no_fault(monkeypatch):
    from transip_md.cli import environment
    from transip_md.plugins import locate

    real = locate.version_of
    monkeypatch.setattr(locate, "version_of", lambda name: None if name == "openmm" else real(name))
    states = {part.name: part for part in environment.diagnose()}
    assert states["openmm"].state == "absent"
    assert states["OpenMM plugin"].state == "absent" and "transip-md[openmm]" in states["OpenMM plugin"].detail


def test_models():
    rows = {row["name"]: row for row in json.loads(invoke("models", "--json").stdout)}
    assert sorted(rows) == shipped_names()
    assert rows["water"]["elements"] == ["H", "O"] and rows["water"]["cutoff_A"] > 4
    assert 1 < rows["ethanol"]["force_mae_meV_per_A"] < 3
    assert "held-out force MAE" in invoke("models").output


def test_schema(repository):
    schema = json.loads(invoke("train", "--schema").stdout)
    assert schema == recipe_schema()
    assert set(schema["properties"]) == set(TrainConfig.model_fields)
    assert set(schema["properties"]["model"]["properties"]) == {*ModelConfig.model_fields, "preset"}
    assert schema["properties"]["learning_rate"]["exclusiveMinimum"] == 0
    for recipe in sorted((repository / "recipes").glob("*/*.yaml")):
        values = yaml.safe_load(recipe.read_text())
        assert set(values) <= set(schema["properties"])
        assert set(values.get("model", {})) <= set(schema["properties"]["model"]["properties"])
        assert set(values["data"]) <= set(schema["$defs"]["DataConfig"]["properties"])


def test_quiet(repository, tmp_path, transip_md, monkeypatch):
    pytest.importorskip("tblite", reason="tblite is not installed (pip install tblite)")
    monkeypatch.setattr(progress, "FIRST", 0.01)
    for flags, expected in (([], True), (["--quiet"], False)):
        output = tmp_path / f"{len(flags)}.extxyz"
        words = ["sample", repository / "examples/ethanol.xyz", "-o", output, "--frames", "1", "--stride", "1"]
        result = transip_md(*flags, *words)
        assert result.returncode == 0, result.stderr
        assert ("frames/s" in result.stderr) == expected, result.stderr
        assert "1 frames" in result.stdout


def test_verbose_shows_what_the_package_logs(toy_file):
    code = (
        "import logging, sys; from transip_md.cli.main import app; app(sys.argv[1:], standalone_mode=False); "
        "logging.getLogger('transip_md.openmm').info('a backend')"
    )
    for flags, expected in ((["--verbose"], "transip_md.openmm: a backend\n"), ([], "")):
        command = [sys.executable, "-c", code, *flags, "info", str(toy_file)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == expected


@pytest.mark.parametrize(
    ("typed", "wanted"), [("transip-md par", {"parity"}), ("transip-md train --sch", {"--schema"})]
)
def test_completion_in_bash(typed, wanted):
    """What the script of `transip-md --show-completion bash` asks for."""
    variables = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_TRANSIP_MD_COMPLETE": "complete_bash"}
    command = Path(sysconfig.get_path("scripts")) / "transip-md"
    result = subprocess.run([command], capture_output=True, text=True, env=os.environ | variables)
    assert set(result.stdout.split()) == wanted, result.stderr


def test_functions_at_the_top(tmp_path, repository):
    file = tmp_path / "ethanol.pt"
    metadata = transip_md.export("ethanol", file)
    assert metadata.dtype == "float64" and file.is_file()
    atoms = ase.io.read(repository / "examples/ethanol.xyz")
    atoms.calc = transip_md.TransIPCalculator(file)
    energies, forces, _ = transip_md.load_model(file).evaluate(atoms.numbers, atoms.positions)
    assert atoms.get_potential_energy() == pytest.approx(energies.sum(), abs=1e-9)
    assert forces.shape == (len(atoms), 3)
    found = transip_md.validate(file, [repository / "examples/ethanol.xyz"], only=["forces"])
    assert found.verdict == "PASS" and found.findings
    result = transip_md.run_dynamics(file, atoms, tmp_path / "nve", time=0.15, timestep=0.5)
    assert set(result.records) == {"ase"} and (tmp_path / "nve" / "ase.csv").is_file()
    with pytest.raises(UsageError, match="No such checkpoint"):
        transip_md.export("nothing", file)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = transip_md.nothing
