import copy
import importlib.util
import json
import multiprocessing
import multiprocessing.pool
import sys
from types import SimpleNamespace

import ase
import ase.io
import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator

pytest.importorskip("lightning", reason="Lightning is not installed (pip install 'transip-md[train]')")

from toys import springs
from transip_md.common.errors import UsageError
from transip_md.data.frames import open_frames
from transip_md.model.checkpoint import load_checkpoint
from transip_md.training.run import TrainingRun


@pytest.fixture(scope="module")
def benchmark(repository):
    """The script as a module by the name that its worker processes import."""
    folder = repository / "benchmarks"
    spec = importlib.util.spec_from_file_location("learned_symmetry", folder / "learned_symmetry.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "learned_symmetry", module)
        patch.syspath_prepend(folder)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture
def in_one_process(benchmark, monkeypatch):
    """Cells are run by a thread: each worker process would import torch and Lightning anew."""

    class Context:
        Array = staticmethod(multiprocessing.Array)
        Pool = staticmethod(multiprocessing.pool.ThreadPool)

    monkeypatch.setattr(benchmark, "multiprocessing", SimpleNamespace(get_context=lambda method: Context))
    # What a worker does with interrupts, only a process's first thread may.
    monkeypatch.setattr(benchmark, "_begin_worker", lambda fractions: setattr(benchmark, "_fractions", fractions))


def labelled(count: int, seed: int) -> list[ase.Atoms]:
    """Water-like molecules labelled by springs."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        positions = np.array([[0.0, 0, 0], [1.5, 0, 0], [0, 1.5, 0]]) + rng.normal(scale=0.15, size=(3, 3))
        energies, forces = springs(positions)
        atoms = ase.Atoms("OH2", positions)
        atoms.calc = SinglePointCalculator(atoms, energy=energies.sum() - 2000.0, forces=forces)
        frames.append(atoms)
    return frames


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Data in the place of the published ones, and where the results go."""
    ase.io.write(tmp_path / "ethanol_pbe_train.extxyz.xz", labelled(40, seed=0), format="extxyz")
    ase.io.write(tmp_path / "ethanol_pbe_test.extxyz.xz", labelled(20, seed=1), format="extxyz")
    monkeypatch.setenv("TRANSIP_MD_DATA", str(tmp_path))
    return tmp_path


def cells_of(benchmark, folder, *arguments, steps=3, seconds=0.05):
    options = benchmark.parse([*arguments, "--folder", str(folder)])
    budget = benchmark.Budget(steps, seconds)
    cells = benchmark.table_cells(benchmark.data_sets(folder / "data"), options, budget)
    return [cell for cell in cells if cell.data == "ethanol_pbe"]


@pytest.mark.long
def test_a_worker_process_runs_a_cell(benchmark, folder):
    wanted = r"ethanol_pbe\.rope\.augmentation\.seed1"
    benchmark.run(benchmark.parse(["--only", wanted, "--steps", "2", "--minutes", "0.001", "--folder", str(folder)]))
    (file,) = benchmark.runs_folder(folder).iterdir()
    assert json.loads(file.read_text())["at_steps"]["steps"] == 2


@pytest.mark.usefixtures("in_one_process")
def test_every_cell_is_run_once_and_stands_in_the_table(benchmark, folder):
    # One row of one model has both seeds; of the others, one is enough.
    wanted = r"ethanol_pbe\.(rope\.augmentation|.*seed1)"
    arguments = ["--only", wanted, "--steps", "3", "--minutes", "0.001", "--folder", str(folder)]
    options = benchmark.parse(arguments)
    benchmark.run(options)
    runs = benchmark.runs_folder(folder)
    files = {file.name: file.stat().st_mtime_ns for file in runs.iterdir()}
    assert len(files) == 2 * 4 + 1 and "ethanol_pbe.rope.augmentation.seed0.json" in files
    for name in files:
        result = json.loads((runs / name).read_text())
        assert result["at_steps"]["steps"] == 3
        assert result["at_time"]["seconds"] >= 0.06 and all(result["at_time"]["errors"].values())

    lines = (folder / "learned_symmetry.md").read_text().split("\n")
    for model in ("plain RoPE", "radial bias"):
        for objective in ("augmentation alone", "pooled, squared", "per atom, squared", "pooled, contrastive"):
            rows = [line for line in lines if f"| {model} |" in line and objective in line]
            # At equal steps and at equal time, for each data set; nothing of the second was run.
            assert len(rows) == 4
            seeds = 2 if (model, objective) == ("plain RoPE", "augmentation alone") else 1
            assert all(row.count("±") >= (5 if seeds == 2 else 0) and row.endswith(f"| {seeds} |") for row in rows[:2])
            assert all(row.count("–") == 7 and row.endswith("| 0 |") for row in rows[2:])
    record = json.loads((folder / "learned_symmetry.json").read_text())
    assert len(record["cells"]) == 9 and record["steps"] == 3 and record["machine"]["torch"] == torch.__version__

    # Again: nothing is run; with one file gone, that one; with other settings, all of what is asked for.
    benchmark.run(options)
    assert {file.name: file.stat().st_mtime_ns for file in runs.iterdir()} == files
    gone = "ethanol_pbe.radial.pooled.seed1.json"
    (runs / gone).unlink()
    benchmark.run(options)
    changed = [name for name, time in files.items() if (runs / name).stat().st_mtime_ns != time]
    assert changed == [gone]
    cells = cells_of(benchmark, folder, "--weight-squared", "0.5", seconds=options.minutes * 60)
    ran = [cell for cell in cells if f"{cell.name}.json" in files]
    stale = {cell.name.split(".")[2] for cell in ran if benchmark.load_result(cell, runs) is None}
    assert stale == {"pooled", "atoms"}


def test_errors_at_equal_steps_are_those_of_exactly_these_steps(benchmark, folder):
    """Measured in passing or at the end of a run: the same."""
    name = "ethanol_pbe.rope.contrastive.seed1"
    short, long = (
        next(cell for cell in cells_of(benchmark, folder, steps=4, seconds=seconds) if cell.name == name)
        for seconds in (1e-6, 1.0)
    )
    first, second = benchmark.run_cell(short), benchmark.run_cell(long)
    assert first["at_time"]["steps"] == 1 and second["at_time"]["steps"] > 4
    assert first["at_steps"]["steps"] == second["at_steps"]["steps"] == 4
    assert first["at_steps"]["errors"] == second["at_steps"]["errors"] != second["at_time"]["errors"]


@pytest.mark.parametrize("objective", ["augmentation", "atoms"])
def test_a_cell_takes_the_steps_of_transip_md_train(benchmark, folder, objective):
    """The harness and Lightning's Trainer come to the same weights, bit for bit."""
    name = f"ethanol_pbe.rope.{objective}.seed0"
    config = next(cell for cell in cells_of(benchmark, folder, steps=6) if cell.name == name).config
    config.data.validation = 5
    run = TrainingRun(config, folder / "m.ckpt")
    model = copy.deepcopy(run.model)
    frames = ase.io.read(config.data.train[0], index=":", format="extxyz")
    ase.io.write(folder / "rows.extxyz", [frames[row] for row in run.train_rows])
    # T is drawn when the run begins.
    torch.manual_seed(3)
    run.train()
    torch.manual_seed(3)
    learner = benchmark.Learner(config, model, open_frames([folder / "rows.extxyz"]))
    for _ in range(config.steps):
        learner.advance()
    wanted = load_checkpoint(folder / "m.ckpt").model.state_dict()
    found = learner.average.state_dict()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_a_new_model_is_that_of_the_seed_and_the_data(benchmark, folder):
    cells = {cell.name: cell for cell in cells_of(benchmark, folder)}
    frames = open_frames(next(iter(cells.values())).config.data.train)
    models = [
        benchmark.new_model(cells[f"ethanol_pbe.rope.{name}"].config, frames)
        for name in ("augmentation.seed0", "contrastive.seed0", "augmentation.seed1")
    ]
    first, same, other = (model.rotary.frequencies for model in models)
    assert torch.equal(first, same) and not torch.equal(first, other)
    references = models[0].reference_energies
    mean = np.mean([frame.energy for frame in frames])
    assert float(2 * references[0] + references[1]) == pytest.approx(mean, abs=1e-6)


def test_energy_error_less_offset(benchmark, folder):
    cell = cells_of(benchmark, folder)[0]
    frames, test = (open_frames(files) for files in (cell.config.data.train, cell.config.data.test))
    model = benchmark.new_model(cell.config, frames).eval()
    before = benchmark.measure(model, test)
    model.reference_energies += 1.0
    after = benchmark.measure(model, test)
    assert after["energy_mae"] == pytest.approx(1000.0, rel=0.3)
    assert after["energy_mae_less_offset"] == pytest.approx(before["energy_mae_less_offset"], abs=1e-6)
    assert after["force_mae"] == before["force_mae"]


@pytest.mark.usefixtures("in_one_process")
def test_sweep_has_its_own_table_and_shares_augmentation(benchmark, folder):
    arguments = ["--steps", "3", "--minutes", "0.001", "--seeds", "0", "--folder", str(folder)]
    benchmark.run(benchmark.parse([*arguments, "--only", r"ethanol_pbe\.rope\.augmentation"]))
    kept = benchmark.runs_folder(folder) / "ethanol_pbe.rope.augmentation.seed0.json"
    before = kept.stat().st_mtime_ns
    benchmark.run(benchmark.parse([*arguments, "--sweep", "--weights", "0.1", "--ramps", "0", "2"]))
    assert kept.stat().st_mtime_ns == before
    record = json.loads((folder / "learned_symmetry_sweep.json").read_text())
    assert len(record["cells"]) == 1 + 2 * 2 * 2
    forms = [cell["settings"]["objective"]["equivariance"] for cell in record["cells"][1:]]
    assert len({(form["normalise"], form["stop_gradient"], form["ramp"]) for form in forms}) == 8
    assert "| 0.1 | no | yes | 2 |" in (folder / "learned_symmetry_sweep.md").read_text()


def test_steps_are_chosen_once(benchmark, folder, monkeypatch):
    monkeypatch.setattr(benchmark, "TIMED_STEPS", 2)
    monkeypatch.setattr(benchmark, "UNTIMED_STEPS", 0)
    options = benchmark.parse(["--minutes", "0.5", "--folder", str(folder)])
    data = benchmark.data_sets(folder)["ethanol_pbe"]
    steps = benchmark.choose_steps(data, options, folder)
    kept = json.loads((folder / "steps.json").read_text())
    assert steps == int(30_000 / max(kept["ms_per_step"].values())) and len(kept["ms_per_step"]) == 8
    monkeypatch.setattr(benchmark, "time_steps", lambda configs, frames: dict.fromkeys(configs, 1.0))
    assert benchmark.choose_steps(data, options, folder) == steps
    options.minutes = 1.0
    assert benchmark.choose_steps(data, options, folder) == 60_000


def test_what_diverged_says_so(benchmark):
    entry = {"runs": 2, "force_mae": benchmark.statistic([1.0, None])}
    assert benchmark.figure(entry, "force_mae") == "diverged"
    entry["force_mae"] = benchmark.statistic([150.0, 158.0])
    assert benchmark.figure(entry, "force_mae") == "154 ± 4"
    entry["force_mae"] = benchmark.statistic([0.0355, 0.0365])
    assert benchmark.figure(entry, "force_mae") == "0.0360 ± 0.0005"
    assert benchmark.figure({"runs": 2, "steps": benchmark.statistic([87, 87])}, "steps") == "87"
    assert benchmark.figure({"runs": 2, "steps": benchmark.statistic([3, 6])}, "steps") == "4 ± 2"


def test_bad_options(benchmark, folder, monkeypatch):
    base = ["--steps", "1", "--folder", str(folder)]
    for pattern, words in (("nothing", "matches no cell"), ("(", "regular expression")):
        with pytest.raises(UsageError, match=words):
            benchmark.run(benchmark.parse([*base, "--only", pattern]))
    (folder / "ethanol_pbe_test.extxyz.xz").unlink()
    with pytest.raises(UsageError, match="TRANSIP_MD_DATA"):
        benchmark.run(benchmark.parse([*base, "--only", "ethanol_pbe"]))
    for arguments in (["--minutes", "0"], ["--steps", "-1"], ["--seeds", "-1"]):
        with pytest.raises(SystemExit):
            benchmark.parse(arguments)
