"""pair_style transip with local models in periodic boxes, and on several ranks."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import ase
import numpy as np
import pytest

from many_structures import many_structures
from networks import crystal
from transip_md.common import units
from transip_md.common.tolerances import PARITY_RELATIVE
from transip_md.engines.lammps.engine import PADDING, boundary_of, is_rectangular, read_thermo, write_data
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.exporting.export import export

pytestmark = pytest.mark.usefixtures("lammps_plugin")

SCRIPTS = Path(sysconfig.get_path("scripts"))
LMP, MPIEXEC = SCRIPTS / "lmp", SCRIPTS / "mpiexec"
THERMO = "thermo_style custom step time pe ke etotal temp pxx pyy pzz pxy pxz pyz vol"
#: LAMMPS's own bar per eV/Angstrom^3 in units metal differs from CODATA's by 8e-8.
PRESSURE_RELATIVE = 1e-6
BAR = 1.602176634e6  # per eV/Angstrom^3
LAMMPS_BAR = 1.6021765e6  # its own, as update.cpp has it


def section(model, atoms: ase.Atoms, name: str, *, style="", units_name="metal", before="", after="", end="run 0"):
    """Commands for one structure, whose data file is NAME.data and whose forces go to NAME.dump."""
    general = " triclinic/general yes" if atoms.pbc.any() and not is_rectangular(atoms) else ""
    symbols = " ".join(ase.data.chemical_symbols[z] for z in sorted(set(atoms.numbers)))
    return f"""
units {units_name}
boundary {boundary_of(atoms)}
atom_style atomic
atom_modify map array
{before}
read_data {name}.data
neighbor 1.0 bin
pair_style transip {model} {style}
pair_coeff * * {symbols}
{after}
{THERMO}
thermo_modify format float %.17g
dump out all custom 20 {name}.dump id x y z fx fy fz
dump_modify out sort id format float %.17g{general}
{end}
"""


def run(folder: Path, deck: str, ranks: int = 1) -> subprocess.CompletedProcess:
    (folder / "in.test").write_text(deck)
    command = [str(LMP), "-in", "in.test", "-log", "test.log"]
    if ranks > 1:
        if not MPIEXEC.exists():
            pytest.skip("mpiexec of MPICH is not installed")
        command = [str(MPIEXEC), "-n", str(ranks), *command]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def frames(dump: Path) -> np.ndarray:
    """Columns x y z fx fy fz of every frame, [frames, atoms, 6]."""
    lines = dump.read_text().splitlines()
    count = int(lines[3])
    rows = [line.split()[1:] for index, line in enumerate(lines) if index % (count + 9) >= 9]
    return np.array(rows, dtype=float).reshape(-1, count, 6)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_parity_with_python_on_fifty_structures(local_checkpoint, precision, tmp_path):
    file = tmp_path / "model.pt"
    export(local_checkpoint, file, precision)
    model = ExportedModel(file, "cpu")
    tolerance, everything = PARITY_RELATIVE[precision], many_structures()
    assert len(everything) == 50
    deck = []
    for index, atoms in enumerate(everything):
        write_data(tmp_path / f"s{index}.data", atoms)
        deck.append(section(file, atoms, f"s{index}"))
    result = run(tmp_path, "clear\n".join(deck))
    assert result.returncode == 0, result.stdout
    table = read_thermo(tmp_path / "test.log")
    assert len(table) == 50
    for index, (atoms, thermo) in enumerate(zip(everything, table, strict=True)):
        wanted = model.evaluate(atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc)
        forces = frames(tmp_path / f"s{index}.dump")[0, :, 3:]
        energy = wanted.energies.sum()
        assert abs(thermo[2] - energy) <= tolerance * max(1.0, abs(energy)), index
        assert np.abs(forces - wanted.forces).max() <= tolerance * max(1.0, np.abs(wanted.forces).max()), index
        if not (atoms.pbc.any() and not is_rectangular(atoms)):
            xx, yy, zz, xy, xz, yz = thermo[6:12] * thermo[12] / LAMMPS_BAR
            # LAMMPS takes the upper triangle of r (x) f, which without exact symmetry is not the lower one.
            virial = np.array([[xx, xy, xz], [0, yy, yz], [0, 0, zz]])
            upper = np.triu(wanted.virial)
            assert np.abs(virial - upper).max() <= tolerance * max(1.0, np.abs(upper).max()), index


def test_virial_against_strained_boxes(local_file, tmp_path):
    """LAMMPS's own differences of the energy with respect to strain; they shear the other way than its virial."""
    atoms = crystal(0)
    atoms.set_cell([6.0, 6.5, 7.0], scale_atoms=True)
    write_data(tmp_path / "c.data", atoms)
    after = "fix n all numdiff/virial 1 1e-4"
    names = " ".join(f"f_n[{i}]" for i in range(1, 7))
    deck = section(local_file, atoms, "c", after=after).replace(THERMO, f"thermo_style custom step time {names} vol")
    result = run(tmp_path, deck)
    assert result.returncode == 0, result.stdout
    row = read_thermo(tmp_path / "test.log")[-1]
    virial = row[2:8] * row[8] / BAR
    wanted = ExportedModel(local_file).evaluate(
        atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc
    )
    lower = wanted.virial[[0, 1, 2, 2, 2, 1], [0, 1, 2, 1, 0, 0]]
    assert np.abs(lower).max() > 0.1
    assert np.abs(virial - lower).max() <= PRESSURE_RELATIVE * np.abs(lower).max()


