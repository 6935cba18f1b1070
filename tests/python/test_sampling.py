import json
import multiprocessing
import os
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from ase import units as ase_units
from ase.build import bulk
from ase.constraints import FixAtoms

pytest.importorskip("tblite", reason="tblite is not installed (pip install tblite)")

from tblite.interface import Calculator

from transip_md.cli import sampling_commands
from transip_md.common.errors import CheckFailedError, UsageError
from transip_md.sampling import SamplingError, SamplingRecipe, find_structures, plan, sample, sample_all

RECIPE = SamplingRecipe(teacher="gfn2-xtb", temperature=400, seed=5, stride=5, equilibration=10)
COMMAND = Path(sysconfig.get_path("scripts")) / "transip-md"


def run(repository, output, frames, recipe=RECIPE):
    return list(sample(repository / "examples/ethanol.xyz", output, frames, recipe))


def teacher_of(frame, method, accuracy=1.0, charge=0, unpaired=0):
    """tblite itself, without what is tested here."""
    cell = {"lattice": frame.cell[:] / ase_units.Bohr, "periodic": frame.pbc} if frame.pbc.any() else {}
    teacher = Calculator(method, frame.numbers, frame.positions / ase_units.Bohr, charge, unpaired, **cell)
    teacher.set("verbosity", 0)
    teacher.set("accuracy", accuracy)
    result = teacher.singlepoint()
    return result.get("energy") * ase_units.Hartree, -result.get("gradient") * ase_units.Hartree / ase_units.Bohr


@pytest.fixture
def molecules(tmp_path):
    """A folder of two molecules that take no time, and a file that is none."""
    folder = tmp_path / "molecules"
    folder.mkdir()
    (folder / "water.XYZ").write_text("3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n")
    (folder / "hydrogen.xyz").write_text("2\n\nH 0 0 0\nH 0 0 0.74\n")
    (folder / "notes.txt").write_text("not a structure\n")
    return folder


def tasks_of(molecules, output, temperatures=(300, 500)):
    output.mkdir()
    recipes = [RECIPE.model_copy(update={"temperature": temperature}) for temperature in temperatures]
    return plan(find_structures([molecules]), output, recipes)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_labels_are_the_teachers(repository, tmp_path):
    assert run(repository, tmp_path / "d.extxyz", 3) == [1, 2, 3]
    frames = ase.io.read(tmp_path / "d.extxyz", index=":")
    assert len(frames) == 3
    for frame in frames:
        energy, forces = teacher_of(frame, "GFN2-xTB")
        # tblite converges the energy to some 1e-6 Hartree.
        assert frame.get_potential_energy() == pytest.approx(energy, abs=1e-4)
        assert np.abs(frame.get_forces() - forces).max() < 1e-3
    recipe = json.loads((tmp_path / "d.extxyz.recipe.json").read_text())
    assert recipe["temperature"] == 400 and len(recipe["structure_sha256"]) == 64


def test_resumes_where_it_was_killed(repository, tmp_path):
    run(repository, tmp_path / "whole.extxyz", 4)
    broken = tmp_path / "broken.extxyz"
    run(repository, broken, 3)
    broken.write_bytes(broken.read_bytes()[:-100])
    assert run(repository, broken, 4) == [3, 4]
    assert broken.read_bytes() == (tmp_path / "whole.extxyz").read_bytes()
    assert run(repository, broken, 4) == []


def test_refuses_to_mix_recipes(repository, tmp_path):
    run(repository, tmp_path / "d.extxyz", 1)
    with pytest.raises(UsageError, match="not sampled with this recipe"):
        run(repository, tmp_path / "d.extxyz", 2, RECIPE.model_copy(update={"seed": 6}))
    with pytest.raises(UsageError, match="No teacher is called 'dft'"):
        run(repository, tmp_path / "e.extxyz", 1, RECIPE.model_copy(update={"teacher": "dft"}))
    with pytest.raises(UsageError, match="No such structure file"):
        list(sample(tmp_path / "none.xyz", tmp_path / "f.extxyz", 1, RECIPE))


def test_temperature_of_the_sample(repository, tmp_path):
    recipe = RECIPE.model_copy(update={"stride": 10, "equilibration": 300})
    run(repository, tmp_path / "d.extxyz", 60, recipe)
    kinetic = np.mean([frame.get_kinetic_energy() for frame in ase.io.read(tmp_path / "d.extxyz", index=":")])
    # 27 degrees of freedom; 60 correlated frames know the mean to some ten per cent.
    assert 2 * kinetic / (27 * ase_units.kB) == pytest.approx(400, rel=0.3)


