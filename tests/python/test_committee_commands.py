"""``transip-md deviation`` and ``train --committee``."""

from __future__ import annotations

import json

import ase.io
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from committees import deviations, single_evaluations
from transip_md.cli.main import app
from transip_md.common.errors import UsageError
from transip_md.model.checkpoint import load_checkpoint
from transip_md.validation.uncertainty import LEVELS, calibrate


def invoke(*words) -> str:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


@pytest.fixture
def frames(ethanol, molecule_committee, tmp_path):
    """Bent ethanol, labelled by the mean of the committee: its deviations are what a random model would err by."""
    from ase.calculators.singlepoint import SinglePointCalculator

    random = np.random.default_rng(0)
    made = []
    for _ in range(6):
        atoms = ethanol.copy()
        atoms.rattle(0.1, rng=random)
        energies, forces, _ = single_evaluations(molecule_committee, atoms)
        atoms.calc = SinglePointCalculator(atoms, energy=energies.mean(), forces=forces.mean(axis=0))
        made.append(atoms)
    ase.io.write(tmp_path / "frames.extxyz", made)
    return tmp_path / "frames.extxyz"


def test_deviation(library, molecule_committee, frames, tmp_path):
    output, report, plot = tmp_path / "d.out", tmp_path / "d.json", tmp_path / "d.png"
    said = invoke(
        "deviation", *molecule_committee, "-f", frames, "-o", output, "--json", report, "--plot", plot
    )  # fmt: skip
    structures = ase.io.read(frames, index=":")
    lines = np.loadtxt(output)
    errors = []
    for index, atoms in enumerate(structures):
        found = single_evaluations(molecule_committee, atoms)
        assert np.allclose(lines[index], [index, *deviations(*found)], rtol=2e-6)
        errors.append(found[1][0] - found[1].mean(axis=0))
    values = json.loads(report.read_text())
    assert values["calibration"]["force_mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-6)
    assert values["calibration"]["atoms"] == 54 and values["calibration"]["spearman"] > 0.3
    assert [frame["max_devi_f"] for frame in values["frames"]] == pytest.approx(lines[:, 4].tolist(), rel=1e-6)
    assert "54 labelled atoms" in said and plot.stat().st_size > 1000
    of_mean = invoke("deviation", *molecule_committee, "-f", frames, "--force", "mean")
    assert "force MAE 0.00 meV" in of_mean


def test_deviation_of_unlabelled_frames(library, molecule_committee, ethanol, tmp_path):
    ase.io.write(tmp_path / "e.xyz", ethanol)
    assert "labelled atoms" not in invoke("deviation", *molecule_committee, "-f", tmp_path / "e.xyz")
    words = ["deviation", *molecule_committee, "-f", tmp_path / "e.xyz", "--plot", tmp_path / "d.png"]
    result = CliRunner().invoke(app, list(map(str, words)))
    assert isinstance(result.exception, UsageError) and "give frames with forces" in str(result.exception)


def test_calibration_of_normal_errors():
    """Errors as they are stated lie on the diagonal; those twice as large have an area known in closed form."""
    random = np.random.default_rng(1)
    stated = random.uniform(0.5, 2.0, (20000, 3))
    errors = stated * random.normal(size=stated.shape)
    sound = calibrate(stated, errors)
    assert sound.miscalibration < 0.01 and sound.scale == pytest.approx(1.0, abs=0.02)
    assert sound.spearman > 0.3
    doubled = calibrate(stated, 2.0 * errors)
    from scipy.stats import norm

    expected = 2.0 * norm.cdf(norm.ppf(0.5 * (1.0 + LEVELS)) / 2.0) - 1.0
    area = np.trapezoid(np.abs(expected - LEVELS), LEVELS)
    assert doubled.miscalibration == pytest.approx(area, abs=0.01)
    assert doubled.scale == pytest.approx(2.0, abs=0.04)
    unrelated = calibrate(stated, random.normal(size=stated.shape))
    assert abs(unrelated.spearman) < 0.05
    assert calibrate(stated[:5], errors[:5]) is None


@pytest.fixture
def recipe(frames, tmp_path):
    pytest.importorskip("lightning", reason="Lightning is not installed (pip install 'transip-md[train]')")
    path = tmp_path / "train.yaml"
    path.write_text(f"""
data:
  train: ["{frames.name}"]
  test: ["{frames.name}"]
  validation: 1
  description: bent ethanol
  level_of_theory: a committee
  licence: none
model: {{dim: 16, heads: 2, layers: 1, feedforward: 16}}
seed: 5
steps: 3
batch_size: 2
warmup: 1
report_every: 3
""")
    return path


def test_train_a_committee(library, recipe, tmp_path):
    output = tmp_path / "model.ckpt"
    said = invoke("train", recipe, "-o", output, "--committee", "2")
    assert "model 2 of 2, seed 6" in said and not output.exists()
    files = [tmp_path / f"model.{number}.ckpt" for number in (1, 2)]
    found = [load_checkpoint(file) for file in files]
    assert [one.training["recipe"]["seed"] for one in found] == [5, 6]
    assert all(one.training["recipe"]["data"]["bootstrap"] for one in found)
    weights = [one.model.state_dict()["species_embedding.weight"] for one in found]
    assert not torch.equal(*weights)
    # What is there is not trained again; what is missing is.
    before = files[0].stat().st_mtime_ns
    files[1].unlink()
    said = invoke("train", recipe, "-o", output, "--committee", "2")
    assert "model.1.ckpt: is there" in said.replace("\n", "") and files[0].stat().st_mtime_ns == before
    again = load_checkpoint(files[1]).model.state_dict()["species_embedding.weight"]
    assert torch.equal(again, weights[1])
    result = CliRunner().invoke(app, ["train", str(recipe), "-o", str(output), "--committee", "2", "--set", "steps=4"])
    assert isinstance(result.exception, UsageError) and "made by another recipe" in str(result.exception)


def test_bootstrap_draws_with_replacement(recipe, tmp_path):
    from transip_md.training.config import read_config
    from transip_md.training.run import TrainingRun

    rows = {}
    for seed in (1, 2):
        for bootstrap in ("true", "false"):
            config = read_config(recipe, [f"seed={seed}", f"data.bootstrap={bootstrap}"])
            run = TrainingRun(config, tmp_path / "m.ckpt")
            rows[seed, bootstrap] = run.train_rows.tolist()
            assert set(run.train_rows).isdisjoint(run.validation_rows) and len(run.train_rows) == 5
            # Records and states without a bootstrap are those of before there was one.
            assert ("bootstrap" in run.recipe["data"]) == (bootstrap == "true")
    assert len(set(rows[1, "false"])) == 5 and len(set(rows[1, "true"])) < 5
    assert rows[1, "true"] != rows[2, "true"]