@pytest.mark.parametrize("ranks", [1, 2])
def test_forces_against_fix_numdiff(local_file, tmp_path, ranks):
    """LAMMPS's own central differences of the energy, with its own moves of an atom and its images."""
    atoms = crystal(4).repeat((2, 1, 1))
    write_data(tmp_path / "c.data", atoms)
    after = "fix n all numdiff 1 1e-4\ndump n all custom 1 n.dump id fx fy fz f_n[1] f_n[2] f_n[3]"
    after += "\ndump_modify n sort id format float %.17g"
    result = run(tmp_path, section(local_file, atoms, "c", after=after), ranks)
    assert result.returncode == 0, result.stdout
    forces, differences = np.split(frames(tmp_path / "n.dump")[0], 2, axis=1)
    assert np.abs(forces).max() > 0.1
    assert np.abs(forces - differences).max() <= 1e-5 * np.abs(forces).max()


MOTION = """velocity all create 3600 7 mom yes loop geom
fix 1 all nve
timestep 0.001
thermo 20
run 100
"""


@pytest.fixture(scope="module")
def moving(local_file, tmp_path_factory):
    """100 steps of an orthogonal periodic box on one rank: the start, and its trajectory."""
    folder = tmp_path_factory.mktemp("moving")
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * 2.6 + 1.0
    atoms = ase.Atoms(
        rng.choice([1, 6, 8], 27), grid + rng.normal(scale=0.2, size=grid.shape), cell=[7.8] * 3, pbc=True
    )
    write_data(folder / "m.data", atoms)
    result = run(folder, section(local_file, atoms, "m", end=MOTION))
    assert result.returncode == 0, result.stdout
    return atoms, frames(folder / "m.dump"), read_thermo(folder / "test.log")


@pytest.mark.parametrize(
    ("ranks", "grid"), [(2, "2 1 1"), (2, "1 2 1"), (2, "1 1 2"), (3, "1 3 1"), (4, "2 2 1")], ids=str
)
def test_trajectory_on_several_ranks(local_file, moving, tmp_path, ranks, grid):
    atoms, wanted, energies = moving
    write_data(tmp_path / "m.data", atoms)
    deck = section(local_file, atoms, "m", before=f"processors {grid}", end=MOTION)
    result = run(tmp_path, deck, ranks)
    assert result.returncode == 0, result.stdout
    assert f"{grid.replace(' ', ' by ')} MPI processor grid" in result.stdout
    # Atoms cross from one rank to another on the way.
    assert np.abs(wanted[-1, :, :3] - wanted[0, :, :3]).max() > 1.0
    assert np.abs(frames(tmp_path / "m.dump") - wanted).max() <= 1e-8
    assert np.abs(read_thermo(tmp_path / "test.log")[:, 2:5] - energies[:, 2:5]).max() <= 1e-8


def test_atoms_that_are_sorted_on_the_way_keep_their_images(local_file, moving, tmp_path):
    atoms, wanted, _ = moving
    write_data(tmp_path / "m.data", atoms)
    motion = MOTION.replace("fix 1 all nve", "neigh_modify every 1 delay 0 check no\nfix 1 all nve")
    result = run(tmp_path, section(local_file, atoms, "m", before="atom_modify sort 5 2.0", end=motion))
    assert result.returncode == 0, result.stdout
    away = frames(tmp_path / "m.dump") - wanted
    # Atoms are wrapped into the box when neighbours are sought, here more often than there.
    side = atoms.cell.array[0, 0]
    away[:, :, :3] -= side * np.round(away[:, :, :3] / side)
    assert np.abs(away).max() <= 1e-8


