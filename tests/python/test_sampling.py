import json

import ase.io
import numpy as np
import pytest
from ase import units as ase_units

pytest.importorskip("tblite", reason="tblite is not installed (pip install tblite)")

from tblite.interface import Calculator

from transip_md.errors import UsageError
from transip_md.sampling import SamplingRecipe, sample

RECIPE = SamplingRecipe(teacher="gfn2-xtb", temperature=400, seed=5, stride=5, equilibration=10)


def run(repository, output, frames, recipe=RECIPE):
    return list(sample(repository / "examples/ethanol.xyz", output, frames, recipe))


def test_labels_are_the_teachers(repository, tmp_path):
    assert run(repository, tmp_path / "d.extxyz", 3) == [1, 2, 3]
    frames = ase.io.read(tmp_path / "d.extxyz", index=":")
    assert len(frames) == 3
    for frame in frames:
        teacher = Calculator("GFN2-xTB", frame.numbers, frame.positions / ase_units.Bohr)
        teacher.set("verbosity", 0)
        result = teacher.singlepoint()
        # tblite converges the energy to some 1e-6 Hartree.
        assert frame.get_potential_energy() == pytest.approx(result.get("energy") * ase_units.Hartree, abs=1e-4)
        forces = -result.get("gradient") * ase_units.Hartree / ase_units.Bohr
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
    from transip_md.training.data import load_molecules
    from transip_md.training.loop import measure_errors

    recipe = SamplingRecipe(teacher="gfn2-xtb", temperature=300, seed=77)
    run(repository, tmp_path / "fresh.extxyz", 200, recipe)
    errors = measure_errors(ethanol_checkpoint.model, load_molecules([tmp_path / "fresh.extxyz"]))
    print(errors)
    assert errors.force_mae <= 10.0
    assert errors.energy_mae <= 1.0
