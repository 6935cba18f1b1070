"""pair_style transip, driven through the wheel's own lmp as a user drives it."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from hostile.model_files import with_json
from lammps_decks import LMP, deck, run_lammps
from toys import bad_model_files, hollow_model_file, springs, write_toy
from transip_md.common import units
from transip_md.common.thermal import kinetic_energy
from transip_md.common.tolerances import PARITY
from transip_md.engines.base import Dynamics, Job
from transip_md.engines.lammps.engine import LammpsEngine, read_thermo, write_data
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.modelfile.metadata import REFERENCE_NAME

pytestmark = pytest.mark.usefixtures("lammps_plugin")


@pytest.fixture
def folder(tmp_path, ethanol) -> Path:
    write_data(tmp_path / "ethanol.data", ethanol)
    return tmp_path


def dumped(folder: Path, columns: int) -> np.ndarray:
    return np.loadtxt(folder / "out.dump", skiprows=9, ndmin=2)[:, 1 : 1 + columns]


def test_parity_with_python(ethanol_files, dtype, ethanol, tmp_path):
    rng = np.random.default_rng(0)
    tolerance = PARITY[dtype]
    model = ExportedModel(ethanol_files[dtype])
    for index in range(3):
        ethanol.positions += rng.normal(scale=0.05, size=(9, 3))
        point = LammpsEngine().single_point(Job(ethanol_files[dtype], ethanol, tmp_path / str(index)))
        energies, forces, _ = model.evaluate(ethanol.numbers, ethanol.positions)
        assert abs(point.energy - energies.sum()) <= tolerance.energy
        assert np.abs(point.forces - forces).max() <= tolerance.force


def test_analytic_model(toy_file, ethanol, folder):
    end = "compute e all pe/atom\ndump d all custom 1 out.dump id fx fy fz c_e\n"
    end += "dump_modify d sort id format float %.17g\nrun 0"
    result = run_lammps(folder, deck(toy_file, end=end))
    assert result.returncode == 0, result.stdout
    energies, forces = springs(ethanol.positions)
    table = dumped(folder, 4)
    assert np.abs(table[:, :3] - forces).max() < 1e-11
    assert np.abs(table[:, 3] - energies).max() < 1e-11
    thermo = read_thermo(folder / "test.log")[-1]
    assert thermo[2] == pytest.approx(energies.sum(), abs=1e-11)
    # Virial: sum of r (x) f over atoms; LAMMPS's pressure is that over the volume, in bar.
    virial = np.einsum("ix,iy->xy", ethanol.positions, forces)
    bar = 1.602176634e6  # eV/Angstrom^3
    pressure = np.array([virial[0, 0], virial[1, 1], virial[2, 2], virial[0, 1], virial[0, 2], virial[1, 2]]) * bar
    assert thermo[6:12] * thermo[12] == pytest.approx(pressure, rel=1e-6, abs=1e-3)


def test_units_real(toy_file, ethanol, folder):
    end = "dump d all custom 1 out.dump id fx fy fz\ndump_modify d sort id format float %.17g\nrun 0"
    result = run_lammps(folder, deck(toy_file, units_name="real", end=end))
    assert result.returncode == 0, result.stdout
    energies, forces = springs(ethanol.positions)
    unit = units.KCAL_PER_MOL_PER_EV
    assert read_thermo(folder / "test.log")[-1][2] == pytest.approx(energies.sum() * unit, rel=1e-12)
    assert np.abs(dumped(folder, 3) - forces * unit).max() < 1e-9


def test_types_in_any_order(ethanol_file, ethanol, folder):
    """Types are the deck's own: here oxygen comes first, and one element has two types."""
    text = (folder / "ethanol.data").read_text()
    text = text.replace("3 atom types", "4 atom types")
    head, rest = text.split("Masses\n\n")
    _, atoms = rest.split("Atoms # atomic\n\n")
    renamed = {"1": ["2", "4"], "2": ["3"], "3": ["1"]}  # H -> 2 and 4, C -> 3, O -> 1
    rows = []
    for count, line in enumerate(atoms.strip().splitlines()):
        index, kind, *place = line.split()
        choice = renamed[kind]
        rows.append(" ".join([index, choice[count % len(choice)], *place]))
    masses = "1 15.999\n2 1.008\n3 12.011\n4 2.014\n"
    (folder / "ethanol.data").write_text(f"{head}Masses\n\n{masses}\nAtoms # atomic\n\n" + "\n".join(rows) + "\n")
    result = run_lammps(folder, deck(ethanol_file, coeff="* * O H C H"))
    assert result.returncode == 0, result.stdout
    energies, _, _ = ExportedModel(ethanol_file).evaluate(ethanol.numbers, ethanol.positions)
    assert read_thermo(folder / "test.log")[-1][2] == pytest.approx(energies.sum(), abs=1e-9)