def test_shipped_ethanol_on_fresh_frames(repository, tmp_path, ethanol_checkpoint):
    """Held-out force MAE at 300 K, on frames that nobody has seen: made here, with a seed of its own."""
    from transip_md.data.frames import open_frames
    from transip_md.training.evaluation import measure_errors

    recipe = SamplingRecipe(teacher="gfn2-xtb", temperature=300, seed=77)
    run(repository, tmp_path / "fresh.extxyz", 80, recipe)
    errors = measure_errors(ethanol_checkpoint.model, open_frames([tmp_path / "fresh.extxyz"]))
    print(errors)
    assert errors.force_mae <= 10.0
    assert errors.energy_mae <= 1.0


@pytest.mark.parametrize(("name", "allowed"), [("ethanol", 12.0), ("formamide", 15.5), ("methanol", 7.0)])
def test_shipped_organic_on_fresh_frames(repository, tmp_path, name, allowed):
    """A third above the errors on the held-out frames of its card."""
    import transip_md
    from transip_md.data.frames import open_frames
    from transip_md.training.evaluation import measure_errors

    recipe = SamplingRecipe(teacher="gfn2-xtb", temperature=300, seed=77)
    structure = repository / "recipes/organic/structures" / f"{name}.xyz"
    list(sample(structure, tmp_path / "fresh.extxyz", 40, recipe))
    errors = measure_errors(transip_md.pretrained("organic").model, open_frames([tmp_path / "fresh.extxyz"]))
    print(errors)
    assert errors.rotation.force_mae <= 5.0
    assert errors.force_mae <= allowed


def test_folder_at_two_temperatures_is_four_single_runs(molecules, tmp_path):
    several, single = tmp_path / "new" / "several", tmp_path / "single"
    single.mkdir()
    sampling_commands.sample(several, 2, [molecules], temperature=[300.0, 450.5], seed=3, stride=2)
    for structure in (molecules / "hydrogen.xyz", molecules / "water.XYZ"):
        for temperature in (300.0, 450.5):
            output = single / f"{structure.stem}_{temperature:g}K.extxyz"
            sampling_commands.sample(output, 2, [structure], temperature=[temperature], seed=3, stride=2)
    assert len(contents(several)) == 8
    assert contents(several) == contents(single)


def test_several_resume_where_they_were_killed(molecules, tmp_path):
    whole, broken = tasks_of(molecules, tmp_path / "whole"), tasks_of(molecules, tmp_path / "broken")
    list(sample_all(whole, 3))
    list(sample_all(broken, 3))
    cut, lost, *kept = (task.output for task in broken)
    cut.write_bytes(cut.read_bytes()[:-50])
    lost.unlink()
    steps = [(step.task.output, step.frames) for step in sample_all(broken, 3)]
    assert steps == [(cut, 3), (cut, 3), *((lost, n) for n in (1, 2, 3, 3)), *((path, 3) for path in kept)]
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def test_jobs_change_nothing(molecules, tmp_path):
    list(sample_all(tasks_of(molecules, tmp_path / "one"), 3))
    progress = list(sample_all(tasks_of(molecules, tmp_path / "two"), 3, jobs=2))
    assert not [step.failure for step in progress if step.failure]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_a_killed_worker_costs_one_file(molecules, tmp_path):
    tasks = tasks_of(molecules, tmp_path / "out")
    progress = sample_all(tasks, 20, jobs=2)
    first = next(progress)
    # The first process that is started carries out the first task.
    min(multiprocessing.active_children(), key=lambda process: process.pid).kill()
    steps = [first, *progress]
    assert [(step.task, step.failure) for step in steps if step.failure] == [
        (tasks[0], "its process ended with exit code -9")
    ]
    assert {step.task for step in steps if step.frames == 20} == set(tasks[1:])


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_interrupting_ends_every_process(molecules, tmp_path):
    files = [tmp_path / "out" / f"{name}_300K.extxyz" for name in ("hydrogen", "water")]

    def sizes():
        return [path.stat().st_size if path.exists() else 0 for path in files]

    command = [COMMAND, "sample", molecules, "-o", tmp_path / "out", "--frames", "100000", "--jobs", "2"]
    # A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C.
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        wait_until(lambda: all(sizes()))
        # To the workers alone it means nothing.
        for worker in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(worker), signal.SIGINT)
        before = sizes()
        wait_until(lambda: all(now > then for now, then in zip(sizes(), before, strict=True)))
        os.killpg(process.pid, signal.SIGINT)
        # Returns when the last process that could still print has gone.
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "Traceback" not in errors
        before = sizes()
        time.sleep(0.5)
        assert sizes() == before
    finally:
        process.kill()


