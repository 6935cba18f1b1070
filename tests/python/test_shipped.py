"""The shipped models on data that they have not seen, against the errors that their records claim."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

import transip_md
from transip_md.data.frames import open_frames
from transip_md.model.checkpoint import shipped_names
from transip_md.training.evaluation import measure_errors

DATA = "water_pbe0_periodic.extxyz.xz"


def data_file(repository: Path, name: str) -> Path:
    folder = Path(os.environ.get("TRANSIP_MD_DATA", repository.parent / "shared" / "data"))
    if not (folder / name).is_file():
        pytest.skip(f"{folder / name} is not there (TRANSIP_MD_DATA names the folder of reference data)")
    return folder / name


def test_water_on_its_held_out_frames(repository):
    spec = importlib.util.spec_from_file_location("split", repository / "recipes/water/split.py")
    split = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(split)
    frames = open_frames([data_file(repository, DATA)])
    _, held_out = split.rows(len(frames))
    assert len(held_out) == 40
    checkpoint = transip_md.pretrained("water")
    errors = measure_errors(checkpoint.model, frames, np.array(held_out[:10]))
    print(errors.summary())
    assert errors.force_rmse <= 23.0
    # Ten of the forty frames that the record is about.
    assert errors.force_rmse == pytest.approx(checkpoint.training["held_out"]["force_rmse"], rel=0.1)
    assert errors.rotation.force_mae <= 5.0


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_model_has_a_card(name, repository):
    training = transip_md.pretrained(name).training
    for key in ("data", "level_of_theory", "licence", "closest_pair", "seconds"):
        assert training[key], key
    assert {"energy_mae", "force_mae", "force_rmse"} <= training["held_out"].keys()
    card = (repository / "recipes" / name / "README.md").read_text()
    assert f"{training['held_out']['force_mae']:.2f}" in card and "**Not for**" in card


RECIPES = sorted(path.name for path in (Path(__file__).resolve().parents[2] / "recipes").iterdir() if path.is_dir())


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_read(name, repository, tmp_path):
    yaml = pytest.importorskip("yaml")
    from transip_md.training.config import read_config

    values = yaml.safe_load((repository / "recipes" / name / "train.yaml").read_text())
    for files in ("train", "test"):
        # The data are not in the repository, and patterns must match something.
        values["data"][files] = [f"{files}.extxyz"]
    copy = tmp_path / "train.yaml"
    copy.write_text(yaml.safe_dump(values))
    assert read_config(copy).model_shape((1, 8)).layers == (5 if name == "organic_large" else 3)


@pytest.mark.parametrize(
    ("recipe", "part"),
    [
        ("organic", "second"),
        ("organic", "third"),
        ("organic", "fourth"),
        ("organic", "fifth"),
        ("organic", "sixth"),
        ("organic_broad", "second"),
        ("organic_broad", "third"),
        ("organic_broad", "fourth"),
        ("organic_broad", "fifth"),
        ("organic_broad", "sixth"),
        ("organic_large", "train"),
        ("organic_large", "second"),
        ("organic_large", "third"),
        ("organic_large", "fourth"),
        ("water_broad", "train"),
        ("water_broad", "second"),
        ("water", "second"),
    ],
)
def test_later_parts_continue_from_the_one_before(recipe, part, repository, tmp_path):
    yaml = pytest.importorskip("yaml")
    from transip_md.training.config import read_config

    values = yaml.safe_load((repository / "recipes" / recipe / f"{part}.yaml").read_text())
    for files in ("train", "test"):
        values["data"][files] = [f"{files}.extxyz"]
    copy = tmp_path / f"{part}.yaml"
    copy.write_text(yaml.safe_dump(values))
    before = read_config(copy).start_from
    makefile = (repository / "Makefile").read_text()
    for variable, folder in (("$(BROAD)", "recipes/organic_broad"), ("$(LARGE)", "recipes/organic_large")):
        makefile = makefile.replace(variable, folder)
    assert f"-o {before if '/' in before else f'python/transip_md/shipped/{before}.ckpt'}" in makefile