def test_a_rank_without_atoms(local_files, tmp_path):
    atoms = crystal(0)
    atoms.set_cell([24.0, 12.0, 12.0])
    atoms.positions += 1.5
    write_data(tmp_path / "e.data", atoms)
    wanted = ExportedModel(local_files["torchscript"]).evaluate(
        atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc
    )
    for form in ("torchscript", "aoti"):
        deck = section(local_files[form], atoms, "e", before="processors 3 1 1")
        result = run(tmp_path, deck, 3)
        assert result.returncode == 0, result.stdout
        assert np.abs(frames(tmp_path / "e.dump")[0, :, 3:] - wanted.forces).max() <= 1e-8


def test_molecule_on_several_ranks(toy_file, ethanol, tmp_path):
    """An all-to-all model: gathered, evaluated once, the same on any number of ranks."""
    write_data(tmp_path / "m.data", ethanol)
    trajectories = []
    for ranks in (1, 2, 4):
        result = run(tmp_path, section(toy_file, ethanol, "m", end=MOTION.replace("run 100", "run 40")), ranks)
        assert result.returncode == 0, result.stdout
        trajectories.append((frames(tmp_path / "m.dump"), read_thermo(tmp_path / "test.log")))
    for dump, thermo in trajectories[1:]:
        assert np.abs(dump - trajectories[0][0]).max() <= 1e-8
        # Relative: rounding of pressures goes with their size in bar.
        assert (np.abs(thermo - trajectories[0][1]) <= 1e-6 * np.maximum(1.0, np.abs(thermo))).all()


def test_energies_of_atoms_add_up_and_units_real(local_file, tmp_path):
    atoms = crystal(4)
    write_data(tmp_path / "r.data", atoms)
    after = "compute e all pe/atom\ncompute s all reduce sum c_e"
    deck = section(local_file, atoms, "r", units_name="real", after=after).replace(
        THERMO, "thermo_style custom step time pe c_s"
    )
    result = run(tmp_path, deck)
    assert result.returncode == 0, result.stdout
    wanted = ExportedModel(local_file).evaluate(
        atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc
    )
    row = read_thermo(tmp_path / "test.log")[-1]
    assert row[2] == pytest.approx(wanted.energies.sum() * units.KCAL_PER_MOL_PER_EV, rel=1e-12)
    assert row[3] == pytest.approx(row[2], rel=1e-12)
    forces = frames(tmp_path / "r.dump")[0, :, 3:]
    assert np.abs(forces - wanted.forces * units.KCAL_PER_MOL_PER_EV).max() <= 1e-7


@pytest.mark.parametrize("ranks", [1, 2])
def test_hybrid_overlay_and_null_types(local_file, tmp_path, ranks):
    """Carbon is left to a Lennard-Jones potential: the model sees the rest alone."""
    atoms = crystal(5)
    assert set(atoms.numbers) == {1, 6, 8}
    write_data(tmp_path / "h.data", atoms)
    model = local_file
    styles = f"pair_style hybrid/overlay transip {model} lj/cut 3.0\npair_coeff * * transip H NULL O\n"
    styles += "pair_coeff 2 * lj/cut 0.01 1.2\npair_coeff 1 2 lj/cut 0.01 1.2"
    deck = section(model, atoms, "h").replace(f"pair_style transip {model} \npair_coeff * * H C O", styles)
    assert "hybrid" in deck
    result = run(tmp_path, deck, ranks)
    assert result.returncode == 0, result.stdout
    both = frames(tmp_path / "h.dump")[0, :, 3:]
    result = run(tmp_path, deck.replace("lj/cut 0.01", "lj/cut 0.0"), ranks)
    assert result.returncode == 0, result.stdout
    alone = frames(tmp_path / "h.dump")[0, :, 3:]
    rest = atoms[atoms.numbers != 6]
    wanted = ExportedModel(model).evaluate(rest.numbers, rest.positions, cell=rest.cell.array, periodic=rest.pbc)
    assert np.abs(alone[atoms.numbers != 6] - wanted.forces).max() <= 1e-8
    assert np.abs(alone[atoms.numbers == 6]).max() == 0.0
    assert np.abs(both - alone).max() > 1e-3


