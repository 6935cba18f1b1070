"""`transip-md label`: a teacher's labels, differences from them, and models added to them; resumed and refused."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from itertools import islice

import ase.io
import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms

from transip_md import load_model
from transip_md.common.errors import UsageError
from transip_md.learning.frame_labels import Labelling, label_frames
from transip_md.learning.label import labels_by

TEACHER = '''
from ase.calculators.lj import LennardJones


class Failing(LennardJones):
    """Fails on structures whose first bond is long."""

    def calculate(self, atoms=None, *rest):
        if atoms.get_distance(0, 1) > 1.6:
            raise RuntimeError("no convergence")
        super().calculate(atoms, *rest)


def teacher(atoms):
    return Failing(sigma=1.1, epsilon=0.1)
'''
NAME = "failing:teacher"


@pytest.fixture
def frames(ethanol, tmp_path, monkeypatch):
    """Four distorted ethanols with labels of another calculator; the teacher `NAME` fails on the third."""
    (tmp_path / "failing.py").write_text(TEACHER)
    monkeypatch.syspath_prepend(tmp_path)
    random = np.random.default_rng(0)
    found = []
    for number in range(4):
        atoms = ethanol.copy()
        atoms.positions += random.normal(scale=0.05, size=(9, 3))
        if number == 2:
            atoms.set_distance(0, 1, 2.0)
        # As a file holds them.
        atoms.positions = np.round(atoms.positions, 8)
        atoms.calc = LennardJones(sigma=1.0, epsilon=0.2)
        atoms.get_forces()
        found.append(atoms)
    ase.io.write(tmp_path / "frames.extxyz", found, format="extxyz")
    yield found
    sys.modules.pop("failing", None)


def run(tmp_path, output, labelling):
    with closing(label_frames([tmp_path / "frames.extxyz"], tmp_path / output, labelling)) as steps:
        done = list(steps)
    return done, ase.io.read(tmp_path / output, index=":", format="extxyz")


def of_teacher(atoms):
    copy = atoms.copy()
    copy.calc = LennardJones(sigma=1.1, epsilon=0.1)
    return copy.get_potential_energy(), copy.get_forces()


def test_a_teacher_and_what_it_fails_on(frames, tmp_path):
    done, labelled = run(tmp_path, "out.extxyz", Labelling(NAME))
    assert done == [(n, 4) for n in range(5)]
    assert [frame.info["structure"] for frame in labelled] == [0, 1, 3]
    for frame in labelled:
        energy, forces = of_teacher(frames[frame.info["structure"]])
        assert frame.info["labels"] == NAME
        assert abs(frame.get_potential_energy() - energy) < 1e-7
        assert np.abs(frame.get_forces() - forces).max() < 1e-7
    assert (tmp_path / "out.extxyz.dropped").read_text() == "2\tfailed\tRuntimeError: no convergence\n"


def test_constraints_do_not_zero_labels(frames):
    wanted = of_teacher(frames[0])[1]
    frames[0].set_constraint(FixAtoms(range(9)))
    assert np.abs(labels_by(NAME, frames[0])[1] - wanted).max() < 1e-12
    assert len(frames[0].constraints) == 1


def test_own_labels_minus_a_teacher(frames, tmp_path):
    _, labelled = run(tmp_path, "out.extxyz", Labelling(NAME, subtract=True))
    for frame in labelled:
        mine = frames[frame.info["structure"]]
        energy, forces = of_teacher(mine)
        assert frame.info["labels"] == f"own - {NAME}"
        assert abs(frame.get_potential_energy() - (mine.get_potential_energy() - energy)) < 1e-7
        assert np.abs(frame.get_forces() - (mine.get_forces() - forces)).max() < 1e-7


def test_models_are_added_in_the_mean(library, frames, ethanol_files, tmp_path):
    # Float32 is another model here: its numbers differ.
    models = tuple(ethanol_files.values())
    _, labelled = run(tmp_path, "out.extxyz", Labelling(models=models))
    assert len(labelled) == 4
    for mine, frame in zip(frames, labelled, strict=True):
        found = [load_model(path, device="cpu").evaluate(mine.numbers, mine.positions) for path in models]
        energy = mine.get_potential_energy() + np.mean([one.energies.sum() for one in found])
        forces = mine.get_forces() + np.mean([one.forces for one in found], axis=0)
        assert abs(frame.get_potential_energy() - energy) < 1e-7
        assert np.abs(frame.get_forces() - forces).max() < 1e-7


def test_with_a_teacher_its_labels_are_what_models_are_added_to(library, frames, ethanol_file, tmp_path):
    _, labelled = run(tmp_path, "out.extxyz", Labelling(NAME, models=(ethanol_file,)))
    found = load_model(ethanol_file, device="cpu").evaluate(frames[0].numbers, frames[0].positions)
    wanted = of_teacher(frames[0])[0] + found.energies.sum()
    assert abs(labelled[0].get_potential_energy() - wanted) < 1e-7


@pytest.mark.parametrize("stopped", [1, 3, 4])
def test_resumes_with_the_same_bytes(frames, tmp_path, stopped):
    run(tmp_path, "whole.extxyz", Labelling(NAME))
    output = tmp_path / "out.extxyz"
    with closing(label_frames([tmp_path / "frames.extxyz"], output, Labelling(NAME))) as steps:
        list(islice(steps, stopped + 1))
    with output.open("a") as file:
        file.write("9\nProperties=species:S:1:pos")
    done, _ = run(tmp_path, "out.extxyz", Labelling(NAME))
    assert done[0] == (stopped, 4)
    assert output.read_bytes() == (tmp_path / "whole.extxyz").read_bytes()
    assert (tmp_path / "out.extxyz.dropped").read_text().count("\n") == 1


def test_state_and_box_are_kept(frames, tmp_path):
    atoms = frames[0].copy()
    atoms.info = {"charge": -1, "multiplicity": 2}
    atoms.cell, atoms.pbc = np.diag([9.0, 10.0, 11.0]), True
    ase.io.write(tmp_path / "frames.extxyz", atoms, format="extxyz")
    _, (frame,) = run(tmp_path, "out.extxyz", Labelling(NAME))
    assert (frame.info["charge"], frame.info["multiplicity"]) == (-1, 2)
    assert frame.pbc.all() and np.array_equal(frame.cell, atoms.cell)


def test_what_cannot_be_done_is_refused(frames, ethanol_file, tmp_path):
    with pytest.raises(UsageError, match="Expected --teacher"):
        Labelling()
    with pytest.raises(UsageError, match="Name one with --teacher"):
        Labelling(subtract=True, models=(ethanol_file,))
    run(tmp_path, "out.extxyz", Labelling(NAME))
    with pytest.raises(UsageError, match="does not hold these structures with labels"):
        run(tmp_path, "out.extxyz", Labelling(NAME, subtract=True))
    bare = [atoms.copy() for atoms in frames]
    bare[0].positions += 0.1
    ase.io.write(tmp_path / "frames.extxyz", bare[:1] * 4, format="extxyz")
    with pytest.raises(UsageError, match="does not hold these structures"):
        run(tmp_path, "out.extxyz", Labelling(NAME))
    with pytest.raises(UsageError, match="frame 0 has no labels"):
        run(tmp_path, "other.extxyz", Labelling(NAME, subtract=True))


def test_from_the_command_line(frames, tmp_path, transip_md):
    source, output, summary = tmp_path / "frames.extxyz", tmp_path / "out.extxyz", tmp_path / "summary.json"
    ended = transip_md("label", source, "-o", output, "--teacher", NAME, "--subtract", "--json", summary)
    assert ended.returncode == 0, ended.stderr
    assert "3 frames" in ended.stdout.replace("\n", " ") and "failed on 1" in ended.stdout.replace("\n", " ")
    assert json.loads(summary.read_text())["numbers"] == {"frames": 3, "failed": 1}
    ase.io.write(source, frames[2], format="extxyz")
    ended = transip_md("label", source, "-o", tmp_path / "none.extxyz", "--teacher", NAME)
    assert ended.returncode == 1 and "failed on all 1 structures" in ended.stderr.replace("\n", " ")
    assert transip_md("label", source, "-o", tmp_path / "none.extxyz").returncode == 2
