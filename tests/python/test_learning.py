"""Active learning: selection, labels, the loop, and that nothing is lost or computed twice when it is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import ase
import ase.io
import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("lightning", reason="Lightning is not installed (pip install 'transip-md[train]')")

from networks import small_checkpoint
from transip_md.cli.main import app
from transip_md.common.errors import UsageError
from transip_md.learning.label import WaitingError, calculator_for, label
from transip_md.learning.loop import _check_project, _tasks
from transip_md.learning.project import read_project
from transip_md.learning.select import fingerprint, most_diverse
from transip_md.model.checkpoint import save_checkpoint

TEACHER = '''
from pathlib import Path

from ase.calculators.lj import LennardJones


class Counted(LennardJones):
    """Notes every evaluation, and fails on structures whose first bond is long."""

    def calculate(self, atoms=None, *rest):
        with (Path(__file__).parent / "calls").open("a") as calls:
            calls.write("x")
        if atoms.get_distance(0, 1) > 1.6:
            raise RuntimeError("no convergence")
        super().calculate(atoms, *rest)


def teacher(atoms):
    return Counted(sigma=1.1, epsilon=0.1)
'''

PROJECT = """
structures: [ethanol.xyz]
start_from: start.ckpt
teacher: counted:teacher
members: 2
seed: 3
exploration: {temperatures: [300.0], time: 0.02, every: 2}
trust: {lower: 1.0e-9, upper: 1.0e6}
first: 10
each: 4
selection: diverse
iterations: 1
training: {steps: 3, batch_size: 4, warmup: 1, optimizer: adamw}
level_of_theory: Lennard-Jones
"""


@pytest.fixture
def folder(ethanol, tmp_path, monkeypatch):
    (tmp_path / "counted.py").write_text(TEACHER)
    ase.io.write(tmp_path / "ethanol.xyz", ethanol)
    checkpoint = small_checkpoint()
    save_checkpoint(tmp_path / "start.ckpt", checkpoint.model, {})
    (tmp_path / "project.yaml").write_text(PROJECT)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("counted", None)


def calls(folder) -> int:
    return (folder / "calls").stat().st_size if (folder / "calls").exists() else 0


def labels(output) -> dict[str, str]:
    return {str(file.relative_to(output)): file.read_text() for file in sorted(output.glob("*/labelled.extxyz"))}


def test_farthest_first(ethanol):
    random = np.random.default_rng(0)
    near = [ethanol.copy() for _ in range(5)]
    for atoms in near:
        atoms.rattle(0.001, rng=random)
    far = ethanol.copy()
    far.rattle(0.3, rng=random)
    assert most_diverse([*near, far], [ethanol], 1) == [5]
    assert most_diverse([ethanol, ethanol.copy()], [], 5) == [0]
    assert most_diverse(near, [], 3) == most_diverse(near, [], 3)
    rotated = far.copy()
    rotated.rotate(50, (1, 2, 3))
    assert np.abs(fingerprint(rotated) - fingerprint(far)).max() < 1e-12
    assert most_diverse([ase.Atoms("H")], [ethanol], 1) == [0]


def test_labels_are_made_once_and_failures_counted(folder, ethanol, tmp_path):
    stretched = ethanol.copy()
    stretched.set_distance(0, 1, 2.0)
    output = tmp_path / "labels"
    frames, failed = label([ethanol, stretched], "counted:teacher", output)
    assert (len(frames), failed, calls(folder)) == (1, 1, 2)
    assert (output / "0001.failed").read_text() == "RuntimeError: no convergence\n"
    again, failed = label([ethanol, stretched], "counted:teacher", output)
    assert (len(again), failed, calls(folder)) == (1, 1, 2)
    wanted = ethanol.copy()
    wanted.calc = calculator_for("counted:teacher", wanted)
    assert np.abs(again[0].get_forces() - wanted.get_forces()).max() < 1e-7
    with pytest.raises(UsageError, match="cannot be imported"):
        label([ethanol], "nothing:teacher", tmp_path / "other")


def test_waiting_for_labels(folder, ethanol, tmp_path):
    output = tmp_path / "labels"
    with pytest.raises(WaitingError, match="1 structures wait for labels"):
        label([ethanol], "wait", output)
    given = ase.io.read(output / "0000.xyz", format="extxyz")
    assert np.abs(given.positions - ethanol.positions).max() < 1e-7
    given.calc = calculator_for("counted:teacher", given)
    forces = given.get_forces()
    ase.io.write(output / "0000.extxyz", given, format="extxyz")
    frames, failed = label([ethanol], "wait", output)
    assert failed == 0 and np.abs(frames[0].get_forces() - forces).max() < 1e-7
    given.positions += 1.0
    ase.io.write(output / "0000.extxyz", given, format="extxyz")
    with pytest.raises(UsageError, match="another structure"):
        label([ethanol], "wait", output)


def test_a_project(lammps_plugin, library, folder):
    output = folder / "run"
    result = CliRunner().invoke(app, ["learn", str(folder / "project.yaml"), "-o", str(output), "--jobs", "2"])
    assert result.exit_code == 0, result.output + str(result.exception)
    first, second = (json.loads((output / f"iteration_0{n}/summary.json").read_text()) for n in (0, 1))
    assert first["labelled"] == 10 and first["frames"] == 10 and len(first["force_mae"]) == 2
    # 40 steps of which every second is judged, the first one too; all lie above the lower level.
    assert second["judged"] == second["flagged"] == 21 and second["labelled"] == 4 and second["frames"] == 14
    assert "not converged after 1 iterations" in result.output
    assert (output / "report.html").stat().st_size > 5000
    assert sorted(file.name for file in (output / "iteration_01").glob("model.*.pt")) == ["model.1.pt", "model.2.pt"]
    before = calls(folder), labels(output)
    # A second call finds everything done; a larger number of iterations goes on from it.
    result = CliRunner().invoke(app, ["learn", str(folder / "project.yaml"), "-o", str(output)])
    assert result.exit_code == 0 and (calls(folder), labels(output)) == before
    (folder / "project.yaml").write_text(PROJECT.replace("1.0e-9", "1.0e-8"))
    result = CliRunner().invoke(app, ["learn", str(folder / "project.yaml"), "-o", str(output)])
    assert isinstance(result.exception, UsageError) and "another project" in str(result.exception)


def test_the_first_model_learns_from_all_labels(folder):
    """And all learn from draws where a project was begun when they did."""
    project, output = read_project(folder / "project.yaml"), folder / "run"
    output.mkdir()
    (output / "iteration_00").mkdir()

    def learned_from() -> list[tuple[bool, int]]:
        tasks = _tasks(project, output, output / "iteration_00", [], 60, _check_project(project, output))
        return [(recipe.data.bootstrap, recipe.data.validation) for recipe, _ in tasks]

    assert learned_from() == learned_from() == [(False, 1), (True, 6)]
    kept = json.loads((output / "project.json").read_text())
    del kept["drawn_from"]
    (output / "project.json").write_text(json.dumps(kept))
    assert learned_from() == [(True, 6), (True, 6)]
    with pytest.raises(UsageError, match="another project"):
        _check_project(project.model_copy(update={"seed": 4}), output)


def test_a_committee_that_agrees_ends_it(lammps_plugin, library, folder):
    text = PROJECT.replace("lower: 1.0e-9", "lower: 1.0e5").replace("selection: diverse", "selection: random")
    (folder / "project.yaml").write_text(text)
    output = folder / "run"
    result = CliRunner().invoke(app, ["learn", str(folder / "project.yaml"), "-o", str(output)])
    assert result.exit_code == 0 and "converged: a share of 0.000" in result.output
    summary = json.loads((output / "iteration_01/summary.json").read_text())
    assert summary["labelled"] == 0 and summary["flagged"] == 0 and summary["force_mae"] == []
    assert "iteration_00/model.1.pt" in result.output.replace("\n", "")
    met = ase.io.read(output / "iteration_00/run_1/met.xyz", index=":")
    picked = ase.io.read(output / "iteration_00/selected.extxyz", index=":")
    fingerprints = [fingerprint(atoms) for atoms in met]
    found = [int(np.argmin([np.abs(fingerprint(atoms) - one).max() for one in fingerprints])) for atoms in picked]
    assert len(set(found)) == 10 and found != most_diverse(met, [], 10)


#: Ends the process, as SIGKILL would, before the file of a number is moved to where it belongs.
KILLED = """
import os, sys
from pathlib import Path
from transip_md.common import whole_files
left, replace, rename = int(sys.argv.pop(1)), Path.replace, Path.rename
def dying(move):
    def moved(self, target):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return move(self, target)
    return moved