def test_box_that_changes(local_file, tmp_path):
    """npt, minimisation with box/relax, restart: the energy at the end is that of a fresh evaluation."""
    atoms = crystal(6)
    atoms.set_cell([7.0, 7.5, 8.0])
    write_data(tmp_path / "n.data", atoms)
    end = """velocity all create 300 1
fix 1 all npt temp 300 300 0.1 aniso 0 0 1.0
timestep 0.0005
run 60
unfix 1
write_restart n.restart
minimize 0 1e-4 20 100
"""
    result = run(tmp_path, section(local_file, atoms, "n", end=end))
    assert result.returncode == 0, result.stdout
    before = read_thermo(tmp_path / "test.log")
    again = f"""units metal
read_restart n.restart
pair_style transip {local_file}
pair_coeff * * H C O
{THERMO}
thermo_modify format float %.17g
run 0
"""
    result = run(tmp_path, again)
    assert result.returncode == 0, result.stdout
    restarted = read_thermo(tmp_path / "test.log")[-1]
    ended = before[before[:, 0] == 60][0]
    assert restarted[2] == pytest.approx(ended[2], abs=1e-9)
    assert restarted[12] == pytest.approx(ended[12], rel=1e-12)
    assert abs(ended[12] - atoms.get_volume()) > 1e-3


@pytest.mark.parametrize("overlay", [False, True])
def test_respa_has_the_pressure_of_verlet(local_file, tmp_path, overlay):
    """respa asks the style for its virial, verlet takes it from the forces."""
    atoms = crystal(7)
    write_data(tmp_path / "p.data", atoms)
    rows = []
    for style in ("verlet", "respa 2 1 pair 2"):
        deck = section(local_file, atoms, "p", after=f"run_style {style}", end=MOTION.replace("run 100", "run 20"))
        if overlay:
            styles = f"pair_style hybrid/overlay transip {local_file} lj/cut 3.0\npair_coeff * * transip H C O\n"
            deck = deck.replace(
                f"pair_style transip {local_file} \npair_coeff * * H C O", styles + "pair_coeff * * lj/cut 0.01 1"
            )
        result = run(tmp_path, deck)
        assert result.returncode == 0, result.stdout
        rows.append(read_thermo(tmp_path / "test.log"))
    assert np.abs(rows[0][:, 6:12]).max() > 1000
    assert np.abs(rows[1] - rows[0]).max() <= 1e-9 * np.abs(rows[0]).max()


def test_what_a_local_model_cannot_take(local_file, tmp_path):
    atoms = crystal(0)
    write_data(tmp_path / "x.data", atoms)
    model = local_file
    newton = run(tmp_path, section(model, atoms, "x", before="newton off"))
    assert newton.returncode != 0 and "Put `newton on`" in newton.stdout
    ids = run(
        tmp_path,
        "units metal\natom_modify id no\nregion box block 0 5 0 5 0 5\ncreate_box 1 box\ncreate_atoms 1 single 1 1 1\n"
        f"mass 1 1.0\npair_style transip {model}\npair_coeff * * H\nrun 0\n",
    )
    assert ids.returncode != 0 and "needs atom IDs" in ids.stdout
    text = (tmp_path / "x.data").read_text().replace("Atoms # atomic", "Atoms # bond")
    head, rows = text.split("Atoms # bond\n\n")
    rows = [f"{i} 1 {rest}" for i, rest in (row.split(maxsplit=1) for row in rows.strip().splitlines())]
    head = head.replace("atom types", "atom types\n1 bonds\n1 bond types\n2 extra bond per atom")
    bonds = f"{head}Atoms # bond\n\n" + "\n".join(rows) + "\n\nBonds\n\n1 1 1 2\n"
    (tmp_path / "x.data").write_text(bonds)
    after = "bond_style zero\nbond_coeff 1"
    deck = section(model, atoms, "x", after=after).replace("atom_style atomic", "atom_style bond")
    special = run(tmp_path, deck)
    assert special.returncode != 0 and "special_bonds lj/coul 1.0 1.0 1.0" in special.stdout
    deck = section(model, atoms, "x", after=after + "\nspecial_bonds lj/coul 1.0 1.0 1.0")
    allowed = run(tmp_path, deck.replace("atom_style atomic", "atom_style bond"))
    assert allowed.returncode == 0, allowed.stdout
    wanted = ExportedModel(model).evaluate(atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc)
    assert read_thermo(tmp_path / "test.log")[-1][2] == pytest.approx(wanted.energies.sum(), abs=1e-9)


