"""pair_style transip with a symmetry: Python's numbers on one and two ranks, references, thermostats."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest

from networks import crystal
from toys import write_toy
from transip_md.common.tolerances import PARITY
from transip_md.engines.ase import TransIPCalculator
from transip_md.engines.lammps.engine import boundary_of, read_thermo, write_data

pytestmark = pytest.mark.usefixtures("lammps_plugin")

SCRIPTS = Path(sysconfig.get_path("scripts"))
MOTION = "velocity all create 300 1 mom yes rot no\ntimestep 0.0005\n"


def run(folder: Path, text: str, ranks: int = 1) -> subprocess.CompletedProcess:
    (folder / "in.test").write_text(text)
    command = [str(SCRIPTS / "lmp"), "-in", "in.test", "-log", "test.log"]
    if ranks > 1:
        if not (SCRIPTS / "mpiexec").exists():
            pytest.skip("mpiexec of MPICH is not installed")
        command = [str(SCRIPTS / "mpiexec"), "-n", str(ranks), *command]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def deck(model: Path, atoms: ase.Atoms, symmetry: str, end: str = "run 0", start: str = "read_data atoms.data") -> str:
    return f"""
units metal
boundary {boundary_of(atoms)}
atom_style atomic
atom_modify map array
{start}
neighbor 0.5 bin
pair_style transip {model} symmetry {symmetry}
pair_coeff * * {" ".join(ase.data.chemical_symbols[z] for z in sorted(set(atoms.numbers)))}
thermo_style custom step time pe ke etotal temp
thermo_modify format float %.17g
thermo 10
dump out all custom 10 out.dump id fx fy fz
dump_modify out sort id format float %.17g
{end}
"""


def forces_of(folder: Path, count: int) -> np.ndarray:
    """Of the last frame."""
    return np.loadtxt((folder / "out.dump").read_text().splitlines()[-count:])[:, 1:]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("symmetry", ["average 4", "average 12 inversion", "frame", "random 3"])
def test_molecule_has_pythons_numbers(ethanol_file, ethanol, bent, tmp_path, symmetry, ranks):
    write_data(tmp_path / "atoms.data", bent)
    ethanol.write(tmp_path / "ethanol.xyz", format="xyz", fmt="%.17g")
    asked = symmetry + (" reference ethanol.xyz" if symmetry == "frame" else "")
    result = run(tmp_path, deck(ethanol_file, bent, asked), ranks)
    assert result.returncode == 0, result.stdout
    bent.calc = TransIPCalculator(ethanol_file, symmetry=symmetry, reference=ethanol if symmetry == "frame" else None)
    tolerance = PARITY["float64"]
    assert abs(read_thermo(tmp_path / "test.log")[-1][2] - bent.get_potential_energy()) <= tolerance.energy
    assert np.abs(forces_of(tmp_path, 9) - bent.get_forces()).max() <= tolerance.force


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("symmetry", ["average 4 inversion", "random 3"])
def test_crystal_has_pythons_numbers(local_file, tmp_path, symmetry, ranks):
    atoms = crystal(1)
    atoms.set_cell([7.0, 6.5, 6.0], scale_atoms=True)
    atoms = atoms.repeat((2, 1, 1))
    write_data(tmp_path / "atoms.data", atoms)
    result = run(tmp_path, deck(local_file, atoms, symmetry), ranks)
    assert result.returncode == 0, result.stdout
    atoms.calc = TransIPCalculator(local_file, symmetry=symmetry)
    tolerance = PARITY["float64"]
    assert abs(read_thermo(tmp_path / "test.log")[-1][2] - atoms.get_potential_energy()) <= tolerance.energy
    assert np.abs(forces_of(tmp_path, 16) - atoms.get_forces()).max() <= tolerance.force


def test_compiled_file(all_to_all_files, bent, tmp_path):
    write_data(tmp_path / "atoms.data", bent)
    for symmetry in ("average 12", "frame"):
        result = run(tmp_path, deck(all_to_all_files["aoti"], bent, symmetry))
        assert result.returncode == 0, result.stdout
        bent.calc = TransIPCalculator(all_to_all_files["torchscript"], symmetry=symmetry)
        assert read_thermo(tmp_path / "test.log")[-1][2] == pytest.approx(bent.get_potential_energy(), abs=1e-9)


def test_frame_conserves_angular_momentum_and_the_model_alone_does_not(ethanol_file, bent, tmp_path):
    write_data(tmp_path / "atoms.data", bent)
    end = (
        "variable lx equal angmom(all,x)\nvariable ly equal angmom(all,y)\nvariable lz equal angmom(all,z)\n"
        f"thermo_style custom step time v_lx v_ly v_lz\nthermo_modify format float %.17g\n{MOTION}"
        "fix 1 all nve\nrun 400"
    )
    lost = {}
    for symmetry in ("none", "frame"):
        result = run(tmp_path, deck(ethanol_file, bent, symmetry, end))
        assert result.returncode == 0, result.stdout
        angular = read_thermo(tmp_path / "test.log")[:, 2:5]
        lost[symmetry] = np.abs(angular - angular[0]).max() / np.linalg.norm(angular[0])
    assert lost["frame"] < 1e-9
    assert lost["none"] > 1e-4


def test_reference_is_written_and_read_again(ethanol_file, bent, tmp_path):
    """A run in two parts, with the reference of its start, is the run in one."""
    write_data(tmp_path / "atoms.data", bent)
    integrate = "fix 1 all nve\n"
    whole = run(tmp_path, deck(ethanol_file, bent, "frame", f"{MOTION}{integrate}run 40"))
    assert whole.returncode == 0, whole.stdout
    wanted = read_thermo(tmp_path / "test.log")[-1]
    first = run(
        tmp_path,
        deck(ethanol_file, bent, "frame reference kept.xyz", f"{MOTION}{integrate}run 20\nwrite_restart half.restart"),
    )
    assert first.returncode == 0, first.stdout
    assert "the reference is the structure of step 0; written to kept.xyz" in (tmp_path / "test.log").read_text()
    kept = ase.io.read(tmp_path / "kept.xyz")
    assert np.array_equal(kept.numbers, bent.numbers)
    assert np.abs(kept.positions - bent.positions).max() < 1e-14

    def second(symmetry: str) -> float:
        result = run(
            tmp_path,
            deck(ethanol_file, bent, symmetry, f"timestep 0.0005\n{integrate}run 20", "read_restart half.restart"),
        )
        assert result.returncode == 0, result.stdout
        return read_thermo(tmp_path / "test.log")[-1][2]

    assert second("frame reference kept.xyz") == pytest.approx(wanted[2], abs=1e-9)
    assert "the reference is that of kept.xyz" in (tmp_path / "test.log").read_text()
    # With the structure of the restart for a reference it is another run.
    assert abs(second("frame") - wanted[2]) > 1e-7


@pytest.mark.parametrize(
    ("symmetry", "words"),
    [
        ("average 5", "one of [2, 4, 12, 24, 60, 208, 380] rotations; got 5"),
        ("average", "symmetry must be none, average N"),
        ("mirror", "got 'mirror'"),
        ("average 4 reference a.xyz", "reference goes with symmetry frame; got symmetry average 4"),
        ("frame reference short.xyz", "the atoms are not those of the reference structure, which has 3"),
        ("frame reference bad.xyz", "expected an XYZ file"),
        ("frame reference line.xyz", "linear or nearly so"),
        ("frame reference pair.xyz", "only 1 of the reference's 3 atoms hang together"),
    ],
)
def test_refuses(ethanol_file, bent, tmp_path, symmetry, words):
    write_data(tmp_path / "atoms.data", bent)
    (tmp_path / "short.xyz").write_text("3\nwater\nO 0 0 0\nH 0.9 0.3 0\nH -0.9 0.3 0\n")
    (tmp_path / "bad.xyz").write_text("3\nwater\nO 0 0\n")
    (tmp_path / "line.xyz").write_text("3\ncarbon dioxide\nO -1.2 0 0\nC 0 0 0\nO 1.2 0 0\n")
    (tmp_path / "pair.xyz").write_text("3\napart\nO 0 0 0\nH 4 0 0\nH 4 0.7 0\n")
    result = run(tmp_path, deck(ethanol_file, bent, symmetry))
    assert result.returncode != 0
    assert words in (tmp_path / "test.log").read_text() + result.stdout


def test_old_files_and_local_models_say_what_they_offer(local_file, bent, tmp_path):
    write_data(tmp_path / "atoms.data", bent)
    old = write_toy(tmp_path / "old.pt")
    for model, symmetry, words in ((old, "average 2", "Export it anew"), (local_file, "frame", "average, random; got")):
        assert run(tmp_path, deck(model, bent, symmetry)).returncode != 0
        assert words in (tmp_path / "test.log").read_text()


@pytest.mark.parametrize(
    ("symmetry", "end", "words"),
    [
        ("random 1", "fix 1 all nve\nrun 2", "no thermostat is there to take it up"),
        ("random 1 forced", "fix 1 all nve\nrun 2", ""),
        ("random 1", "fix 1 all nve\nfix 2 all langevin 300 300 0.1 1\nrun 2", ""),
        ("random 1", "fix 1 all nvt temp 300 300 0.1\nrun 2", ""),
        ("random 1", "minimize 0 1e-6 10 10", "no minimum to be found"),
    ],
)
def test_random_rotations_want_a_thermostat(ethanol_file, bent, tmp_path, symmetry, end, words):
    write_data(tmp_path / "atoms.data", bent)
    result = run(tmp_path, deck(ethanol_file, bent, symmetry, MOTION + end))
    assert (result.returncode != 0) == bool(words), result.stdout
    assert words in (tmp_path / "test.log").read_text()