def test_isotopes_keep_their_masses(ethanol_file, ethanol, tmp_path):
    masses = ethanol.get_masses()
    masses[3] = 2.014
    ethanol.set_masses(masses)
    velocities = np.random.default_rng(0).normal(scale=0.01, size=(9, 3))
    run = Dynamics(timestep=0.5, steps=20, every=10, velocities=velocities)
    record = LammpsEngine().dynamics(Job(ethanol_file, ethanol, tmp_path), run, lambda step: None)
    assert record.kinetic[0] == pytest.approx(kinetic_energy(masses, velocities), rel=2e-7)


def test_charge_and_multiplicity_are_checked(toy_file, folder):
    assert run_lammps(folder, deck(toy_file, style="charge -1 multiplicity 2")).returncode == 0
    result = run_lammps(folder, deck(toy_file, style="charge 2"))
    assert result.returncode != 0
    assert "The model knows charge -1 to 1; got charge 2" in result.stdout


def test_several_runs_minimisation_and_clear(toy_file, ethanol_file, folder):
    end = "minimize 0 1e-6 200 2000\nvelocity all create 100 1\nfix 1 all nve\ntimestep 0.0005\nrun 20\nrun 20\nclear\n"
    first = deck(toy_file, end=end)
    result = run_lammps(folder, first + deck(ethanol_file))
    assert result.returncode == 0, result.stdout
    energies, _, _ = ExportedModel(ethanol_file).evaluate(*_ethanol(folder))
    assert read_thermo(folder / "test.log")[-1][2] == pytest.approx(energies.sum(), abs=1e-9)


def _ethanol(folder: Path):
    import ase.io

    atoms = ase.io.read(folder / "ethanol.data", format="lammps-data", atom_style="atomic", units="metal")
    return atoms.numbers, atoms.positions


ERRORS = [
    ({"coeff": "* * H C"}, "3 element symbols, one for each atom type; the model knows H C O; got 2 symbols"),
    ({"coeff": "* *"}, "got 0 symbols"),
    ({"coeff": "* * H C Xx"}, "'Xx' is no element symbol"),
    ({"coeff": "* * H C N"}, "The model does not know N; it was trained on H C O"),
    ({"coeff": "1 1 H C O"}, "must start with * *"),
    ({"boundary": "p p p"}, "the box is periodic"),
    ({"boundary": "s s p"}, "the box is periodic"),
    ({"units_name": "lj"}, "units metal or real, not units lj"),
    ({"style": "cutoff 5"}, "unknown keyword cutoff"),
    ({"style": "device"}, "keyword device needs a value"),
    ({"style": "device tpu"}, "device must be auto, cpu, cuda or cuda:N, got 'tpu'"),
    ({"style": "charge many"}, "many"),
    ({"style": "threads 0"}, "threads must be 1 or more, got 0"),
    ({"style": "threads two"}, "two"),
    ({"style": "check maybe"}, "maybe"),
    ({"coeff": "* * NULL NULL NULL"}, "every type is NULL; expected pair_coeff * * followed by 3 element symbols"),
    ({"end": "compute s all stress/atom NULL\ncompute r all reduce sum c_s[1]\nfix p all ave/time 1 1 1 c_r\nrun 0"},
     "Virials of single atoms are made by native kernels"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), ERRORS)
def test_errors(toy_file, folder, changes, words):
    result = run_lammps(folder, deck(toy_file, **changes))
    assert result.returncode != 0
    error = [line for line in result.stdout.splitlines() if line.startswith("ERROR")]
    assert error and words in " ".join(error), result.stdout


