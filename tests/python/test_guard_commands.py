"""``transip-md guard``, ``distance``, and what ``validate`` and ``train`` make of a sample of the training set."""

from __future__ import annotations

import json

import ase
import ase.io
import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.stats import spearmanr
from typer.testing import CliRunner

from networks import random_molecule, small_checkpoint
from transip_md.cli.main import app
from transip_md.evaluators.library_model import LibraryModel
from transip_md.model.checkpoint import load_checkpoint, save_checkpoint
from transip_md.modelfile.metadata import read_metadata
from transip_md.validation.distances import rank
from transip_md.validation.run import validate

pytestmark = pytest.mark.usefixtures("library")


def invoke(*words) -> str:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.output + str(result.exception)
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def made(tmp_path_factory, library):
    """Files of a small network of H, C and O guarded by the command, and frames with labels that lack O."""
    folder = tmp_path_factory.mktemp("guard")
    frames = []
    for seed in range(20):
        atoms = ase.Atoms(*random_molecule(9, seed))
        atoms.numbers[atoms.numbers == 8] = 6
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((9, 3)))
        frames.append(atoms)
    ase.io.write(folder / "frames.extxyz", frames)
    save_checkpoint(folder / "plain.ckpt", small_checkpoint().model, {"closest_pair": 0.7})
    said = invoke("guard", folder / "plain.ckpt", "-d", folder / "frames.extxyz", "-o", folder / "guarded.ckpt")
    assert "atoms of each of H, C, O, from 20 frames, 2 held out" in said
    for name in ("plain", "guarded"):
        invoke("export", folder / f"{name}.ckpt", "-o", folder / f"{name}.pt")
    return folder


def test_guard_changes_no_weights(made):
    plain, guarded = (load_checkpoint(made / f"{name}.ckpt") for name in ("plain", "guarded"))
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(weight, guarded.model.state_dict()[name])
    assert plain.sample is None and guarded.training["largest"] == 9
    files = [read_metadata(made / f"{name}.pt").weights for name in ("plain", "guarded")]
    assert {name: weight.sha256 for name, weight in files[0].items()}.items() <= {
        name: weight.sha256 for name, weight in files[1].items()
    }.items()


def test_distance(made, tmp_path):
    said = invoke(
        "distance", made / "guarded.pt", "-f", made / "frames.extxyz", "--above", "1e-3", "--json", tmp_path / "d.json"
    )  # fmt: skip
    values = json.loads((tmp_path / "d.json").read_text())
    model, distances, errors = LibraryModel(made / "guarded.pt"), [], []
    for frame, atoms in zip(values["frames"], ase.io.read(made / "frames.extxyz", ":"), strict=True):
        distances.append(model.distances(atoms.numbers, atoms.positions))
        assert frame["distances"] == pytest.approx(distances[-1].tolist(), abs=1e-12)
        errors.append(np.linalg.norm(model.evaluate(atoms.numbers, atoms.positions).forces, axis=1))
    wanted = spearmanr(np.concatenate(distances), np.concatenate(errors)).statistic
    assert values["ranking"]["spearman"] == pytest.approx(wanted, abs=1e-12)
    assert f"180 labelled atoms: Spearman {wanted:.3f}" in said


def test_detection_by_pairs():
    random = np.random.default_rng(0)
    distances, errors = random.random(60).round(1), random.random(60)
    (found,) = rank(distances, errors, [0.4]).detections
    above, below = distances[errors > 0.4], distances[errors <= 0.4]
    pairs = (above[:, None] > below).mean() + 0.5 * (above[:, None] == below).mean()
    assert found.auroc == pytest.approx(pairs, abs=1e-12) and found.atoms == len(above)
    assert rank(distances, errors, [2.0]).detections == ()


def test_known(made, tmp_path):
    inside = ase.io.read(made / "frames.extxyz", 3)
    inside.calc = None
    pressed = inside.copy()
    pressed.positions *= 0.3
    pressed.numbers[4] = 8
    larger = ase.Atoms(*random_molecule(12, 99))
    for name, atoms in (("inside", inside), ("pressed", pressed), ("larger", larger)):
        atoms.write(tmp_path / f"{name}.xyz")
    files = [tmp_path / f"{name}.xyz" for name in ("inside", "pressed", "larger")]
    found = {(one.structure, one.key): one for one in validate(made / "guarded.pt", files, only=["known"]).findings}
    assert found["inside", "known.environment"].verdict == "PASS"
    assert found["pressed", "known.environment"].verdict == "WARN"
    assert (
        found["pressed", "known.environment"].value > 1000
        and "atom 4 (O)" in found["pressed", "known.environment"].note
    )
    assert found["pressed", "known.closest_pair"].verdict == "WARN"
    assert found["inside", "known.size"].verdict == "PASS" and found["larger", "known.size"].value == 12 / 9
    assert found["larger", "known.size"].verdict == "WARN"
    of_pair = found["pressed", "known.closest_pair"].value * min(
        np.linalg.norm(pressed.positions[i] - pressed.positions[j]) for i in range(9) for j in range(i)
    )
    assert of_pair == pytest.approx(0.7)
    plain = validate(made / "plain.pt", files[:1], only=["known"]).findings
    assert [one.verdict for one in plain if one.key == "known"] == ["SKIP"]