def test_one_failure_does_not_lose_the_others(molecules, tmp_path):
    (molecules / "garbage.xyz").write_text("two\n\nN 0 0\n")
    (molecules / "uranium.xyz").write_text("1\n\nU 0 0 0\n")
    with pytest.raises(CheckFailedError, match="2 of 4 files could not be sampled") as caught:
        sampling_commands.sample(tmp_path / "out", 1, [molecules])
    assert caught.value.exit_code == 1
    assert "garbage_300K.extxyz: " in str(caught.value) and "could not be read" in str(caught.value)
    assert "gfn2-xtb fails on" in str(caught.value) and "No support for elements with Z >86" in str(caught.value)
    for name in ("hydrogen", "water"):
        assert len(ase.io.read(tmp_path / "out" / f"{name}_300K.extxyz", index=":")) == 1
    assert not (tmp_path / "out" / "uranium_300K.extxyz").exists()


def test_unconverged_teacher_is_one_error(tmp_path):
    ase.io.write(tmp_path / "lif.extxyz", bulk("LiF", "rocksalt", a=4.0))
    recipe = RECIPE.model_copy(update={"teacher": "gfn1-xtb"})
    with pytest.raises(SamplingError, match=r"gfn1-xtb fails on .* after frame 0: SCF not converged") as caught:
        list(sample(tmp_path / "lif.extxyz", tmp_path / "d.extxyz", 1, recipe))
    assert caught.value.exit_code == 1


def test_refuses_what_would_overwrite_or_be_ambiguous(molecules, tmp_path):
    out = tmp_path / "out"
    hydrogen = molecules / "hydrogen.xyz"
    cases = [
        ((out, 1, [molecules, hydrogen]), {}, "would both be sampled into"),
        ((out, 1, [hydrogen]), {"temperature": [300.0, 300.00001]}, "would both be sampled into"),
        ((out, 1, []), {}, "nothing to sample"),
        ((out, 1, [molecules / "no.xyz"]), {}, "No such structure file or folder"),
        ((out, 1, [tmp_path]), {}, "holds no structure file"),
        ((tmp_path / "d.extxyz", 1, [molecules]), {}, "2 structures at 1 temperatures: type `-o "),
        ((tmp_path / "d.extxyz", 1, [hydrogen]), {"temperature": [1.0, 2.0]}, "1 structures at 2 temperatures"),
        ((molecules, 1, [molecules]), {}, "taken for more structures"),
        ((molecules / "notes.txt", 1, [hydrogen]), {}, "a file has that name"),
        ((out, 1, [hydrogen]), {"temperature": [300.0, -1.0]}, "temperature: "),
    ]
    for arguments, options, words in cases:
        with pytest.raises(UsageError) as caught:
            sampling_commands.sample(*arguments, **options)
        assert words in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["molecules"]
    assert len(contents(molecules)) == 3


def test_charge_and_multiplicity_of_the_structure(tmp_path):
    """A radical cation says so itself; the command line goes first."""
    structure, output = tmp_path / "water.xyz", tmp_path / "d.extxyz"
    water = '3\nProperties=species:S:1:pos:R:3 {} pbc="F F F"\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n'
    for state in ("charge=1 multiplicity=2", "charge=1 spin=2"):
        structure.write_text(water.format(state))
        list(sample(structure, output, 1, RECIPE))
        frame = ase.io.read(output)
        assert (frame.info["charge"], frame.info["multiplicity"]) == (1, 2)
        energy, forces = teacher_of(frame, "GFN2-xTB", charge=1, unpaired=1)
        assert frame.get_potential_energy() == pytest.approx(energy, abs=1e-4)
        assert np.abs(frame.get_forces() - forces).max() < 1e-3
        recipe = json.loads((tmp_path / "d.extxyz.recipe.json").read_text())
        assert (recipe["charge"], recipe["multiplicity"]) == (1, 2)
        output.unlink()
    list(sample(structure, output, 1, RECIPE.model_copy(update={"charge": 0, "multiplicity": 1})))
    assert set(ase.io.read(output).info) == {"teacher", "temperature_K"}
    for state, words in [
        ("charge=1", "9 electrons at charge 1, which cannot have multiplicity 1. Expected an even number"),
        ("spin=0", "spin 0, expected an integer of at least 1"),
        ("charge=0.5", "charge 0.5, expected an integer"),
        ("charge=plus", "charge plus, expected an integer"),
    ]:
        structure.write_text(water.format(state))
        with pytest.raises(UsageError, match=words):
            list(sample(structure, tmp_path / "e.extxyz", 1, RECIPE))