def test_coefficients_that_were_never_given(toy_file, folder):
    result = run_lammps(folder, deck(toy_file).replace("pair_coeff", "# pair_coeff"))
    assert result.returncode != 0 and "pair coeffs are not set" in result.stdout.lower()


def test_cuda_where_there_is_none(toy_file, folder):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    result = run_lammps(folder, deck(toy_file, style="device cuda"))
    assert result.returncode != 0
    assert "device 'cuda' was asked for, but NVIDIA's driver is not here" in " ".join(result.stdout.split())


def test_native_cuda_kernels_without_a_driver_are_those_of_the_cpu(ethanol_file, folder):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    result = run_lammps(folder, deck(ethanol_file, style="device cuda kernels native"))
    assert result.returncode == 0, result.stdout
    output = " ".join(result.stdout.split())
    assert output.count("Device cuda was asked for, but NVIDIA's driver is not here") == 1
    assert "weights on cpu, native kernels" in output


def test_model_file_that_is_not_there(folder):
    result = run_lammps(folder, deck("nothing.pt"))
    assert result.returncode != 0
    assert "No such model file: nothing.pt. Make one with `transip-md export" in " ".join(result.stdout.split())


def test_bad_files(folder):
    for name, (path, words) in bad_model_files(folder / "bad").items():
        result = run_lammps(folder, deck(path))
        assert result.returncode != 0, name
        error = [line for line in result.stdout.splitlines() if line.startswith("ERROR")]
        assert error and words in error[0], result.stdout
        # One paragraph: no C++ backtrace behind it.
        assert "frame #" not in result.stdout


def test_file_without_its_code(folder):
    result = run_lammps(folder, deck(hollow_model_file(folder / "hollow.pt")))
    assert result.returncode != 0
    assert "cannot load its TorchScript" in result.stdout and "frame #" not in result.stdout


def test_no_model_file_named(folder):
    result = run_lammps(folder, deck(""))
    assert "needs a model file" in result.stdout and result.returncode != 0


def test_atoms_on_top_of_each_other_stop_the_run(toy_file, folder, ethanol):
    ethanol.positions[4] = ethanol.positions[3]
    write_data(folder / "ethanol.data", ethanol)
    result = run_lammps(folder, deck(toy_file))
    assert result.returncode != 0
    assert "step 0: Two atoms are at one position, so that a force is not finite (NaN or infinity)" in result.stdout
    assert "for atom 4 at" in result.stdout or "for atom 5 at" in result.stdout


def test_direct_forces_are_said_to_be_none_of_the_gradient(toy_file, folder, tmp_path):
    direct = write_toy(tmp_path / "direct.pt", conservative=False)
    warning = "WARNING: pair_style transip"
    said = run_lammps(folder, deck(direct)).stdout
    assert warning in said and "not the gradient of the energy" in said
    assert warning not in run_lammps(folder, deck(toy_file)).stdout


def test_atoms_closer_than_in_training_are_warned_of_once(folder, tmp_path, ethanol):
    known = write_toy(tmp_path / "known.pt", training={"data": "springs", "closest_pair": 0.5})
    words = "no two atoms of the training data were closer"
    motion = "velocity all create 300 1\nfix 1 all nve\ntimestep 0.0001\nrun 5"
    assert words not in run_lammps(folder, deck(known, end=motion)).stdout
    ethanol.positions[4] = ethanol.positions[3] + [0.0, 0.0, 0.4]
    write_data(folder / "ethanol.data", ethanol)
    said = run_lammps(folder, deck(known, end=motion)).stdout
    assert said.count(words) == 1
    assert "step 0: atoms 4 and 5 are 0.4 Angstrom apart" in said


