import copy
import csv
import os
import signal
import subprocess
import sys

import ase
import pytest
import torch
import yaml

pytest.importorskip("lightning", reason="Lightning is not installed (pip install 'transip-md[train]')")

from toys import labelled_springs
from transip_md.common.errors import EnvironmentFaultError, TransIPError, UsageError
from transip_md.data.frames import open_frames
from transip_md.model.checkpoint import load_checkpoint
from transip_md.training.config import read_config
from transip_md.training.evaluation import measure_errors
from transip_md.training.latent_sample import latent_sample
from transip_md.training.run import TrainingRun

VALUES = {
    "data": {
        "train": ["train.extxyz"],
        "test": ["test.extxyz"],
        "validation": 20,
        "description": "springs",
        "level_of_theory": "springs",
        "licence": "MIT",
    },
    "model": {"dim": 16, "layers": 1, "heads": 2, "feedforward": 32},
    "steps": 60,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "warmup": 5,
    "report_every": 20,
    "ema_decay": 0.9,
    "accelerator": "cpu",
}


@pytest.fixture
def config_file(tmp_path):
    ase.io.write(tmp_path / "train.extxyz", labelled_springs(120, seed=0))
    ase.io.write(tmp_path / "test.extxyz", labelled_springs(30, seed=1))
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(VALUES))
    return path


def weights(path):
    return load_checkpoint(path).model.state_dict()


def largest_difference(first, second) -> float:
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one if one[name].numel())


def test_training_learns(config_file, tmp_path):
    config = read_config(config_file, ["steps=400"])
    run = TrainingRun(config, tmp_path / "m.ckpt")
    before = measure_errors(copy.deepcopy(run.model), run.frames, run.validation_rows)
    reports, steps = [], []
    test = run.train(reports.append, steps.append)
    assert test.force_mae < 0.35 * before.force_mae
    assert [report.step for report in reports] == list(range(20, 401, 20)) and steps == list(range(1, 401))
    checkpoint = load_checkpoint(tmp_path / "m.ckpt")
    again = measure_errors(checkpoint.model, open_frames(config.data.test))
    assert again.force_mae == pytest.approx(test.force_mae, rel=1e-6)
    record = checkpoint.training
    assert record["held_out"]["force_mae"] == pytest.approx(test.force_mae)
    assert record["recipe"]["data"]["train"] == ["train.extxyz"] and record["steps"] == 400 and record["frames"] == 100
    rows = metrics(run.folder, 0)
    logged = [float(row["val/force_mae"]) for row in rows if row["val/force_mae"]]
    assert logged == pytest.approx([report.validation.force_mae for report in reports], rel=1e-4)
    assert any(row["train/force"] for row in rows)
    assert list((run.folder / "tensorboard").glob("*/events*")) and not run.state_file.exists()


