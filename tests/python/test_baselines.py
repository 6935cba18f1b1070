"""Baselines of `transip-md bench`: who is asked, who is left out and why; how their scripts are run and understood."""

import importlib.util
import json
import os
import time

import ase
import numpy as np
import pytest
from typer.testing import CliRunner

import baselines
from baselines import environments, timing
from baselines.catalogue import BASELINES, InstalledBaseline
from networks import crystal
from transip_md.bench.baselines import registered
from transip_md.bench.run import layouts_of, measure, require_a_use
from transip_md.bench.timers import KEEP_MEMORY, Task, Timing, time_task
from transip_md.common.errors import EnvironmentFaultError, TransIPError, UsageError

WATER = ase.Atoms("OH2", [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]], cell=[8.0] * 3, pbc=True)


@pytest.fixture(autouse=True)
def catalogue():
    baselines.register()
    yield
    registered.clear()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSIP_MD_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def steps():
    """The module that all runners share; they import it from their folder."""
    spec = importlib.util.spec_from_file_location("steps", environments.RUNNERS / "steps.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_baseline_has_a_runner_and_pins():
    for name, baseline in BASELINES.items():
        assert (environments.RUNNERS / f"run_{name}.py").is_file()
        assert all("==" in requirement for requirement in baseline.requirements)
        assert baseline.why_not(WATER) is None
    prepared = {script.stem.removeprefix("prepare_") for script in environments.RUNNERS.glob("prepare_*.py")}
    assert prepared == {name for name, baseline in BASELINES.items() if environments.preparation_of(baseline)}


def test_choice():
    layouts = layouts_of([], [1], ["mace", "gfn2-xtb", "mace"])
    assert [layout.name for layout in layouts] == ["model", "mace", "gfn2-xtb"]
    with pytest.raises(UsageError, match=r"No baseline is called 'macs'. Choose of gfn2-xtb, mace, deepmd, nequip"):
        layouts_of([], [1], ["macs"])


def test_without_a_registration_there_is_gfn2_xtb():
    registered.clear()
    assert layouts_of([], [1], ["gfn2-xtb"])[-1].target == "gfn2-xtb"
    with pytest.raises(UsageError, match=r"Choose of gfn2-xtb; mace, .* by benchmarks/versus.py"):
        layouts_of([], [1], ["mace"])


def test_structures_that_a_baseline_cannot_do(ethanol):
    assert "it knows O, H, the structure has C" in BASELINES["deepmd"].why_not(ethanol)
    molecule = ase.Atoms(WATER.numbers, WATER.positions)
    assert "periodic in all directions" in BASELINES["deepmd"].why_not(molecule)
    assert BASELINES["ani"].why_not(molecule) is None
    assert "the structure has Na" in BASELINES["ani"].why_not(ase.Atoms("NaCl", [[0, 0, 0], [2, 0, 0]]))
    layouts = layouts_of([], [1], ["deepmd", "mace"])
    require_a_use(layouts, {"ethanol": ethanol, "water": WATER})
    with pytest.raises(UsageError, match=r"deepmd can be run on none of the structures. ethanol: it knows O, H"):
        require_a_use(layouts, {"ethanol": ethanol})


def test_the_rest_goes_on(local_file):
    """A baseline that cannot do a structure, and one that fails in its second round."""
    asked = []

    def timer(task: Task) -> Timing:
        asked.append(task)
        if task.target == "esen" and sum(before.target == "esen" for before in asked) == 2:
            raise TransIPError("It took longer than 900 s.")
        return Timing(0.2 if task.target == "mace" else 0.001, 100.0, steps=7 if task.target == "mace" else None)

    layouts = layouts_of([], [1], ["deepmd", "esen", "mace"])
    results = measure(local_file, {"cell": crystal(0)}, layouts, seconds=1.5, rounds=3, timer=timer)
    lines = {line.layout: line for line in results.lines}
    assert list(lines) == ["model", "mace"]
    assert lines["mace"].ms == 200 and lines["mace"].steps == 7 and lines["model"].steps == 1500
    assert [(gap.baseline, gap.structure, gap.failed) for gap in results.gaps] == [
        ("deepmd", "cell", False),
        ("esen", "cell", True),
    ]
    assert sum(task.target == "esen" for task in asked) == 2 and not any(task.target == "deepmd" for task in asked)
    assert all(task.keep_memory and task.seconds == 1.5 for task in asked)
    assert results.baselines["mace"]["weights"].startswith("random") and results.keep_memory == KEEP_MEMORY


def test_an_engine_of_our_own_does_not_fail_quietly(local_file):
    def timer(task: Task) -> Timing:
        if task.target == "ase":
            raise TransIPError("broken")
        assert not task.keep_memory
        return Timing(0.001, 100.0)

    with pytest.raises(TransIPError, match="broken"):
        measure(local_file, {"cell": crystal(0)}, layouts_of(["ase"], [1]), timer=timer)


def test_one_setting_of_the_allocator_on_all_sides(local_file, monkeypatch):
    seen = {}

    def run_baseline(baseline, atoms, velocities, spec):
        seen.update(os.environ, spec=spec)
        return {"step": 0.5, "memory": 200.0, "steps": 5}

    monkeypatch.setattr(timing, "run_baseline", run_baseline)
    monkeypatch.delenv("MALLOC_MMAP_MAX_", raising=False)
    task = Task("mace", local_file, WATER, steps=20, warmup=3, threads=2, seconds=1.0, keep_memory=True)
    assert time_task(task) == Timing(0.5, 200.0, steps=5)
    assert seen["MALLOC_MMAP_MAX_"] == "0" and seen["OMP_NUM_THREADS"] == "2"
    assert seen["spec"] == {"steps": 20, "warmup": 3, "seconds": 1.0, "timestep": 0.5, "threads": 2}
    assert "MALLOC_MMAP_MAX_" not in os.environ


def test_answers():
    noise = 'warning\n{"step": 1}\nTIMING {"step": 0.25, "steps": 5, "memory": 100.0}\nbye\n'
    assert timing.answer_of(0, noise) == {"step": 0.25, "steps": 5, "memory": 100.0}
    with pytest.raises(TransIPError, match=r"stopped with exit 1:\n(.*\n)*RuntimeError: no"):
        timing.answer_of(1, noise + "Traceback\nRuntimeError: no\n")
    with pytest.raises(TransIPError, match="ended by SIGKILL, perhaps for want of memory"):
        timing.answer_of(-9, noise)
    with pytest.raises(TransIPError, match="gave no answer"):
        timing.answer_of(0, "hello\n")


def test_a_baseline_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "TIME_LIMIT", 0.5)
    start = time.monotonic()
    with pytest.raises(TransIPError, match="longer than"):
        # The shell's child would keep the pipe open if it were left.
        timing._supervise(["sh", "-c", "sleep 60; true"], tmp_path, dict(os.environ))
    assert time.monotonic() - start < 20