def test_written_deck_runs_again_by_hand(ethanol_file, ethanol, tmp_path):
    LammpsEngine().single_point(Job(ethanol_file, ethanol, tmp_path))
    before = read_thermo(tmp_path / "point.log")
    result = subprocess.run(
        [str(LMP), "-in", "in.point", "-log", "again.log"], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0
    assert np.array_equal(read_thermo(tmp_path / "again.log")[:, 2], before[:, 2])


@pytest.fixture(scope="module")
def water_file(tmp_path_factory) -> Path:
    import transip_md
    from transip_md.exporting.export import export

    file = tmp_path_factory.mktemp("water") / "water.pt"
    export(transip_md.pretrained("water"), file, "float32")
    return file


EXAMPLES = sorted(path.name for path in (Path(__file__).resolve().parents[2] / "examples/lammps").glob("in.*"))


@pytest.fixture(scope="module")
def organic_files(tmp_path_factory):
    import transip_md
    from transip_md.exporting.export import export

    folder = tmp_path_factory.mktemp("organic")
    files = [folder / f"{name}.pt" for name in ("organic", "organic_broad")]
    for file in files:
        export(transip_md.pretrained(file.stem), file)
    return files


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_decks(repository, ethanol_file, water_file, organic_files, tmp_path, name):
    for file in (repository / "examples/lammps").iterdir():
        shutil.copy(file, tmp_path)
    shutil.copy(ethanol_file, tmp_path / "ethanol.pt")
    shutil.copy(water_file, tmp_path / "water.pt")
    for file in organic_files:
        shutil.copy(file, tmp_path)
    text = (tmp_path / name).read_text()
    if "water" in name:
        assert "run         100\n" in text
        (tmp_path / name).write_text(text.replace("run         100\n", "run 5\nrun 0\n"))
    result = subprocess.run([str(LMP), "-in", name, "-log", "log.lammps"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    if "committee" in name:
        assert len(np.loadtxt(tmp_path / "deviation.out")) == 101
    assert "TransIP model" in result.stdout and "WARNING: pair_style transip" not in result.stdout


def test_interrupting_a_run_leaves_no_lammps_behind(ethanol_file, ethanol, tmp_path):
    def interrupt(step):
        raise KeyboardInterrupt

    forever = Dynamics(timestep=0.5, steps=10_000_000, every=5, velocities=np.zeros((9, 3)))
    with pytest.raises(KeyboardInterrupt):
        LammpsEngine().dynamics(Job(ethanol_file, ethanol, tmp_path), forever, interrupt)
    size = (tmp_path / "nve.log").stat().st_size
    time.sleep(1.0)
    assert (tmp_path / "nve.log").stat().st_size == size


def falsified(file: Path, copy: Path) -> Path:
    """A model file whose reference energy is another than its model gives."""

    def change(values):
        values["states"][0]["energy"] += 1e-6

    return with_json(file, copy, REFERENCE_NAME, change)


def test_model_that_gives_other_numbers_than_where_it_was_made(ethanol_file, folder):
    wrong = falsified(ethanol_file, folder / "wrong.pt")
    result = run_lammps(folder, deck(wrong))
    assert result.returncode != 0
    assert "does not give the numbers here" in result.stdout and "differs by 1e-06 eV (allowed 1e-09)" in result.stdout
    assert run_lammps(folder, deck(wrong, style="check no")).returncode == 0


def test_time_in_the_model_is_told_once(toy_file, folder):
    said = run_lammps(
        folder, deck(toy_file, end="fix 1 all nve\ntimestep 0.0001\nthermo 1000\nrun 120\nrun 120")
    ).stdout
    told = re.findall(r"TransIP: (\S+) ms a step in the model, (\S+) ms around it", said)
    assert len(told) == 1
    in_model, around = map(float, told[0])
    assert 0.01 < in_model < 1000 and 0 < around < in_model


def test_rerun_repeats_the_energies(ethanol_file, folder):
    end = "velocity all create 300 1\nfix 1 all nve\ntimestep 0.0005\ndump d all custom 10 r.dump id type x y z\n"
    end += "dump_modify d sort id format float %.17g\nthermo 10\nrun 50"
    assert run_lammps(folder, deck(ethanol_file, end=end)).returncode == 0
    before = read_thermo(folder / "test.log")
    result = run_lammps(folder, deck(ethanol_file, end="thermo 10\nrerun r.dump dump x y z"))
    assert result.returncode == 0, result.stdout
    again = read_thermo(folder / "test.log")
    assert list(again[:, 0]) == list(range(0, 60, 10))
    assert np.abs(again[:, 2] - before[:, 2]).max() <= 1e-9
