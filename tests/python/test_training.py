import ase
import numpy as np
import pytest
import torch
import yaml
from ase.calculators.singlepoint import SinglePointCalculator

from toys import springs
from transip_md.errors import TransIPError, UsageError
from transip_md.model.checkpoint import load_checkpoint
from transip_md.training.config import read_config
from transip_md.training.data import MoleculeSet, load_molecules
from transip_md.training.loop import Trainer, measure_errors


def labelled(count: int, seed: int) -> list[ase.Atoms]:
    """Molecules of two sizes, labelled by springs and per-element energies."""
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(count):
        numbers = [6, 1, 1] if index % 2 else [6, 6, 1, 1]
        positions = np.array([[0, 0, 0], [1.5, 0, 0], [0, 1.5, 0], [0, 0, 1.5]])[: len(numbers)]
        positions = positions + rng.normal(scale=0.15, size=positions.shape)
        energies, forces = springs(positions)
        atoms = ase.Atoms(numbers, positions)
        energy = energies.sum() - 10.0 * numbers.count(1) - 1000.0 * numbers.count(6)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    return frames


@pytest.fixture
def config_file(tmp_path):
    ase.io.write(tmp_path / "train.extxyz", labelled(120, seed=0))
    ase.io.write(tmp_path / "test.extxyz", labelled(30, seed=1))
    values = {
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
    }
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_training_learns(config_file, tmp_path):
    config = read_config(config_file)
    config.steps = 400
    trainer = Trainer(config, tmp_path / "m.ckpt")
    before = trainer.validate()
    reports = []
    test = trainer.run(reports.append)
    assert test.force_mae < 0.35 * before.force_mae
    assert [report.step for report in reports] == list(range(20, 401, 20))
    checkpoint = load_checkpoint(tmp_path / "m.ckpt")
    again = measure_errors(checkpoint.model, load_molecules(config.data.test))
    assert again.force_mae == pytest.approx(test.force_mae, rel=1e-6)
    assert checkpoint.training["held_out"]["force_mae"] == pytest.approx(test.force_mae)
    assert checkpoint.training["recipe"]["data"]["train"] == ["train.extxyz"]


def test_resumed_run_is_the_uninterrupted_one(config_file, tmp_path):
    config = read_config(config_file)
    Trainer(config, tmp_path / "whole.ckpt").run(lambda report: None)

    class KilledError(Exception):
        pass

    def kill(report):
        if report.step == 40:
            raise KilledError

    with pytest.raises(KilledError):
        Trainer(config, tmp_path / "resumed.ckpt").run(kill)
    resumed = Trainer(config, tmp_path / "resumed.ckpt")
    assert resumed.step == 40
    other = config.model_copy(update={"seed": 9})
    with pytest.raises(UsageError, match="another configuration"):
        Trainer(other, tmp_path / "resumed.ckpt")
    resumed.run(lambda report: None)
    assert not resumed.state_file.exists()
    whole = load_checkpoint(tmp_path / "whole.ckpt").model.state_dict()
    for name, value in load_checkpoint(tmp_path / "resumed.ckpt").model.state_dict().items():
        assert torch.equal(value, whole[name]), name


def test_reference_energies_are_the_elements_energies():
    data = MoleculeSet(labelled(100, seed=2))
    references = data.fit_references((1, 6))
    # The springs add a little to each; the labels hold -10 eV a hydrogen and -1000 eV a carbon.
    assert references.tolist() == pytest.approx([-10.0, -1000.0], abs=1.0)


def test_set_is_padded_and_measured():
    frames = labelled(4, seed=3)
    data = MoleculeSet(frames)
    assert data.padded and data.species.shape == (4, 4)
    assert data.known_species() == (1, 6)
    closest = min(frame.get_all_distances()[~np.eye(len(frame), dtype=bool)].min() for frame in frames)
    assert data.closest_pair() == pytest.approx(closest, abs=1e-9)
    assert data.force_scale() == pytest.approx(
        np.sqrt(np.mean(np.concatenate([frame.get_forces().ravel() for frame in frames]) ** 2))
    )


def test_rotating_a_batch_turns_positions_and_forces():
    from transip_md.model.rotations import random_rotations

    batch = MoleculeSet(labelled(2, seed=4)).batch(torch.tensor([0]))
    rotations = random_rotations(1, torch.Generator().manual_seed(1))
    turned = batch.rotated(rotations)
    positions = turned.positions[0].numpy()
    _, forces = springs(positions)
    assert np.allclose(turned.forces[0].numpy(), forces, atol=1e-10)


def test_bad_configurations(config_file, tmp_path):
    with pytest.raises(UsageError, match="No such training configuration"):
        read_config(tmp_path / "none.yaml")
    values = yaml.safe_load(config_file.read_text())
    config_file.write_text(yaml.safe_dump({**values, "step": 3}))
    with pytest.raises(UsageError, match="step"):
        read_config(config_file)
    config_file.write_text(yaml.safe_dump({**values, "data": {**values["data"], "validate": 3}}))
    with pytest.raises(UsageError, match=r"data\.validate"):
        read_config(config_file)
    config_file.write_text(yaml.safe_dump({**values, "model": {"layer": 3}}))
    with pytest.raises(UsageError, match="model: layer"):
        Trainer(read_config(config_file), tmp_path / "m.ckpt")
    config_file.write_text("a: [")
    with pytest.raises(UsageError, match="not YAML"):
        read_config(config_file)
    unlabelled = tmp_path / "plain.xyz"
    ase.io.write(unlabelled, ase.Atoms("CO", [[0, 0, 0], [0, 0, 1.1]]))
    with pytest.raises(UsageError, match="no energy or no forces"):
        load_molecules([unlabelled])
    with pytest.raises(UsageError, match="No such structure file"):
        load_molecules([tmp_path / "none.extxyz"])


def test_every_batch_is_turned_at_random(config_file, tmp_path, monkeypatch):
    from transip_md.training import loop

    honest = loop.loss_of
    seen = []
    monkeypatch.setattr(
        loop, "loss_of", lambda model, batch, config: seen.append(batch) or honest(model, batch, config)
    )
    config = read_config(config_file)
    config.steps = config.report_every = 3
    trainer = Trainer(config, tmp_path / "m.ckpt")
    trainer.run(lambda report: None)
    shapes = [torch.pdist(positions).sort().values for positions in trainer.data.positions]
    for batch in seen:
        for positions in batch.positions:
            distances = torch.pdist(positions).sort().values
            nearest = min(range(len(shapes)), key=lambda row: float((shapes[row] - distances).abs().max()))
            assert torch.allclose(shapes[nearest], distances, atol=1e-9)
            assert not torch.allclose(trainer.data.positions[nearest], positions, atol=1e-3)


def test_too_few_frames(config_file, tmp_path):
    config = read_config(config_file)
    config.data.validation = 120
    with pytest.raises(UsageError, match="none are left"):
        Trainer(config, tmp_path / "m.ckpt")


def test_divergence_is_an_error(config_file, tmp_path):
    config = read_config(config_file)
    config.learning_rate, config.warmup = 1e30, 0
    with pytest.raises(TransIPError, match="diverged"):
        Trainer(config, tmp_path / "m.ckpt").run(lambda report: None)
    assert not (tmp_path / "m.ckpt").exists()