@pytest.mark.long
def test_environments(cache, monkeypatch):
    """Made once; an installation that fails leaves none, and says why."""
    said = []
    # pip is there already: nothing is fetched.
    baseline = InstalledBaseline("nobody", "nothing", "float32", "none", ("pip",), 20)
    with pytest.raises(EnvironmentFaultError, match="nobody is not installed"):
        timing.run_baseline(baseline, WATER, np.zeros((3, 3)), {"threads": 1})
    environments.make_ready(baseline, said.append)
    assert environments.is_ready(baseline) and environments.python_of(baseline).is_file()
    assert "about 20 MB" in said[0] and str(cache / "baselines" / "nobody") in said[-1]
    environments.make_ready(baseline, said.append)
    assert len(said) == 2
    other = InstalledBaseline(
        "nobody", "nothing", "float32", "none", (str(cache / "no_such-1.0-py3-none-any.whl"),), 20
    )
    assert not environments.is_ready(other)
    with pytest.raises(EnvironmentFaultError, match=r"Exit 1 of .*\nERROR: (.*\n)*All of it: .*nobody.log"):
        environments.make_ready(other, said.append)
    assert not environments.is_ready(other) and not environments.is_ready(baseline)


def test_variables_of_this_environment_stay_here(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("KEPT", "yes")
    variables = environments.clean_environment({"OMP_NUM_THREADS": "3"})
    assert "PYTHONPATH" not in variables and variables["KEPT"] == "yes" and variables["OMP_NUM_THREADS"] == "3"


def test_command_goes_on_without_a_baseline_and_says_so(ethanol_file, repository, tmp_path, monkeypatch):
    from transip_md.cli.main import app

    def make_ready(baseline, say):
        raise EnvironmentFaultError("no network")

    monkeypatch.setattr(environments, "make_ready", make_ready)
    out = tmp_path / "r.json"
    structure = str(repository / "examples/ethanol.xyz")
    options = ["--engine", "model", "--seconds", "0.01", "--rounds", "1", "--json", str(out)]
    result = CliRunner().invoke(app, ["bench", str(ethanol_file), structure, *options, "--vs", "mace"])
    assert "Not measured: mace: no network" in result.output and "ns/day" in result.output
    assert isinstance(result.exception, EnvironmentFaultError) and result.exception.exit_code == 3
    gaps = json.loads(out.read_text())["gaps"]
    assert gaps == [{"baseline": "mace", "structure": None, "reason": "no network", "failed": True}]
    result = CliRunner().invoke(app, ["bench", str(ethanol_file), structure, *options, "--vs", "deepmd"])
    assert isinstance(result.exception, UsageError)


def test_as_many_steps_as_there_is_time_for(steps):
    task = {"steps": 100, "warmup": 20, "seconds": 1.0}
    assert [steps.number_of_steps(task, step) for step in (1e-4, 0.05, 10.0)] == [100, 20, 5]
    calls = []
    _, number = steps.time_steps({**task, "seconds": 0.0}, calls.append)
    assert number == 5 and calls == [1] * 3 + [1, 5]
    calls.clear()
    assert steps.time_steps(task, calls.append)[1] == 100 and calls == [1] * 20 + [1, 100]


def test_springs_hold_what_random_forces_would_tear(steps):
    """Forces of any size: the atoms vibrate about their places, and every step asks for the forces at new ones."""
    from ase.calculators.calculator import Calculator
    from ase.md.verlet import VelocityVerlet

    class Wild(Calculator):
        implemented_properties = ("energy", "forces")
        seen = ()

        def calculate(self, atoms=None, properties=None, system_changes=None):
            super().calculate(atoms, properties, system_changes)
            self.seen = (*self.seen, atoms.positions.copy())
            self.results = {"energy": 0.0, "forces": np.full((len(atoms), 3), 1e3)}

    atoms = WATER.copy()
    atoms.set_velocities(np.random.default_rng(0).normal(scale=0.15, size=(3, 3)))
    atoms.calc = Wild()
    atoms.set_constraint(steps.Springs(atoms.positions))
    VelocityVerlet(atoms, 0.5 * ase.units.fs).run(400)
    seen = np.array(atoms.calc.seen)
    assert len(seen) == 401
    moved = np.abs(np.diff(seen, axis=0)).max(axis=(1, 2))
    assert moved.min() > 0
    assert 0.01 < np.abs(seen - WATER.positions).max() < 1.5


@pytest.mark.long
def test_mace_in_its_environment(local_file, ethanol):
    """Installs more than a gigabyte, unless it is there."""
    environments.make_ready(BASELINES["mace"], print)
    found = time_task(Task("mace", local_file, ethanol, steps=10, warmup=3, seconds=2.0, keep_memory=True))
    assert 1e-3 < found.step < 5 and 5 <= found.steps <= 10 and 100 < found.memory < 5000
