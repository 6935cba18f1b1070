"""``transip-md validate`` as it is typed."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import traceback

import pytest
from typer.testing import CliRunner

from pair_toys import cluster_of_pairs, write_pairs
from transip_md.cli.main import app
from transip_md.common.errors import CheckFailedError, EnvironmentFaultError, UsageError
from transip_md.exporting.export import export
from transip_md.model.checkpoint import load_shipped
from transip_md.validation.thresholds import thresholds


@pytest.fixture
def cluster(tmp_path):
    cluster_of_pairs().write(tmp_path / "cluster.xyz")
    return tmp_path / "cluster.xyz"


def run(*arguments: object, fails: bool = False):
    result = CliRunner().invoke(app, ["validate", *map(str, arguments)])
    if not fails:
        said = "".join(traceback.format_exception(result.exception)) if result.exception else ""
        assert result.exit_code == 0, result.output + said
    return result


def test_report_json_and_stamp(tmp_path, cluster):
    model = write_pairs(tmp_path / "lj.pt")
    only = "forces,rotation,cutoff,bonds,dimers,conservation,wrapping"
    result = run(
        model, cluster, "--only", only, "--json", tmp_path / "v.json", "--html", tmp_path / "v.html", "--stamp"
    )
    assert "SKIP wrapping: the structure is not periodic" in result.output
    values = json.loads((tmp_path / "v.json").read_text())
    assert values["verdict"] == "PASS" and {curve["check"] for curve in values["curves"]} >= {"rotation", "bonds"}
    page = (tmp_path / "v.html").read_text()
    assert len(page) < 3_000_000 and "PASS" in page and "Lowest repulsive wall".lower() in page.lower()
    # Self-contained: pictures inside, nothing from elsewhere.
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) >= 6 and all(base64.b64decode(p).startswith(b"\x89PNG") for p in pictures)
    assert not re.search(r'(src|href)="(?!data:)', page)
    shown = CliRunner().invoke(app, ["info", str(model), "--json"])
    assert json.loads(shown.output)["certificate"]["verdict"] == "PASS"
    assert "PASS in 6 checks" in " ".join(CliRunner().invoke(app, ["info", str(model)]).output.split())


def test_failure(tmp_path, cluster):
    faulty, output = write_pairs(tmp_path / "faulty.pt", "origin"), tmp_path / "v.json"
    result = run(faulty, cluster, "--only", "translation", "--only", "forces", "--json", output, fails=True)
    assert isinstance(result.exception, CheckFailedError) and result.exception.exit_code == 1
    assert "translation" in str(result.exception) and "forces" not in str(result.exception)
    assert json.loads(output.read_text())["verdict"] == "FAIL"


def test_strict(tmp_path, repository):
    """The symmetry is learned: a warning, which fails if it is to be strict."""
    export(load_shipped("organic"), tmp_path / "organic.pt")
    arguments = (tmp_path / "organic.pt", repository / "examples/ethanol.xyz", "--only", "rotation")
    assert "WARN" in run(*arguments).output
    assert isinstance(run(*arguments, "--strict", fails=True).exception, CheckFailedError)


def test_symmetry_is_told(tmp_path, cluster):
    """What was measured with symmetry says so everywhere, and is no certificate of the model itself."""
    model = write_pairs(tmp_path / "lopsided.pt", "lopsided")
    arguments = (model, cluster, "--only", "rotation", "--json", tmp_path / "v.json", "--html", tmp_path / "v.html")
    assert isinstance(run(*arguments, fails=True).exception, CheckFailedError)
    assert "symmetry" not in (tmp_path / "v.html").read_text().split("<h2>")[0]
    assert "symmetry average 12" in run(*arguments, "--symmetry", "average 12").output
    assert json.loads((tmp_path / "v.json").read_text())["symmetry"] == "average 12"
    assert "with symmetry average 12" in (tmp_path / "v.html").read_text()
    refused = run(*arguments, "--symmetry", "average 12", "--stamp", fails=True)
    assert isinstance(refused.exception, UsageError) and "--stamp" in str(refused.exception)


def test_usage(tmp_path, cluster):
    model = write_pairs(tmp_path / "lj.pt")
    for arguments, words in (
        ((model, cluster, "--only", "force"), "No check is called 'force'"),
        ((model, cluster, "--html", tmp_path / "no" / "v.html"), "There is no folder"),
        ((tmp_path / "no.pt", cluster), "No such model file"),
    ):
        result = run(*arguments, fails=True)
        assert isinstance(result.exception, UsageError) and words in str(result.exception)


def test_thresholds_need_pyyaml(tmp_path, cluster, monkeypatch):
    """Exit code 3, and what to type."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    thresholds.cache_clear()
    result = run(write_pairs(tmp_path / "lj.pt"), cluster, "--only", "forces", fails=True)
    assert isinstance(result.exception, EnvironmentFaultError) and result.exception.exit_code == 3
    assert "pip install 'transip-md[validate]'" in str(result.exception)


@pytest.mark.long
def test_organic_in_less_than_a_minute(tmp_path, repository, lammps_plugin, openmm_plugin):
    export(load_shipped("organic"), tmp_path / "organic.pt")
    # Of processor time, LAMMPS's included: on a busy machine the clock says nothing.
    started = sum(os.times()[:4])
    run(
        tmp_path / "organic.pt", repository / "examples/ethanol.xyz", "--json", tmp_path / "v.json",
        "--html", tmp_path / "v.html",
    )  # fmt: skip
    assert sum(os.times()[:4]) - started < 60
    verdicts = {(f["check"], f["verdict"]) for f in json.loads((tmp_path / "v.json").read_text())["findings"]}
    for sound in ("forces", "virial", "translation", "far_from_origin", "permutation", "precision", "engines"):
        assert (sound, "PASS") in verdicts and not {(sound, "WARN"), (sound, "FAIL")} & verdicts, sound
    assert not [check for check, verdict in verdicts if verdict == "FAIL"]