def test_compiled_file_on_another_device(local_files, tmp_path):
    atoms = crystal(0)
    write_data(tmp_path / "d.data", atoms)
    result = run(tmp_path, section(local_files["aoti"], atoms, "d", style="device cuda"))
    assert result.returncode != 0
    assert "was compiled for device cpu; got device 'cuda'" in " ".join(result.stdout.split())


def test_ghost_cutoffs_of_several_kinds_are_refused_on_several_ranks(local_file, tmp_path):
    atoms = crystal(0)
    write_data(tmp_path / "g.data", atoms)
    deck = section(local_file, atoms, "g", style="kernels torch", after="neighbor 1.0 multi\ncomm_modify mode multi")
    result = run(tmp_path, deck, 2)
    assert result.returncode != 0
    assert "comm_modify mode single cutoff 7" in result.stdout + result.stderr


def test_data_file_of_a_cell_that_lammps_does_not_take(tmp_path):
    from transip_md.common.errors import UsageError

    atoms = crystal(0)
    atoms.pbc = [True, True, False]
    with pytest.raises(UsageError, match="periodic in all directions"):
        write_data(tmp_path / "x.data", atoms)


def test_box_of_an_isolated_structure_has_room(tmp_path, ethanol):
    write_data(tmp_path / "m.data", ethanol)
    low, high = map(float, (tmp_path / "m.data").read_text().splitlines()[5].split()[:2])
    assert low == ethanol.positions[:, 0].min() - PADDING and high == ethanol.positions[:, 0].max() + PADDING


def test_two_simulations_on_split_communicators(local_file, tmp_path):
    starts = [crystal(0), crystal(1)]
    for index, atoms in enumerate(starts):
        write_data(tmp_path / f"w{index}.data", atoms)
    deck = section(local_file, starts[0], "w").replace("w.data", "w${w}.data").replace("w.dump", "w${w}.dump")
    (tmp_path / "in.test").write_text("variable w world 0 1\n" + deck)
    if not MPIEXEC.exists():
        pytest.skip("mpiexec of MPICH is not installed")
    command = [str(MPIEXEC), "-n", "3", str(LMP), "-partition", "2", "1", "-in", "in.test", "-log", "test.log"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout
    for index, atoms in enumerate(starts):
        wanted = ExportedModel(local_file).evaluate(
            atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc
        )
        assert np.abs(frames(tmp_path / f"w{index}.dump")[0, :, 3:] - wanted.forces).max() <= 1e-8


def test_an_error_on_one_rank_ends_all(local_file, tmp_path):
    """Two atoms at one position, on one of the ranks: no rank waits for it."""
    atoms = crystal(0)
    atoms.set_cell([20.0, 12.0, 12.0])
    atoms.positions[1] = atoms.positions[0]
    write_data(tmp_path / "x.data", atoms)
    # mpiexec may lose what a rank prints as it aborts: of several runs all end, and one shows why.
    results = [run(tmp_path, section(local_file, atoms, "x", before="processors 2 1 1"), 2) for _ in range(3)]
    assert all(result.returncode != 0 for result in results)
    assert any("not finite" in result.stdout + result.stderr for result in results)


def peak_memory(folder: Path, local_file: Path, atoms: ase.Atoms, steps: int) -> int:
    """Largest resident size of a run, kB."""
    end = f"velocity all create 600 1\nfix 1 all nve\ntimestep 0.001\nthermo 1000\nrun {steps}"
    (folder / "in.test").write_text(section(local_file, atoms, "g", end=end))
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, capture_output=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    command = [sys.executable, "-c", code, str(LMP), "-in", "in.test", "-log", "test.log"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return int(result.stdout)


def test_memory_does_not_grow_while_the_number_of_neighbours_changes(local_file, tmp_path):
    atoms = crystal(2).repeat((2, 1, 1))
    write_data(tmp_path / "g.data", atoms)
    short, long = (peak_memory(tmp_path, local_file, atoms, steps) for steps in (200, 2500))
    print(f"{short} kB after 200 steps, {long} kB after 2500")
    assert long - short < 4000
