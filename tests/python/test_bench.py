import json

import ase
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from networks import crystal, make_model, random_molecule
from transip_md.bench.floor import count_flop, matmul_rate
from transip_md.bench.run import layouts_of, measure
from transip_md.bench.timers import Task, Timing, time_task
from transip_md.common.errors import UsageError
from transip_md.data.neighbours import Neighbourhood
from transip_md.evaluators.torch_model import inputs_of
from transip_md.exporting.engine_model import EngineModel
from transip_md.exporting.export import export
from transip_md.model.checkpoint import Checkpoint


def flop_by_torch(checkpoint: Checkpoint, atoms: ase.Atoms) -> int:
    """Products that torch counts, of the eager network: all of them there and back."""
    model = EngineModel(checkpoint.model.double()).eval().requires_grad_(False)
    inputs = inputs_of(atoms.numbers, atoms.positions, neighbourhood_of(model, atoms), 0, 1)
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        model(*inputs)
    return counter.get_total_flops()


def neighbourhood_of(model: EngineModel, atoms: ase.Atoms) -> Neighbourhood:
    count = len(atoms)
    return Neighbourhood(np.arange(count), np.zeros((count, 3)), np.empty((count, 0), dtype=np.int64))


@pytest.mark.parametrize("layers", [1, 3])
def test_flop_against_torchs_count(tmp_path, layers):
    """torch counts besides the phases, and not the logits that are formed anew."""
    atoms = ase.Atoms(*random_molecule(6, 1))
    model = make_model(layers=layers, radial_bias=False).float()
    model.energy_scale, model.reference_energies = model.energy_scale.double(), model.reference_energies.double()
    checkpoint = Checkpoint(model.config, model)
    export(checkpoint, tmp_path / "model.pt", "float32")
    tokens, dim = 6, 32
    phases = layers * 2 * 2 * tokens * 3 * dim // 2
    anew = layers * 4 * tokens * tokens * dim
    counted = flop_by_torch(checkpoint, atoms)
    assert counted - phases == count_flop(tmp_path / "model.pt", atoms) - anew


def test_flop_of_a_box_counts_edges_within_the_cutoff(local_file):
    atoms = crystal(0)
    twice = count_flop(local_file, atoms.repeat((2, 1, 1)))
    assert twice == 2 * count_flop(local_file, atoms)


def test_no_flop_of_an_analytic_model(toy_file, ethanol):
    assert count_flop(toy_file, ethanol) is None
    assert 1e8 < matmul_rate(1) < 1e14


def timings(task: Task) -> Timing:
    """A machine on which a step of the model takes 2 us and an atom, and 1 ms more in an engine."""
    model = 2e-6 * len(task.atoms)
    step = model + (0.0 if task.target == "model" else 1e-3) / task.ranks
    share = (model, 0.1 * model) if task.target == "lammps" else (None, None)
    return Timing(step, 100.0 + len(task.atoms), *share)


def test_table(local_file, tmp_path):
    said = []
    small = crystal(0)
    structures = {"small": small, "large": small.repeat(3)}
    layouts = layouts_of(["lammps", "ase"], [1, 2])
    assert [layout.name for layout in layouts] == ["model", "ase", "lammps", "lammps, 2 ranks"]
    results = measure(local_file, structures, layouts, seconds=0.1, rounds=2, say=said.append, timer=timings)
    lines = {(line.structure, line.layout): line for line in results.lines}
    assert lines["small", "model"].ms == pytest.approx(0.016) and lines["small", "model"].over_model is None
    assert lines["small", "lammps"].over_model == pytest.approx(1e-3 / 16e-6)
    assert lines["small", "lammps"].pair_around == pytest.approx(0.1)
    assert lines["large", "lammps, 2 ranks"].ms == pytest.approx(0.432 + 0.5)
    assert lines["large", "model"].atom_steps == pytest.approx(5e5)
    assert lines["small", "model"].ns_per_day == pytest.approx(86400 / 16e-6 * 0.5e-6)
    assert results.exponent["model"] == pytest.approx(1.0)
    assert len(said) == 2 * 4 * (1 + 2)
    results.write(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["lines"][0]["structure"] == "small"
    with pytest.raises(UsageError, match="'gromacs' cannot be timed"):
        layouts_of(["gromacs"], [1])
    with pytest.raises(UsageError, match="No baseline is called 'amber'"):
        layouts_of(["ase"], [1], ["amber"])
    with pytest.raises(UsageError, match="--ranks must be 1 or more, got 0"):
        layouts_of(["ase"], [0])


def test_every_layout_runs_for_the_same_time(local_file):
    """Not for the same number of steps: a fast engine's would be over before they say anything."""
    asked = []

    def timer(task: Task) -> Timing:
        asked.append(task)
        return Timing({"model": 0.02, "ase": 0.04, "lammps": 0.001}[task.target] / task.ranks, 100.0)

    layouts = layouts_of(["lammps", "ase"], [1, 2])
    results = measure(local_file, {"cell": crystal(0)}, layouts, seconds=2.0, rounds=1, timer=timer)
    assert {line.layout: line.steps for line in results.lines} == {
        "model": 100,
        "ase": 50,
        "lammps": 2000,
        "lammps, 2 ranks": 4000,
    }
    assert [task.steps for task in asked] == [10] * 4 + [100, 50, 2000, 4000]
    assert all(task.warmup == 110 for task in asked[4:])


def test_the_teacher_beside_it(toy_file, ethanol):
    pytest.importorskip("tblite", reason="tblite is not installed (pip install 'transip-md[train]')")
    assert 0 < time_task(Task("gfn2-xtb", toy_file, ethanol, steps=2, warmup=1)).step < 10


@pytest.mark.parametrize("target", ["model", "ase", "lammps", "openmm"])
def test_every_target_runs(local_file, target, request):
    """In a process of its own."""
    if target in ("lammps", "openmm"):
        request.getfixturevalue(f"{target}_plugin")
    timing = time_task(Task(target, local_file, crystal(0), steps=20, warmup=110))
    assert 0 < timing.step < 1 and 20 < timing.memory < 5000
    assert (timing.in_model is not None) == (target == "lammps")


def test_memory_is_that_of_the_timed_process(local_file):
    """Not of the one that started it."""
    held = bytearray(1500 * 1024**2)
    timing = time_task(Task("model", local_file, crystal(0), steps=2, warmup=1))
    assert timing.memory < len(held) / 1024**2
