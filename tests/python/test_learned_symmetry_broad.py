import importlib.util
import json
import sys
from dataclasses import replace

import ase.io
import pytest

pytest.importorskip("lightning", reason="Lightning is not installed (pip install 'transip-md[train]')")
yaml = pytest.importorskip("yaml")

from toys import labelled_springs
from transip_md.training.config import read_config
from transip_md.training.run import TrainingRun


@pytest.fixture
def benchmark(repository, tmp_path, monkeypatch):
    """The script, with molecules labelled by springs as its data."""
    folder = repository / "benchmarks"
    spec = importlib.util.spec_from_file_location("learned_symmetry_broad", folder / "learned_symmetry_broad.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "learned_symmetry_broad", module)
    monkeypatch.syspath_prepend(folder)
    spec.loader.exec_module(module)
    ase.io.write(tmp_path / "train.extxyz", labelled_springs(304, seed=0))
    ase.io.write(tmp_path / "toy_modes_600K.extxyz", labelled_springs(4, seed=1))
    toy = replace(module.DATA["recipes"], files=(tmp_path / "train.extxyz",))
    monkeypatch.setitem(module.DATA, "recipes", toy)
    monkeypatch.setattr(module, "TEST", tmp_path)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results.json")
    return module


def command(benchmark, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["learned_symmetry_broad.py", *map(str, words)])
    benchmark.main()


def test_every_run_labels_as_many_atoms(benchmark, tmp_path, monkeypatch):
    command(benchmark, monkeypatch, "--recipes", "--atoms", 64, "--steps", 1000, "--folder", tmp_path / "runs")
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 12
    for folder in folders:
        name = folder.name.removesuffix("-nano-1000x64")
        parts = {path.stem: read_config(path) for path in folder.glob("*.yaml")}
        labelled = 0
        for part in parts.values():
            labelled += part.steps * part.batch_atoms * (2 if part.objective.consistency else 1)
            assert name.endswith(f"seed{part.seed}")
            if part.start_from is None:
                assert part.model_shape((1, 8)).radial_bias == name.startswith("radial")
        assert labelled == 64000, name
        last = parts["model"]
        assert ("contrastive" in name) == (last.objective.equivariance is not None), name
        assert ("consistency" in name) == (last.objective.consistency > 0), name
        first = parts.get("first")
        assert last.start_from == (None if first is None else str(folder / "first.ckpt"))
        assert first is None or (first.objective.consistency, first.steps) == (0, 500)


def test_models_are_chosen(benchmark, tmp_path, monkeypatch):
    command(benchmark, monkeypatch, "--recipes", "--models", "rope", "--folder", tmp_path / "runs")
    assert {folder.name.partition("-")[0] for folder in (tmp_path / "runs").iterdir()} == {"rope"}


def test_other_frames_are_another_run(benchmark, tmp_path, monkeypatch):
    """Each set of data has its folder and its recipe; what is known of one is not taken for the other."""
    other = replace(benchmark.DATA["many"], files=(tmp_path / "other.extxyz",))
    ase.io.write(tmp_path / "other.extxyz", labelled_springs(310, seed=2))
    monkeypatch.setitem(benchmark.DATA, "many", other)
    options = ("rope-augmentation-seed0", "--steps", 4, "--atoms", 24, "--folder", tmp_path / "runs")
    command(benchmark, monkeypatch, *options, "--recipes")
    command(benchmark, monkeypatch, *options, "--recipes", "--data", "many")
    folders = {
        "recipes": tmp_path / "runs" / "rope-augmentation-seed0-nano-4x24",
        "many": tmp_path / "runs" / "rope-augmentation-seed0-nano-4x24-many",
    }
    for data, folder in folders.items():
        config = read_config(folder / "model.yaml", ["compile=false"])
        assert config.data.train == list(benchmark.DATA[data].files)
        TrainingRun(config, folder / "model.ckpt").train()
        command(benchmark, monkeypatch, *options, "--data", data)
    entries = json.loads((tmp_path / "results.json").read_text())["entries"]
    assert [(entry["run"]["data"], entry["frames"]) for entry in entries] == [("recipes", 4), ("many", 10)]
    table = (tmp_path / "results.md").read_text()
    assert "4 steps of 24 atoms, 4 frames" in table and "4 steps of 24 atoms, 10 frames" in table


def test_a_run_that_was_trained_elsewhere_is_measured(benchmark, tmp_path, monkeypatch):
    """The recipes are written, and trained where they are; the command measures and trains nothing."""
    options = ("rope-consistency-seed3", "--seeds", 3, "--steps", 4, "--atoms", 24, "--folder", tmp_path / "runs")
    command(benchmark, monkeypatch, *options, "--recipes")
    folder = tmp_path / "runs" / "rope-consistency-seed3-nano-4x24"
    for part in ("first", "model"):
        config = read_config(folder / f"{part}.yaml", ["compile=false"])
        errors = TrainingRun(config, folder / f"{part}.ckpt").train()
    monkeypatch.setattr(benchmark, "transip_md", lambda *words: pytest.fail(f"was trained again: {words}"))
    command(benchmark, monkeypatch, *options)
    (entry,) = json.loads((tmp_path / "results.json").read_text())["entries"]
    assert entry["held_out"]["force_mae"] == errors.force_mae and entry["frames"] == 4
    (line,) = [line for line in (tmp_path / "results.md").read_text().splitlines() if line.startswith("| plain RoPE")]
    assert f"| {errors.force_mae:.1f} | {errors.rotation.force_mae:.1f} |" in line
    # What is in the results is not asked for again.
    (folder / "model.ckpt").unlink()
    command(benchmark, monkeypatch, *options)


def test_what_another_command_adds_stays(benchmark, tmp_path, monkeypatch):
    def trained(run, folder):
        """A run, during which another command adds its entry."""
        errors = {"force_mae": 1.0, "energy_mae": 2.0, "rotation": {"force_mae": 3.0, "energy_mae": 0.25}}
        entry = {"frames": 9, "seconds": 600, "held_out": errors}
        found = benchmark.known()
        found["entries"].append(entry | {"run": benchmark.asdict(replace(run, seed=7))})
        (tmp_path / "results.json").write_text(json.dumps(found))
        return entry | {"run": benchmark.asdict(run)}

    monkeypatch.setattr(benchmark, "train", trained)
    command(benchmark, monkeypatch, "rope-augmentation-seed0", "--folder", tmp_path / "runs")
    entries = json.loads((tmp_path / "results.json").read_text())["entries"]
    assert [entry["run"]["seed"] for entry in entries] == [7, 0]


def test_the_table_holds_means_over_seeds(benchmark):
    def entry(seed, force):
        run = benchmark.Run("radial", "contrastive", seed, "nano", 1000, 160)
        errors = {"force_mae": force, "energy_mae": 2.0, "rotation": {"force_mae": 3.0, "energy_mae": 0.25}}
        return {"run": benchmark.asdict(run), "frames": 9, "seconds": 600, "held_out": errors}

    text = benchmark.report([entry(0, 51.0), entry(1, 57.0)])
    assert "## `nano`, 1,000 steps of 160 atoms, 9 frames" in text
    assert "| radial bias | + pooled, contrastive | 54.0 ± 3.0 | 3.0 ± 0.0 | 2.0 ± 0.0 |" in text


def test_the_table_is_that_of_the_record(benchmark, repository):
    entries = json.loads((repository / "benchmarks/learned_symmetry_broad.json").read_text())["entries"]
    assert (repository / "benchmarks/learned_symmetry_broad.md").read_text() == benchmark.report(entries)


def test_words_that_no_run_has(benchmark, monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        command(benchmark, monkeypatch, "rope-invariance-seed0")
    assert end.value.code == 2 and "choose of rope-augmentation-seed0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "advice"), [("recipes", "make train-organic-broad"), ("many", "make learned-symmetry-many")]
)
def test_data_that_are_not_there(benchmark, tmp_path, monkeypatch, capsys, data, advice):
    monkeypatch.setitem(benchmark.DATA, data, replace(benchmark.DATA[data], files=(tmp_path / "none.extxyz",)))
    with pytest.raises(SystemExit) as end:
        command(benchmark, monkeypatch, "rope-augmentation-seed0", "--data", data)
    assert end.value.code == 2 and advice in capsys.readouterr().err
