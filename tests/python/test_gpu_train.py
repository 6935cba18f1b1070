"""A training that is taken to a GPU machine for some minutes at a time; here it runs on the CPU."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
import yaml

pytest.importorskip("lightning", reason="Lightning is not installed (pip install 'transip-md[train]')")

from toys import labelled_springs
from transip_md.common.errors import UsageError
from transip_md.data.structures import read_frames
from transip_md.model.checkpoint import load_checkpoint
from transip_md.training.config import read_config

RECIPE = {
    "data": {
        "train": ["some*.extxyz"], "test": ["test.extxyz"], "validation": 10, "description": "springs",
        "level_of_theory": "springs", "licence": "MIT",
    },
    "model": {"dim": 16, "layers": 1, "heads": 2, "feedforward": 32},
    "steps": 100_000, "batch_size": 8, "warmup": 5, "report_every": 50,
}  # fmt: skip


@pytest.fixture
def scripts(repository, monkeypatch):
    """The script that packs, as a module."""
    folder = repository / "scripts"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("gpu_train_bundle", folder / "gpu_train_bundle.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def recipe(tmp_path) -> Path:
    for name, count in (("some1", 40), ("some2", 20), ("test", 10)):
        ase.io.write(tmp_path / f"{name}.extxyz", labelled_springs(count, seed=count))
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def test_recipe_and_data_are_packed(scripts, recipe, tmp_path):
    folder = tmp_path / "packed"
    folder.mkdir()
    scripts.write_recipe(read_config(recipe), folder)
    config = read_config(folder / "recipe.yaml")
    assert [path.name for path in config.data.train] == ["0000_some1.extxyz.xz", "0001_some2.extxyz.xz"]
    for packed, source in zip(config.data.train, ("some1", "some2"), strict=True):
        mine, wanted = read_frames(packed), read_frames(tmp_path / f"{source}.extxyz")
        assert len(mine) == len(wanted)
        assert all((one.positions == other.positions).all() for one, other in zip(mine, wanted, strict=True))
    paths = {"data"}
    assert config.model_dump(exclude=paths) == read_config(recipe).model_dump(exclude=paths)
    with pytest.raises(UsageError, match="cannot be packed"):
        scripts.packed(tmp_path, folder, 0)


@pytest.mark.long
def test_training_is_stopped_and_resumed(scripts, recipe, repository, tmp_path):
    """The script with a bundle of this package alone: all others are those of this Python."""
    wheels, added = tmp_path / "wheels", tmp_path / "added"
    wheels.mkdir()
    added.mkdir()
    scripts.write_recipe(read_config(recipe), added)
    scripts.build_own_wheel(wheels)
    scripts.pack(wheels, tmp_path / "gpu-train.tar", scripts.SOURCES, added)
    command = ["sh", str(repository / "scripts" / "gpu_train.sh"), "gpu-train.tar", "-o", "results"]
    environment = {**os.environ, "GPU": "optional", "PYTHON": sys.executable}

    def call(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)

    first = call("--seconds", "60")
    assert first.returncode == 1 and "to resume from" in first.stdout, first.stdout + first.stderr
    assert (tmp_path / "results" / "state.part.00").is_file()
    log = tmp_path / "results" / "train.log"
    done = int(re.findall(r"^step (\d+):", log.read_text(), re.MULTILINE)[-1])
    second = call("--set", f"steps={done + 50}")
    assert second.returncode == 0, second.stdout + second.stderr
    assert f"resumes from step {done}" in log.read_text()
    assert load_checkpoint(tmp_path / "results" / "model.ckpt").training["steps"] == done + 50
    assert "trained already" in call().stdout
    assert call("--second", "5").returncode == 2