def metrics(folder, start) -> list[dict[str, str]]:
    with (folder / "csv" / f"from_step_{start}" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def validations(folder, start) -> list[int]:
    return [int(row["step"]) + 1 for row in metrics(folder, start) if row["val/force_mae"]]


class KilledError(Exception):
    pass


def train_until(config, output, step):
    def kill(report):
        if report.step == step:
            raise KilledError

    with pytest.raises(KilledError):
        TrainingRun(config, output).train(kill)


CONTRASTIVE = ["objective.equivariance={weight: 0.1, loss: contrastive, embedding: atoms, ramp: 30}"]


@pytest.mark.parametrize(
    "overrides", [[], CONTRASTIVE, ["batch_size=null", "batch_atoms=25"], ["optimizer=muon"]], ids=str
)
def test_resumed_run_is_the_uninterrupted_one(config_file, tmp_path, overrides):
    config = read_config(config_file, overrides)
    TrainingRun(config, tmp_path / "whole.ckpt").train()
    train_until(config, tmp_path / "resumed.ckpt", 40)
    resumed = TrainingRun(config, tmp_path / "resumed.ckpt")
    assert resumed.step == 40
    with pytest.raises(UsageError, match="another configuration"):
        TrainingRun(config.model_copy(update={"seed": 9}), tmp_path / "resumed.ckpt")
    steps = []
    resumed.train(advanced=steps.append)
    assert steps == list(range(41, 61))
    assert largest_difference(tmp_path / "whole.ckpt", tmp_path / "resumed.ckpt") == 0.0
    # The log of the first part is still there.
    assert [validations(resumed.folder, start) for start in (0, 40)] == [[20, 40], [60]]


def test_a_resumed_run_may_plan_for_other_steps(config_file, tmp_path):
    output = tmp_path / "m.ckpt"
    train_until(read_config(config_file), output, 40)
    with pytest.raises(UsageError, match=r"40 steps behind it.*--set steps=40"):
        TrainingRun(read_config(config_file, ["steps=39"]), output)
    steps = []
    TrainingRun(read_config(config_file, ["steps=50"]), output).train(advanced=steps.append)
    record = load_checkpoint(output).training
    assert steps[-1] == 50 and record["steps"] == 50
    assert record["planned"] == [{"until_step": 40, "steps": 60}]


def test_an_interrupted_run_may_end_where_it_is(config_file, tmp_path):
    """Its checkpoint has the averaged weights of the saved state, and no step is trained."""
    output = tmp_path / "m.ckpt"
    overrides = ["objective.equivariance={weight: 0.1}"]
    train_until(read_config(config_file, overrides), output, 40)
    run = TrainingRun(read_config(config_file, [*overrides, "steps=40"]), output)
    saved = torch.load(run.state_file, weights_only=True)
    steps = []
    errors = run.train(advanced=steps.append)
    checkpoint = load_checkpoint(output)
    assert not steps and not run.state_file.exists()
    for name, weight in checkpoint.model.state_dict().items():
        assert torch.equal(weight, saved["state_dict"][f"average.{name}"]), name
    assert checkpoint.training["steps"] == 40 and checkpoint.training["planned"] == [{"until_step": 40, "steps": 60}]
    assert checkpoint.training["seconds"] == round(saved["transip_seconds"])
    assert checkpoint.training["held_out"]["force_mae"] == errors.force_mae
    assert checkpoint.transport is not None


def test_interrupted_by_a_signal_and_resumed(config_file, tmp_path):
    whole, resumed = tmp_path / "whole.ckpt", tmp_path / "resumed.ckpt"
    config = read_config(config_file)
    TrainingRun(config, whole).train()

    def interrupt(step):
        if step == 33:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        TrainingRun(config, resumed).train(advanced=interrupt)
    assert not resumed.exists()
    run = TrainingRun(config, resumed)
    assert run.step in (33, 34)
    run.train()
    assert largest_difference(whole, resumed) == 0.0


@pytest.mark.long
def test_data_workers_change_nothing(config_file, tmp_path):
    TrainingRun(read_config(config_file), tmp_path / "none.ckpt").train()
    TrainingRun(read_config(config_file, ["data.workers=2"]), tmp_path / "two.ckpt").train()
    assert largest_difference(tmp_path / "none.ckpt", tmp_path / "two.ckpt") == 0.0


def test_two_processes_train_one_model(config_file, tmp_path):
    """Lightning's DDP: the processes share gradients, add up their validation errors, and one of them writes."""
    output = tmp_path / "two.ckpt"
    command = [sys.executable, "-m", "transip_md.cli.main", "train", str(config_file), "-o", str(output)]
    two = [*command, "--set", "devices=2", "--set", "steps=20"]
    done = subprocess.run(two, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    record = load_checkpoint(output).training
    assert record["steps"] == 20
    errors = measure_errors(load_checkpoint(output).model, open_frames(read_config(config_file).data.test))
    assert record["held_out"]["force_mae"] == pytest.approx(errors.force_mae, rel=1e-6)
    assert (
        " ".join(done.stdout.split()).count("held-out force MAE") == 1 and done.stderr.count("step 20: validation") == 1
    )
    # The moving average of either process would have given the reported validation error.
    run = TrainingRun(read_config(config_file), tmp_path / "other.ckpt")
    alone = measure_errors(load_checkpoint(output).model, run.frames, run.validation_rows, rotations=False)
    assert f"validation force MAE {alone.force_mae:.2f}" in done.stderr


def test_fine_tuning_starts_from_a_checkpoint(config_file, tmp_path):
    first = tmp_path / "first.ckpt"
    TrainingRun(read_config(config_file, ["steps=300"]), first).train()
    trained = load_checkpoint(first)
    tune = ["model={}", f"start_from={first}", "steps=5", "learning_rate=1e-9", "report_every=5"]
    # Another level of theory: energies of the elements differ, forces do not.
    frames = labelled_springs(60, seed=3)
    for atoms in frames:
        atoms.calc.results["energy"] += 5.0 * len(atoms)
    ase.io.write(tmp_path / "train.extxyz", frames)
    ase.io.write(tmp_path / "test.extxyz", frames[:20])
    run = TrainingRun(read_config(config_file, tune), tmp_path / "second.ckpt")
    test = run.train()
    assert test.force_mae == pytest.approx(measure_errors(trained.model, run.test_frames).force_mae, rel=1e-3)
    shift = run.model.reference_energies - trained.model.reference_energies
    assert shift.tolist() == pytest.approx([5.0, 5.0], abs=0.5)
    assert test.energy_mae < 300
    with pytest.raises(UsageError, match="leave `model` out"):
        read_config(config_file, [f"start_from={first}"])
    # An element and a charge that the first data did not hold.
    frames[0].numbers[:] = 9
    for atoms in frames[:10]:
        atoms.info["charge"] = 1
    ase.io.write(tmp_path / "train.extxyz", frames)
    wide = [*tune, "model={short_range: zbl, charge_energies: true}"]
    run = TrainingRun(read_config(config_file, wide), tmp_path / "third.ckpt")
    of_model = ["short_range zbl", "short_range_end 0.75", "charge_energies True"]
    assert run.added == ["elements F", "charge 0 to 1", *of_model]
    run.train()
    assert 9 in load_checkpoint(tmp_path / "third.ckpt").config.species
    assert load_checkpoint(tmp_path / "third.ckpt").model.charge_energies[1] != 0.0
    with pytest.raises(UsageError, match="No such checkpoint"):
        TrainingRun(read_config(config_file, ["model={}", "start_from=nothing"]), tmp_path / "third.ckpt")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_layers_far_from_the_output_are_tuned_less(config_file, tmp_path, optimizer):
    """One layer at decay 0.01: the embeddings move 10^-4 of what the energy head moves, and without decay as far."""
    first = tmp_path / "first.ckpt"
    TrainingRun(read_config(config_file, ["steps=5", "report_every=5"]), first).train()
    tune = ["model={}", f"start_from={first}", "steps=5", "report_every=5", "warmup=0", f"optimizer={optimizer}"]
    moved = {}
    for decay in (1.0, 0.01):
        second = tmp_path / f"{decay}.ckpt"
        TrainingRun(read_config(config_file, [*tune, f"layer_decay={decay}"]), second).train()
        before, after = weights(first), weights(second)
        moved[decay] = {
            name: float((after[name] - before[name]).abs().max()) for name in before if before[name].numel()
        }
    ratio = {decay: by["species_embedding.weight"] / by["energy_head.0.weight"] for decay, by in moved.items()}
    assert 0.05 < ratio[1.0] < 50
    assert ratio[0.01] == pytest.approx(1e-4 * ratio[1.0], rel=0.9)


def test_periodic_local_model(config_file, tmp_path):
    ase.io.write(tmp_path / "train.extxyz", labelled_springs(120, seed=0, periodic=True))
    ase.io.write(tmp_path / "test.extxyz", labelled_springs(30, seed=1, periodic=True))
    with pytest.raises(UsageError, match="Give the model a cutoff"):
        TrainingRun(read_config(config_file), tmp_path / "m.ckpt")
    run = TrainingRun(read_config(config_file, ["model.cutoff=4.0", "steps=300"]), tmp_path / "m.ckpt")
    before = measure_errors(copy.deepcopy(run.model), run.test_frames)
    assert run.train().force_mae < 0.5 * before.force_mae
    trained = load_checkpoint(tmp_path / "m.ckpt")
    assert trained.config.cutoff == 4.0 and trained.training["largest"] == 4
    sample = latent_sample(trained.model, run.frames, run.train_rows, run.validation_rows)
    assert all(torch.equal(one, two) for one, two in zip(sample.buffers(), trained.sample.buffers(), strict=True))


def test_direct_forces_are_learned(config_file, tmp_path):
    run = TrainingRun(read_config(config_file, ["model.force_head=direct", "steps=300"]), tmp_path / "m.ckpt")
    before = measure_errors(copy.deepcopy(run.model), run.test_frames)
    assert run.train().force_mae < 0.6 * before.force_mae
    assert not load_checkpoint(tmp_path / "m.ckpt").config.conservative


def test_transport_network_is_kept(config_file, tmp_path):
    TrainingRun(read_config(config_file, [*CONTRASTIVE, "steps=20"]), tmp_path / "m.ckpt").train()
    transport = load_checkpoint(tmp_path / "m.ckpt").transport
    assert transport["hidden.weight"].shape == (32, 16 + 9)
    TrainingRun(read_config(config_file, ["steps=20"]), tmp_path / "plain.ckpt").train()
    assert load_checkpoint(tmp_path / "plain.ckpt").transport is None


def test_consistency_lowers_the_rotation_error(config_file, tmp_path):
    errors = {}
    for weight in (0.0, 3.0):
        overrides = [f"objective.consistency={weight}", "steps=150", "model.radial_bias=false"]
        run = TrainingRun(read_config(config_file, overrides), tmp_path / f"{weight}.ckpt")
        errors[weight] = run.train().rotation.force_mae
    assert errors[3.0] < 0.7 * errors[0.0]


def test_early_stopping(config_file, tmp_path):
    config = read_config(config_file, ["patience=1", "learning_rate=1e-12", "ema_decay=0.0", "steps=400"])
    steps = []
    TrainingRun(config, tmp_path / "m.ckpt").train(advanced=steps.append)
    assert steps[-1] < 400
    assert load_checkpoint(tmp_path / "m.ckpt").training["steps"] == steps[-1]


def test_bfloat16_trains(config_file, tmp_path):
    run = TrainingRun(read_config(config_file, ["precision=bf16", "steps=200"]), tmp_path / "m.ckpt")
    before = measure_errors(copy.deepcopy(run.model), run.test_frames)
    assert run.train().force_mae < 0.7 * before.force_mae
    assert all(value.dtype in (torch.float32, torch.float64) for value in weights(tmp_path / "m.ckpt").values())


def test_given_references_and_frames(config_file, tmp_path):
    overrides = ["data.references={H: -10.5, C: -1000.5}", "data.frames=40", "model.species=[O, C, H]"]
    run = TrainingRun(read_config(config_file, overrides), tmp_path / "m.ckpt")
    assert run.model.config.species == (8, 6, 1)
    assert len(run.train_rows) == 40 and not set(run.train_rows) & set(run.validation_rows)
    assert run.model.reference_energies[1:].tolist() == [-1000.5, -10.5]
    with pytest.raises(UsageError, match="lack atomic numbers"):
        TrainingRun(read_config(config_file, ["data.references={H: -10.5}"]), tmp_path / "m.ckpt")
    with pytest.raises(UsageError, match=r"train\.extxyz.*frame 0.*C"):
        TrainingRun(read_config(config_file, ["model.species=[H, O]"]), tmp_path / "m.ckpt")


def test_bad_configurations(config_file, tmp_path):
    with pytest.raises(UsageError, match="No such training configuration"):
        read_config(tmp_path / "none.yaml")
    for override, words in (
        ("step=3", "step"),
        ("data.validate=3", r"data\.validate"),
        ("objective.equivariance.weigth=3", "weigth"),
        ("objective.equivariance={weight: 1, embedding: bonds}", "embedding"),
        ("batch_atoms=30", "either batch_size or batch_atoms"),
        ("layer_decay=0.5", "layer_decay goes with start_from"),
        ("seed", "key=value"),
        ("steps.deep=3", "not a section"),
        ("data.train=[none*.extxyz]", "No file matches"),
        ("steps=[", "not YAML"),
    ):
        with pytest.raises(UsageError, match=words):
            read_config(config_file, [override])
    for override, words in (
        ("model.layer=3", "model: layer"),
        ("model.preset=huge", "nano, small, medium, large"),
        ("model.species=[Xx]", "no element"),
        ("data.validation=120", "are left"),
        ("data.frames=110", "are wanted"),
    ):
        with pytest.raises(UsageError, match=words):
            TrainingRun(read_config(config_file, [override]), tmp_path / "m.ckpt")
    config_file.write_text("a: [")
    with pytest.raises(UsageError, match="not YAML"):
        read_config(config_file)
    config_file.write_text("- a")
    with pytest.raises(UsageError, match="no keys"):
        read_config(config_file)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_asked_for_and_absent(config_file, tmp_path):
    with pytest.raises(EnvironmentFaultError, match="accelerator=cpu"):
        TrainingRun(read_config(config_file, ["accelerator=cuda"]), tmp_path / "m.ckpt").train()


def test_divergence_is_an_error(config_file, tmp_path):
    config = read_config(config_file, ["learning_rate=1.0e+30", "warmup=0"])
    with pytest.raises(TransIPError, match="diverged"):
        TrainingRun(config, tmp_path / "m.ckpt").train()
    assert not (tmp_path / "m.ckpt").exists()