def test_nothing_of_the_input_is_left_in_the_frames(molecules, tmp_path):
    """Columns, infos and constraints of the file: the frames are those of the bare structure, masses apart."""
    atoms = ase.io.read(molecules / "water.XYZ")
    atoms.info["source"] = "elsewhere"
    atoms.set_tags([1, 2, 3])
    atoms.set_initial_charges([0.5, -0.25, -0.25])
    atoms.set_constraint(FixAtoms([0]))
    ase.io.write(tmp_path / "full.extxyz", atoms)
    for name, structure in {"bare": molecules / "water.XYZ", "full": tmp_path / "full.extxyz"}.items():
        list(sample(structure, tmp_path / f"{name}_d.extxyz", 2, RECIPE))
    assert (tmp_path / "full_d.extxyz").read_bytes() == (tmp_path / "bare_d.extxyz").read_bytes()
    heavy = ase.Atoms(atoms.numbers, atoms.positions, masses=[16, 2.0141017778, 2.0141017778])
    ase.io.write(tmp_path / "heavy.extxyz", heavy)
    list(sample(tmp_path / "heavy.extxyz", tmp_path / "heavy_d.extxyz", 2, RECIPE))
    (frame, _) = ase.io.read(tmp_path / "heavy_d.extxyz", index=":")
    assert frame.get_masses() == pytest.approx([16, 2.01410178, 2.01410178], abs=1e-8)


@pytest.mark.parametrize(
    ("teacher", "method", "crystal"),
    [
        ("gfn1-xtb", "GFN1-xTB", bulk("C", "diamond", a=3.57)),
        ("gfn2-xtb", "GFN2-xTB", ase.Atoms("H2", [[0.1, 0.2, 0.3], [0.1, 0.5, 0.98]], cell=[3.5, 3.6, 3.7], pbc=True)),
    ],
)
def test_periodic_labels_are_the_teachers(tmp_path, teacher, method, crystal):
    # One atom outside of the cell: it shall stay there.
    crystal.positions[0] += crystal.cell[2]
    structure = tmp_path / "crystal.extxyz"
    ase.io.write(structure, crystal)
    recipe = RECIPE.model_copy(update={"teacher": teacher, "stride": 2, "equilibration": 2})
    list(sample(structure, tmp_path / "d.extxyz", 3, recipe))
    frames = ase.io.read(tmp_path / "d.extxyz", index=":")
    for frame in frames:
        assert frame.pbc.all() and np.array_equal(frame.cell, crystal.cell)
        assert np.abs(frame.positions - crystal.positions).max() < 0.5
        energy, forces = teacher_of(frame, method)
        assert frame.get_potential_energy() == pytest.approx(energy, abs=1e-4)
        assert np.abs(frame.get_forces() - forces).max() < 1e-3
    step = 1e-3
    energies = []
    for sign in (1, -1):
        moved = frames[-1].copy()
        moved.positions[1, 2] += sign * step
        energies.append(teacher_of(moved, method, accuracy=0.01)[0])
    force = (energies[1] - energies[0]) / (2 * step)
    assert abs(force) > 0.05
    assert frames[-1].get_forces()[1, 2] == pytest.approx(force, abs=2e-3)


def test_periodic_resumes_where_it_was_killed(tmp_path):
    structure = tmp_path / "diamond.extxyz"
    crystal = bulk("C", "diamond", a=3.57)
    crystal.positions[0] += crystal.cell[2]
    ase.io.write(structure, crystal)
    recipe = RECIPE.model_copy(update={"teacher": "gfn1-xtb", "stride": 2, "equilibration": 2})
    whole, broken = tmp_path / "whole.extxyz", tmp_path / "broken.extxyz"
    list(sample(structure, whole, 4, recipe))
    list(sample(structure, broken, 2, recipe))
    broken.write_bytes(broken.read_bytes()[:-100])
    assert list(sample(structure, broken, 4, recipe)) == [2, 3, 4]
    assert broken.read_bytes() == whole.read_bytes()


def test_refuses_what_is_periodic_in_part(tmp_path):
    slab = bulk("C", "diamond", a=3.57)
    slab.pbc = [True, True, False]
    ase.io.write(tmp_path / "slab.extxyz", slab)
    (tmp_path / "no_cell.extxyz").write_text('1\nProperties=species:S:1:pos:R:3 pbc="T T T"\nHe 0 0 0\n')
    for name, words in [("slab", "3 cell vectors and is periodic in 2"), ("no_cell", "0 cell vectors")]:
        with pytest.raises(UsageError, match=words):
            list(sample(tmp_path / f"{name}.extxyz", tmp_path / "d.extxyz", 1, RECIPE))
    assert not (tmp_path / "d.extxyz").exists()
