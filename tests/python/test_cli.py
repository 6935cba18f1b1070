"""The command as a user types it: exit codes and messages."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from toys import bad_model_files

COMMAND = Path(sysconfig.get_path("scripts")) / "transip-md"


def in_a_process(*arguments, **kwargs) -> subprocess.CompletedProcess:
    command = [str(COMMAND), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **kwargs)


def test_export_and_info(tmp_path):
    result = in_a_process("export", "ethanol", "-o", "model.pt", "--dtype", "float32", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "compared with the eager model" in result.stdout
    shown = in_a_process("info", "model.pt", cwd=tmp_path)
    assert shown.returncode == 0
    for words in ("H C O", "float32", "GFN2-xTB", "all-to-all", "conservative"):
        assert words in shown.stdout
    metadata = json.loads(in_a_process("info", "model.pt", "--json", cwd=tmp_path).stdout)
    assert metadata["format"] == 2 and metadata["dtype"] == "float32"
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_info_of_the_environment():
    report = json.loads(in_a_process("info", "--json").stdout)
    assert report["Python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert report["shipped models"] == "ethanol, organic, organic_broad, organic_large, water, water_broad"
    assert "devices" in report and "LAMMPS plugin" in report


def test_help_does_not_import_torch():
    code = "import sys; sys.argv = ['transip-md', '--help']\n"
    code += (
        "from transip_md.cli.main import run\ntry: run()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("command", ["info", "parity", "nve"])
def test_bad_model_files_exit_with_2(tmp_path, repository, transip_md, command):
    structure = repository / "examples/ethanol.xyz"
    rest = {
        "info": [],
        "parity": [structure, "--engine", "ase"],
        "nve": [structure, "--engine", "ase", "--out", tmp_path],
    }
    for name, (path, words) in bad_model_files(tmp_path / "bad").items():
        result = transip_md(command, path, *rest[command])
        assert result.returncode == 2, (name, result.stderr)
        assert words in result.stderr, name
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr


def test_bad_usage_exits_with_2(tmp_path, ethanol_file, repository, transip_md):
    structure = repository / "examples/ethanol.xyz"
    nitrogen = tmp_path / "n2.xyz"
    nitrogen.write_text("2\n\nN 0 0 0\nN 0 0 1.1\n")
    garbage = tmp_path / "garbage.xyz"
    garbage.write_text("two\n\nN 0 0\n")
    periodic = tmp_path / "box.extxyz"
    periodic.write_text('1\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 pbc="T T T"\nO 0 0 0\n')
    cases = [
        (["export", "methanol", "-o", tmp_path / "m.pt"], "No such checkpoint: methanol"),
        (["export", "ethanol", "-o", tmp_path / "none" / "m.pt"], "There is no folder"),
        (["export", "ethanol", "-o", tmp_path], "is a folder"),
        (["export", "ethanol", "-o", tmp_path / "m.pt", "--dtype", "float16"], "float16"),
        (["parity", ethanol_file, nitrogen, "--engine", "ase"], "does not know N"),
        (["parity", ethanol_file, garbage, "--engine", "ase"], "could not be read as a structure"),
        (["parity", ethanol_file, tmp_path / "none.xyz"], "No such structure file"),
        (["parity", ethanol_file, structure, "--engine", "gromacs"], "No engine is called 'gromacs'"),
        (["parity", ethanol_file, periodic, "--engine", "ase"], "periodic"),
        (["nve", ethanol_file, periodic, "--engine", "lammps", "--out", tmp_path / "o"], "periodic"),
        (["nve", ethanol_file, nitrogen, "--engine", "ase", "--out", tmp_path / "o"], "does not know N"),
        (["nve", ethanol_file, structure, "--engine", "ase", "--out", tmp_path / "o", "--dt", "0"], "must be positive"),
        (["nve", ethanol_file, structure, "--engine", "ase", "--out", tmp_path / "o", "--time", "0.01"], "too short"),
        (["sample", structure, "-o", tmp_path / "d.extxyz", "--frames", "1", "--teacher", "dft"], "No teacher"),
        (["sample", structure, "-o", tmp_path / "d.extxyz", "--frames", "1", "--temperature", "-5"], "temperature"),
        (["train", tmp_path / "none.yaml", "-o", tmp_path / "m.ckpt"], "No such training configuration"),
        (["train", repository / "recipes/ethanol/train.yaml", "-o", tmp_path / "no" / "m.ckpt"], "There is no folder"),
        (["sample", structure, "-o", tmp_path / "no" / "d.extxyz", "--frames", "1"], "There is no folder"),
        (["nve", ethanol_file, structure, "--engine", "ase", "--out", garbage], "a file has that name"),
        (["frobnicate"], "frobnicate"),
    ]
    for arguments, words in cases:
        result = transip_md(*arguments)
        assert result.returncode == 2, (arguments, result.stderr)
        assert words in result.stderr, result.stderr


def test_bad_usage_of_the_installed_command(tmp_path):
    result = in_a_process("info", tmp_path / "none.pt")
    assert result.returncode == 2 and result.stderr.startswith("Error: No such model file") and not result.stdout
    assert "Traceback" not in result.stderr


def test_missing_plugin_exits_with_3(tmp_path, ethanol_file, repository, transip_md, monkeypatch):
    monkeypatch.setenv("TRANSIP_MD_CACHE", str(tmp_path))
    result = transip_md("parity", ethanol_file, repository / "examples/ethanol.xyz", "--engine", "lammps")
    assert result.returncode == 3
    assert "transip-md build lammps" in result.stderr


def test_parity_passes(ethanol_file, repository, transip_md):
    result = transip_md("parity", ethanol_file, repository / "examples/ethanol.xyz", "--engine", "ase")
    assert result.returncode == 0 and "PASS" in result.stdout


def test_parity_fails_on_a_planted_difference(ethanol_file, repository, monkeypatch, capsys):
    from transip_md.cli import engine_commands
    from transip_md.common.errors import CheckFailedError
    from transip_md.engines.ase.engine import AseEngine
    from transip_md.engines.base import SinglePoint

    class Wrong(AseEngine):
        def single_point(self, job):
            honest = super().single_point(job)
            return SinglePoint(honest.energy + 2e-9, honest.forces)

    engines = {"lammps": Wrong, "ase": AseEngine}
    monkeypatch.setattr("transip_md.validation.parity.make_engine", lambda name: engines[name]())
    with pytest.raises(CheckFailedError, match="do not agree") as caught:
        engine_commands.parity(ethanol_file, repository / "examples/ethanol.xyz", "ase,lammps", "cpu")
    assert caught.value.exit_code == 1


def test_nve_fails_when_energy_is_not_conserved(tmp_path, repository, monkeypatch):
    """A model whose energy is not the one that its forces come from: exit 1, and every file is still written."""
    from toys import write_toy
    from transip_md.cli import nve_commands
    from transip_md.common.errors import CheckFailedError

    model = write_toy(tmp_path / "unfair.pt", unfair=True)
    with pytest.raises(CheckFailedError, match=r"Energy is not conserved. ethanol, ase, .*: drift above"):
        nve_commands.nve(
            model, [repository / "examples/ethanol.xyz"], tmp_path / "out", engine="ase", time=0.5, device="cpu"
        )
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written >= {"ase.csv", "ase.extxyz", "energy.png", "nve.json", "nve.csv", "report.html"}
