"""Names of folders and files that a LAMMPS deck, a shell or a terminal would take for something else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from lammps_decks import deck, run_lammps
from transip_md.common.errors import UsageError
from transip_md.engines.base import Job
from transip_md.engines.lammps.engine import LammpsEngine, device_word, model_beside, write_data
from transip_md.validation.parity import compare_engines

#: Kinds of names, each a folder in the one before; the last holds model and structure, and one that a run writes into.
NAMES = {
    "ends of lines": ("x\nshell\ttouch\tPWN", 'x"\nshell touch PWN\n"', "a\tb"),
    "variables": ("a b", "$HOME", "${x}", "$(1+1)"),
    "quotes": ("it's", 'a"b', '"""'),
    "marks": ("a#b", "a&", "a\\b", "-in", "*?[a]", "[bold][red]", "a@1"),
    "alphabets": ("üñí", "水分子", "a" * 200),
}


@pytest.fixture(params=NAMES)
def folder(request, tmp_path, monkeypatch):
    """A folder of such names, and a working folder in which nothing may appear."""
    made = tmp_path.joinpath(*NAMES[request.param])
    made.mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    yield made
    assert not list((tmp_path / "work").iterdir())
    assert not list(tmp_path.rglob("PWN"))


def test_lammps_single_point(folder, toy_file, ethanol, lammps_plugin):
    model = shutil.copy(toy_file, folder / "m.pt")
    rows, _ = compare_engines(model, ethanol, ["lammps"], folder / "runs", "cpu")
    assert rows[0].passed


def test_decks_hold_no_text_from_outside(tmp_path, toy_file, ethanol, lammps_plugin):
    model = shutil.copy(toy_file, tmp_path / "evil\nshell touch PWN.pt")
    LammpsEngine().single_point(Job(model, ethanol, tmp_path / "runs"))
    deck = (tmp_path / "runs" / "in.point").read_text()
    assert "pair_style    transip transip_model.pt device auto\n" in deck and "PWN" not in deck


@pytest.mark.parametrize("device", ["cpu\nshell touch PWN", "cpu kernels torch", "", "cuda:", "${x}"])
def test_devices_that_are_none(device):
    with pytest.raises(UsageError, match="device must be auto, cpu"):
        device_word(device)


def test_symmetry_is_written_anew(tmp_path, molecule_file, ethanol, lammps_plugin):
    job = Job(molecule_file, ethanol, tmp_path / "runs", "cpu", "average\n4\t")
    LammpsEngine().single_point(job)
    assert " symmetry average 4\n" in (tmp_path / "runs" / "in.point").read_text()


def test_a_link_to_the_model(tmp_path, toy_file):
    model = shutil.copy(toy_file, tmp_path / "m.pt")
    assert model_beside(model, tmp_path) == "transip_model.pt"
    assert os.readlink(tmp_path / "transip_model.pt") == "m.pt"
    (tmp_path / "runs").mkdir()
    assert model_beside(model, tmp_path / "runs") == "transip_model.pt"
    assert (tmp_path / "runs" / "transip_model.pt").read_bytes() == toy_file.read_bytes()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "transip_model.pt").write_text("mine")
    with pytest.raises(UsageError, match="is in the way"):
        model_beside(model, tmp_path / "other")


def test_a_copy_where_there_are_no_links(tmp_path, toy_file, monkeypatch):
    """The second run finds the copy of the first, and another model is still refused."""

    def no_links(*_):
        raise OSError

    monkeypatch.setattr("pathlib.Path.symlink_to", no_links)
    for _ in range(2):
        assert model_beside(toy_file, tmp_path) == "transip_model.pt"
        assert (tmp_path / "transip_model.pt").read_bytes() == toy_file.read_bytes()
    (tmp_path / "other.pt").write_bytes(b"another")
    with pytest.raises(UsageError, match="is in the way"):
        model_beside(tmp_path / "other.pt", tmp_path)


def test_commands(tmp_path, toy_file, ethanol, lammps_plugin):
    """In processes of their own, as users type them."""
    folder = tmp_path / "it's üñí 水分子"
    folder.mkdir()
    shutil.copy(toy_file, folder / "m.pt")
    ethanol.write(folder / "e.xyz", format="extxyz")
    for words in (
        ["parity", "m.pt", "e.xyz", "--engine", "lammps"],
        ["nve", "m.pt", "e.xyz", "--engine", "lammps", "--time", "0.15", "--dt", "0.2", "--out", "out"],
    ):
        command = [sys.executable, "-m", "transip_md", *words]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert result.returncode in (0, 1), result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        assert "PASS" in result.stdout or "constant energy" in result.stdout


@pytest.mark.parametrize("path", ["mü.pt", "üñí/m.pt", "水/分子.pt", "m.pt"])
def test_pair_style_takes_utf_8_paths(tmp_path, toy_file, ethanol, lammps_plugin, path):
    """In a deck of the user's own: LAMMPS writes such characters anew before a style sees them."""
    (tmp_path / path).parent.mkdir(exist_ok=True)
    shutil.copy(toy_file, tmp_path / path)
    write_data(tmp_path / "ethanol.data", ethanol)
    result = run_lammps(tmp_path, deck(path))
    assert result.returncode == 0, result.stdout
    assert "Loop time" in result.stdout


def test_pair_style_does_not_guess(tmp_path, toy_file, ethanol, lammps_plugin):
    write_data(tmp_path / "ethanol.data", ethanol)
    for name in ("mü.pt", "mü.pt".replace("ü", "\u043c"), "mļ.pt"):
        shutil.copy(toy_file, tmp_path / name)
    result = run_lammps(tmp_path, deck("mü.pt"))
    if "could be meant" in result.stdout:
        assert result.returncode != 0 and "link to the file with a name in ASCII" in result.stdout
    missing = run_lammps(tmp_path, deck("no_such_ñ.pt"))
    assert missing.returncode != 0 and "No such model file" in missing.stdout