Path.replace, Path.rename = dying(replace), dying(rename)
from transip_md.cli.main import run
run()
"""


@pytest.mark.long
@pytest.mark.parametrize("moves", [(5, 13, 0), (2, 6, 9, 4, 12, 7, 0)])
def test_killed_and_resumed_it_ends_with_the_same_labels(lammps_plugin, library, folder, moves):
    whole = folder / "whole"
    result = CliRunner().invoke(app, ["learn", str(folder / "project.yaml"), "-o", str(whole)])
    assert result.exit_code == 0, result.output + str(result.exception)
    evaluations = calls(folder)
    (folder / "calls").unlink()
    environment = os.environ | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
    kills = 0
    for left in moves:
        words = ["learn", str(folder / "project.yaml"), "-o", str(folder / "killed")]
        command = [sys.executable, "-c", KILLED, str(left), *words]
        status = subprocess.run(command, env=environment, capture_output=True, text=True)
        kills += status.returncode == 9
        assert status.returncode in (0, 9), status.stderr
    assert status.returncode == 0 and kills >= len(moves) - 2
    assert labels(folder / "killed") == labels(whole)
    # Of the frame at hand when it was killed, the label is computed anew.
    assert evaluations <= calls(folder) <= evaluations + kills


def test_the_example_is_a_project(repository):
    project = read_project(repository / "examples/learning/paracetamol.yaml")
    assert len(ase.io.read(project.structures[0])) == 20 and project.members == 4


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("structures: [nothing.xyz]", "there is no file"),
        ("trust: {lower: 2.0, upper: 1.0}", "lower must be below upper"),
        ("training: {seed: 3}", "itself decides seed"),
        ("training: {stepz: 3}", "stepz"),
        ("membrs: 3", "membrs"),
    ],
)
def test_projects_that_are_refused(folder, line, said):
    key = line.split(":")[0]
    kept = [text for text in PROJECT.splitlines() if not text.startswith(f"{key}:")]
    (folder / "project.yaml").write_text("\n".join([*kept, line]))
    with pytest.raises(UsageError, match=said):
        read_project(folder / "project.yaml")
