"""Long commands without a terminal, as in a batch job: now and then a line says what is done and what time is left."""

from __future__ import annotations

import re

import ase.io
import numpy as np
import pytest
import yaml
from ase.calculators.singlepoint import SinglePointCalculator

from toys import springs
from transip_md.cli import progress
from transip_md.training import evaluation

RECIPE = {
    "data": {
        "train": ["labelled.extxyz"],
        "test": ["labelled.extxyz"],
        "validation": 8,
        "description": "springs",
        "level_of_theory": "springs",
        "licence": "MIT",
    },
    "model": {"dim": 16, "layers": 1, "heads": 2, "feedforward": 16},
    "steps": 40,
    "batch_size": 4,
    "warmup": 5,
    "report_every": 20,
    "accelerator": "cpu",
}


@pytest.fixture
def labelled(tmp_path, ethanol):
    """Distorted ethanol, labelled by springs."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(60):
        atoms = ethanol.copy()
        atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape)
        energies, forces = springs(atoms.positions)
        atoms.calc = SinglePointCalculator(atoms, energy=energies.sum(), forces=forces)
        frames.append(atoms)
    ase.io.write(tmp_path / "labelled.extxyz", frames)
    return tmp_path / "labelled.extxyz"


@pytest.fixture
def ethanol_xyz(repository):
    return repository / "examples/ethanol.xyz"


@pytest.fixture
def told(transip_md, monkeypatch):
    """Call with a command's words: count, total and unit of its lines of progress, 10 ms apart."""
    monkeypatch.setattr(progress, "FIRST", 0.01)
    monkeypatch.setattr(progress, "INTERVAL", 0.01)

    def call(*words: object, starts: str) -> list[tuple[int, int, str]]:
        result = transip_md(*words)
        assert result.returncode == 0, result.stdout + result.stderr
        pattern = rf"^{re.escape(starts)}.*: (\d+) of (\d+) (\w+),.* [\d.e+]+ \3/s, \d+:\d\d:\d\d left$"
        found = re.findall(pattern, result.stderr, re.MULTILINE)
        assert found and "left" not in result.stdout, result.stderr
        lines = [(int(done), int(total), unit) for done, total, unit in found]
        assert lines == sorted(lines) and all(0 < done <= total for done, total, _ in lines), lines
        return lines

    return call


def test_train(told, labelled, tmp_path):
    pytest.importorskip("lightning", reason="Lightning is not installed (pip install 'transip-md[train]')")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    lines = told("train", tmp_path / "recipe.yaml", "-o", tmp_path / "m.ckpt", starts="training")
    assert {line[1:] for line in lines} == {(40, "steps")}


def test_sample(told, ethanol_xyz, tmp_path):
    pytest.importorskip("tblite", reason="tblite is not installed (pip install 'transip-md[train]')")
    words = ["--frames", 4, "--stride", 2, "--temperature", 300, "--seed", 1]
    lines = told("sample", ethanol_xyz, "-o", tmp_path / "f.extxyz", *words, starts="sampling ethanol")
    assert {line[1:] for line in lines} == {(4, "frames")}


def test_nve(told, toy_file, ethanol_xyz, tmp_path):
    words = ["--engine", "ase", "--dt", 0.25, "--time", 0.15, "--threshold", 1000, "--out", tmp_path / "out"]
    lines = told("nve", toy_file, ethanol_xyz, *words, starts="ethanol")
    assert {line[1:] for line in lines} == {(600, "steps")}


def test_eval(told, labelled, monkeypatch):
    monkeypatch.setattr(evaluation, "EVALUATION_ATOMS", 36)
    lines = told("eval", "ethanol", labelled, starts="evaluating")
    assert {line[1:] for line in lines} == {(60, "structures")}


def test_bench(told, ethanol_file, ethanol_xyz):
    lines = told("bench", ethanol_file, ethanol_xyz, "--engine", "model", "--seconds", 0.01, "--rounds", 2, starts="")
    assert {unit for _, _, unit in lines} == {"runs"}
