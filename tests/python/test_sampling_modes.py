"""Modes of sampling beside dynamics."""

import json

import ase
import ase.io
import numpy as np
import pytest
from ase import units as ase_units
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

pytest.importorskip("tblite", reason="tblite is not installed (pip install tblite)")

import tblite.interface

from transip_md.cli import sampling_commands
from transip_md.common.errors import CheckFailedError, UsageError
from transip_md.data.bonds import covalent_length
from transip_md.sampling import (
    FewerFramesError,
    NothingToSampleError,
    SamplingRecipe,
    atom_pairs,
    dropped,
    plan,
    sample,
    sample_all,
)
from transip_md.sampling.candidates import Candidate
from transip_md.sampling.dimers import dimer_candidates, hydrogen_bonds
from transip_md.sampling.normal_modes import FARTHEST, hessian_of, modes_of, steps_of
from transip_md.sampling.scans import bond_candidates, compressed_candidates, torsion_candidates

MODES = ["normal-modes", "bonds", "torsions", "compress", "dimers"]


def recipe_of(mode, **more):
    return SamplingRecipe(**{"teacher": "gfn2-xtb", "temperature": 300, "seed": 5, "mode": mode} | more)


def still(mode, **more):
    """A recipe that structures have completed, without a rattle."""
    return recipe_of(mode, rattle=0, charge=0, multiplicity=1, **more)


def teacher_of(frame):
    """tblite itself, without what is tested here; with the state that the frame states."""
    state = {"charge": frame.info.get("charge", 0), "uhf": frame.info.get("multiplicity", 1) - 1}
    teacher = tblite.interface.Calculator("GFN2-xTB", frame.numbers, frame.positions / ase_units.Bohr, **state)
    teacher.set("verbosity", 0)
    kelvin = frame.info.get("electronic_temperature_K", 300.0)
    teacher.set("temperature", kelvin * ase_units.kB / ase_units.Hartree)
    result = teacher.singlepoint()
    return result.get("energy") * ase_units.Hartree, -result.get("gradient") * ase_units.Hartree / ase_units.Bohr


@pytest.fixture
def molecules(tmp_path):
    """Files of molecules that take no time, two of them charged."""
    folder = tmp_path / "molecules"
    folder.mkdir()
    for name, charge in {"CH3CH2OH": 0, "H2O": 0, "CH3O": -1, "NH3": 0}.items():
        atoms = molecule(name)
        atoms.set_initial_magnetic_moments(None)
        if charge:
            atoms.info["charge"] = charge
        ase.io.write(folder / f"{name}.extxyz", atoms)
    return folder


@pytest.mark.parametrize("mode", MODES)
def test_labels_are_the_teachers(mode, molecules, tmp_path):
    structures = [molecules / "CH3CH2OH.extxyz", molecules / "CH3O.extxyz"]
    (task, _) = plan(structures, tmp_path, [recipe_of(mode, electronic_temperature=3000)])
    assert list(sample(task.structure, task.output, 4, task.recipe, task.partners)) == [1, 2, 3, 4]
    frames = ase.io.read(task.output, index=":")
    assert [frame.info["mode"] for frame in frames] == 4 * [mode]
    for frame in frames:
        energy, forces = teacher_of(frame)
        assert frame.get_potential_energy() == pytest.approx(energy, abs=1e-4)
        assert np.abs(frame.get_forces() - forces).max() < 1e-3
        assert np.abs(frame.get_center_of_mass()).max() < 1e-6
    charges = {frame.info.get("charge", 0) for frame in frames}
    assert charges == ({0, -1} if mode == "dimers" else {0})


@pytest.mark.parametrize("mode", MODES)
def test_resumes_where_it_was_killed(mode, molecules, tmp_path):
    """With a force that is forbidden, so that some candidates are dropped."""
    structures = [molecules / "CH3CH2OH.extxyz", molecules / "H2O.extxyz"]
    strict = recipe_of(mode, largest_force=3.0)
    (whole, _), (broken, _) = (plan(structures, tmp_path / name, [strict]) for name in ("whole", "broken"))
    for task, frames in ((whole, 8), (broken, 5)):
        task.output.parent.mkdir()
        list(sample(task.structure, task.output, frames, task.recipe, task.partners))
    refused = broken.output.with_name(broken.output.name + ".dropped")
    broken.output.write_bytes(broken.output.read_bytes()[:-100])
    if refused.exists():
        refused.write_bytes(refused.read_bytes()[:-3])
    assert list(sample(broken.structure, broken.output, 8, broken.recipe, broken.partners)) == [5, 6, 7, 8]
    assert contents(broken.output.parent) == contents(whole.output.parent)
    assert mode in ("dimers", "normal-modes") or dropped(whole.output)["absurd"]


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_jobs_and_a_lost_file_change_nothing(molecules, tmp_path):
    recipes = [recipe_of(mode) for mode in ("bonds", "dimers")]
    one, two = (plan(sorted(molecules.iterdir()), tmp_path / name, recipes) for name in ("one", "two"))
    for tasks in (one, two):
        tasks[0].output.parent.mkdir()
    list(sample_all(one, 2))
    one[0].output.unlink()
    list(sample_all(one, 2))
    progress = list(sample_all(two, 2, jobs=2))
    assert not [step.failure for step in progress if step.failure]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(contents(tmp_path / "one")) == 16


def test_seeds_differ(molecules, tmp_path):
    for seed in (1, 2):
        recipe = recipe_of("bonds", seed=seed)
        list(sample(molecules / "H2O.extxyz", tmp_path / f"{seed}.extxyz", 2, recipe))
    assert (tmp_path / "1.extxyz").read_bytes() != (tmp_path / "2.extxyz").read_bytes()


def test_bonds_are_stretched_one_at_a_time():
    """Every bond of ethanol over the whole range, and nothing else changes within either side."""
    ethanol = molecule("CH3CH2OH")
    candidates = bond_candidates(ethanol, still("bonds"))
    before = ethanol.get_all_distances()
    bonds = {}
    for number in range(8 * 16):
        after = candidates(number).atoms.get_all_distances()
        pairs = np.argwhere(np.triu(before < 1.6))
        changed = [(i, j) for i, j in pairs if abs(after[i, j] - before[i, j]) > 1e-9]
        assert len(changed) <= 1
        for i, j in changed:
            bonds.setdefault((i, j), []).append(after[i, j] / covalent_length(*ethanol.numbers[[i, j]]))
    assert len(bonds) == 8
    for lengths in bonds.values():
        assert 0.6 <= min(lengths) < 0.68 and 1.72 < max(lengths) < 1.8
        assert np.diff(np.sort(lengths)).max() < 2.1 * 1.2 / 16


def test_torsions_turn_all_the_way_and_keep_lengths_and_angles():
    butane = molecule("trans-butane")
    candidates = torsion_candidates(butane, still("torsions"))
    bonded = np.argwhere(np.triu(butane.get_all_distances() < 1.6, 1))
    carbons = np.flatnonzero(butane.numbers == 6)
    chain = [a for a in carbons if sum(a in pair for pair in bonded[np.isin(bonded, carbons).all(axis=1)]) == 1]
    ends = {end: next(b for b in carbons if b != end and butane.get_distance(end, b) < 1.6) for end in chain}
    (first, second), (last, third) = ends.items()
    dihedrals = []
    for number in range(3 * 32):
        rotated = candidates(number).atoms
        for i, j in bonded:
            assert rotated.get_distance(i, j) == pytest.approx(butane.get_distance(i, j), abs=1e-9)
        assert rotated.get_angle(first, second, third) == pytest.approx(
            butane.get_angle(first, second, third), abs=1e-6
        )
        dihedrals.append(rotated.get_dihedral(first, second, third, last))
    assert np.histogram(dihedrals, bins=8, range=(0, 360))[0].min() > 3


def test_compression_scales_everything():
    for atoms in (molecule("C6H6"), bulk("C", "diamond", a=3.57)):
        candidates = compressed_candidates(atoms, still("compress"))
        factors = []
        for number in range(16):
            pressed = candidates(number).atoms
            ratio = pressed.get_all_distances() / np.where(np.eye(len(atoms)), 1, atoms.get_all_distances())
            ratios = ratio[~np.eye(len(atoms), dtype=bool)]
            assert np.ptp(ratios) < 1e-9
            assert np.allclose(pressed.cell.array, ratios[0] * atoms.cell.array)
            factors.append(ratios[0])
        assert 0.85 <= min(factors) < 0.87 and 1.08 < max(factors) < 1.1


class Spring(Calculator):
    """Two atoms on a harmonic spring."""

    implemented_properties = ("energy", "forces")
    CONSTANT, LENGTH = 40.0, 0.9

    def calculate(self, atoms=None, properties=(), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        vector = atoms.positions[1] - atoms.positions[0]
        length = np.linalg.norm(vector)
        force = self.CONSTANT * (length - self.LENGTH) * vector / length
        self.results = {
            "energy": 0.5 * self.CONSTANT * (length - self.LENGTH) ** 2,
            "forces": np.stack([force, -force]),
        }


def test_amplitude_of_a_spring():
    """The variance of its length is kT / k, whatever the masses; nothing rotates or moves as a whole."""
    pair = ase.Atoms("HF", [[0.3, 0.1, 0], [0.3, 0.1 + 0.72, 0.54]], calculator=Spring())
    for temperature in (300, 1200):
        (step,) = steps_of(modes_of(pair), temperature).reshape(-1, 2, 3)
        along = (step[1] - step[0]) @ (pair.positions[1] - pair.positions[0]) / 0.9
        assert along**2 == pytest.approx(ase_units.kB * temperature / 40.0, rel=2e-2)
        assert np.abs(pair.get_masses() @ step).max() < 1e-9
        assert np.linalg.norm(np.cross(step[1] - step[0], [0, 0.72, 0.54])) < 1e-6


def test_hessian_against_differences_of_the_energy():
    cluster = ase.Atoms("Cu3", [[0, 0, 0], [2.3, 0.1, 0], [1.2, 2.0, 0.3]], calculator=EMT())
    hessian = hessian_of(cluster)
    assert np.abs(hessian).max() > 5
    step = 0.01

    def energy(**moves):
        moved = cluster.copy()
        moved.calc = EMT()
        for place, by in moves.values():
            moved.positions[divmod(place, 3)] += by
        return moved.get_potential_energy()

    for i, j in [(0, 3), (1, 7), (4, 4), (8, 2)]:
        plus, minus = (energy(a=(i, step), b=(j, s)) - energy(a=(i, -step), b=(j, s)) for s in (step, -step))
        assert hessian[i, j] == pytest.approx((plus - minus) / (4 * step * step), abs=0.02 * np.abs(hessian).max())


@pytest.mark.parametrize("temperature", [200, 800])
def test_energy_of_normal_modes(molecules, tmp_path, temperature):
    """Half of kT in each of water's three modes, as far as they are harmonic."""
    recipe = recipe_of("normal-modes", temperature=temperature)
    list(sample(molecules / "H2O.extxyz", tmp_path / "d.extxyz", 300, recipe))
    energies = [frame.get_potential_energy() for frame in ase.io.read(tmp_path / "d.extxyz", index=":")]
    water = molecule("H2O")
    list(sample(molecules / "H2O.extxyz", tmp_path / "rest.extxyz", 1, recipe_of("normal-modes", temperature=1e-3)))
    rest = ase.io.read(tmp_path / "rest.extxyz").get_potential_energy()
    assert np.mean(energies) - rest == pytest.approx(1.5 * ase_units.kB * temperature, rel=0.2)
    assert {frame.info["temperature_K"] for frame in ase.io.read(tmp_path / "d.extxyz", index=":")} == {temperature}
    assert len(water) == 3


def test_soft_modes_go_no_farther_than_they_may(molecules, tmp_path):
    from transip_md.sampling.teacher import relaxed

    steps = steps_of(modes_of(relaxed(molecule("CH3CH2OH"), still("normal-modes"))), 1500).reshape(-1, 9, 3)
    assert len(steps) == 3 * 9 - 6
    farthest = np.linalg.norm(steps, axis=2).max(axis=1)
    assert farthest.max() == pytest.approx(FARTHEST) and farthest.min() < 0.1


def test_dimers_are_in_contact_or_have_hydrogen_bonds():
    water, ammonia = (Candidate(molecule(name), 0, 1) for name in ("H2O", "NH3"))
    candidates = dimer_candidates(water.atoms, [water, ammonia], still("dimers"))
    contacts, bonds = [], []
    for number in range(128):
        pair = candidates(number).atoms
        assert len(pair) == (6, 7)[number % 2]
        size = {"O": 3, "N": 4}[pair.symbols[0]]
        across = pair.get_all_distances()[:size, size:]
        oxygen_or_nitrogen = np.isin(pair.numbers, (7, 8))
        if number // 2 % 2:
            # The first gives: from one of its hydrogens to the acceptor.
            bonds.append(across[pair.numbers[:size] == 1][:, oxygen_or_nitrogen[size:]].min())
        else:
            contacts.append(across.min())
        # Each molecule is as it was.
        assert pair.get_all_distances()[:size, :size] == pytest.approx(
            (water if size == 3 else ammonia).atoms.get_all_distances(), abs=1e-9
        )
    assert 1.3 < min(bonds) < 1.6 and 2.5 < max(bonds) <= 2.81
    assert min(contacts) < 1.6 and max(contacts) > 3.2
    with pytest.raises(NothingToSampleError, match="no partner without one of the same sign"):
        dimer_candidates(
            water.atoms,
            [Candidate(water.atoms, 1, 1)],
            still("dimers").model_copy(update={"charge": 1}),
        )


def test_hydrogen_bonds_are_straight():
    water, formaldehyde = Candidate(molecule("H2O"), 0, 1), Candidate(molecule("H2CO"), 0, 1)
    assert len(hydrogen_bonds(water.atoms, formaldehyde.atoms)) == 2
    assert not hydrogen_bonds(formaldehyde.atoms, water.atoms)
    candidates = dimer_candidates(water.atoms, [formaldehyde], still("dimers"))
    angles = []
    for number in range(1, 100, 2):
        pair = candidates(number).atoms
        if pair.numbers[0] != 8 or len(pair) != 7 or pair.symbols[3] == "H":
            continue
        oxygen = 3 + int(np.flatnonzero(pair.numbers[3:] == 8)[0])
        hydrogen = min((1, 2), key=lambda atom: pair.get_distance(atom, oxygen))
        angles.append(pair.get_angle(0, hydrogen, oxygen))
    assert len(angles) > 10 and np.median(angles) > 145


def test_like_charges_are_no_partners(molecules, tmp_path):
    structures = sorted(molecules.iterdir())
    for task in plan(structures, tmp_path, [recipe_of("dimers")]):
        list(sample(task.structure, task.output, 5, task.recipe, task.partners))
        for frame in ase.io.read(task.output, index=":"):
            assert frame.info.get("charge", 0) in (0, -1)


def test_what_is_dropped_is_counted(molecules, tmp_path):
    """A pair of atoms, of which most distances are duplicates soon, and forces that are forbidden."""
    pair = tmp_path / "HF.xyz"
    ase.io.write(pair, molecule("HF"), format="extxyz")
    narrow = recipe_of("pair", shortest=0.9, longest=0.91)
    with pytest.raises(FewerFramesError, match=r"HF\.xyz gives \d+ of 50 frames: 100 candidates in a row") as caught:
        list(sample(pair, tmp_path / "d.extxyz", 50, narrow))
    frames = ase.io.read(tmp_path / "d.extxyz", index=":")
    # 0.0088 Angstrom hold no more than 9 distances that are 0.001 apart.
    assert 4 <= len(frames) <= 9
    assert dropped(tmp_path / "d.extxyz")["duplicate"] >= 100
    assert "duplicate" in str(caught.value)
    lengths = np.sort([frame.get_distance(0, 1) for frame in frames])
    assert np.diff(lengths).min() >= 0.001 - 1e-7
    oxygen = atom_pairs([ase.Atoms("O")], [0])["O-O"]
    ase.io.write(tmp_path / "O-O.xyz", oxygen, format="extxyz")
    cold = recipe_of("pair", shortest=0.4, longest=3.0)
    list(sample(tmp_path / "O-O.xyz", tmp_path / "o.extxyz", 10, cold.model_copy(update={"largest_force": 20.0})))
    counts = dropped(tmp_path / "o.extxyz")
    assert counts["absurd"] >= 1
    assert np.abs([f.get_forces() for f in ase.io.read(tmp_path / "o.extxyz", index=":")]).max() <= 20.0
    lines = (tmp_path / "o.extxyz.dropped").read_text().splitlines()
    assert len(lines) == sum(counts.values()) and all(len(line.split("\t")) == 3 for line in lines)
    assert dropped(tmp_path / "none.extxyz") == {}


def test_unconverged_labels_are_dropped(molecules, tmp_path, monkeypatch):
    """A teacher of too few iterations."""
    from transip_md.sampling import labels

    real = labels.teacher_calculator

    def hasty(recipe):
        calculator = real(recipe)
        hasty.calls += 1
        if hasty.calls % 2:
            calculator.set(max_iterations=2)
        return calculator

    hasty.calls = 0
    monkeypatch.setattr(labels, "teacher_calculator", hasty)
    list(sample(molecules / "H2O.extxyz", tmp_path / "d.extxyz", 3, recipe_of("bonds")))
    assert dropped(tmp_path / "d.extxyz") == {"unconverged": 3}
    assert [frame.info["candidate"] for frame in ase.io.read(tmp_path / "d.extxyz", index=":")] == [1, 3, 5]


def test_clashes_are_dropped(molecules, tmp_path):
    list(sample(molecules / "CH3CH2OH.extxyz", tmp_path / "d.extxyz", 40, recipe_of("bonds", shortest=0.7, longest=4)))
    for frame in ase.io.read(tmp_path / "d.extxyz", index=":"):
        distances = frame.get_all_distances()
        for i, j in zip(*np.triu_indices(9, 1), strict=True):
            assert distances[i, j] > 0.5 * covalent_length(*frame.numbers[[i, j]])


def test_dynamics_stops_at_dissociation(tmp_path, monkeypatch):
    """Hydrogen peroxide far too hot: no frame with a broken bond, the same over interruptions."""
    structure = tmp_path / "H2O2.extxyz"
    ase.io.write(structure, molecule("H2O2"))
    recipe = SamplingRecipe(
        teacher="gfn2-xtb", temperature=9000, seed=2, stride=50, equilibration=20, stop_at_dissociation=True
    )
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    list(sample(structure, tmp_path / "whole/d.extxyz", 6, recipe))
    frames = ase.io.read(tmp_path / "whole/d.extxyz", index=":")
    assert max(frame.get_distance(0, 1) for frame in frames) < 1.5 * covalent_length(8, 8)
    refused = (tmp_path / "whole/d.extxyz.dropped").read_text().splitlines()
    counts = dropped(tmp_path / "whole/d.extxyz")
    assert counts["dissociated"] and counts.total() == len(refused)
    broken = tmp_path / "broken/d.extxyz"
    last = int(refused[-1].split("\t")[0])
    for frames in (1, max(1, last), 6):
        list(sample(structure, broken, frames, recipe))
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    monkeypatch.setattr("transip_md.sampling.langevin.MOST_BREAKS", 4)
    with pytest.raises(FewerFramesError, match="dynamics at 100000 K stops each of 4 times"):
        list(sample(structure, tmp_path / "d.extxyz", 1, recipe.model_copy(update={"temperature": 100000.0})))


def test_older_recipes_go_on(molecules, tmp_path):
    """What dynamics wrote before there were other modes."""
    recipe = SamplingRecipe(teacher="gfn2-xtb", temperature=300, seed=1, equilibration=2, stride=2)
    list(sample(molecules / "H2O.extxyz", tmp_path / "d.extxyz", 1, recipe))
    stored = json.loads((tmp_path / "d.extxyz.recipe.json").read_text())
    assert set(stored) == {
        "teacher", "temperature", "seed", "timestep", "stride", "friction", "equilibration", "charge", "multiplicity",
        "structure_sha256",
    }  # fmt: skip
    list(sample(molecules / "H2O.extxyz", tmp_path / "b.extxyz", 1, recipe_of("bonds")))
    assert json.loads((tmp_path / "b.extxyz.recipe.json").read_text())["mode"] == "bonds"
    with pytest.raises(UsageError, match="not sampled with this recipe"):
        list(sample(molecules / "H2O.extxyz", tmp_path / "b.extxyz", 1, recipe_of("compress")))


def test_command_of_several_modes(molecules, tmp_path, capsys):
    (molecules / "CH3CH2OH.extxyz").unlink()
    sampling_commands.sample(
        tmp_path / "out", 3, [molecules], normal_modes=[300.0, 600.0], scan=["bonds", "torsions"],
        dimers=["molecules", "atoms"], compress=True, temperature=[200.0], charge=None, stride=1,
    )  # fmt: skip
    files = {path.name for path in (tmp_path / "out").glob("*.extxyz")}
    per_molecule = {"200K", "modes_300K", "modes_600K", "bonds", "dimers", "compressed"}
    wanted = {f"{name}_{mode}.extxyz" for name in ("CH3O", "H2O", "NH3") for mode in per_molecule}
    pairs = {f"{pair}_pair.extxyz" for pair in ("H-H", "H-C", "H-N", "H-O", "C-C", "C-N", "C-O", "N-N", "N-O", "O-O")}
    assert files == wanted | pairs
    said = " ".join(capsys.readouterr().out.split())
    assert "no bond to rotate about" in said
    assert "31 files of 3 frames, 3 of them with fewer" in said
    for name in files:
        assert len(ase.io.read(tmp_path / "out" / name, index=":")) == 3
    assert ase.io.read(tmp_path / "out/H-C_pair.extxyz").info["multiplicity"] == 2
    assert ase.io.read(tmp_path / "out/H2O_bonds.extxyz").info["electronic_temperature_K"] == 3000
    assert "electronic_temperature_K" not in ase.io.read(tmp_path / "out/H2O_dimers.extxyz").info


def test_range_of_a_scan(molecules, tmp_path):
    """The command's range of lengths is that of scanned bonds, and nothing to the other modes."""
    ethanol = [molecules / "CH3CH2OH.extxyz"]
    same = {"scan": ["bonds"], "normal_modes": [300.0], "shortest": 0.7, "longest": 0.8}
    sampling_commands.sample(tmp_path / "out", 9, ethanol, **same)
    recipes = {
        mode: json.loads((tmp_path / f"out/CH3CH2OH_{mode}.extxyz.recipe.json").read_text())
        for mode in ("bonds", "modes_300K")
    }
    assert (recipes["bonds"]["shortest"], recipes["bonds"]["longest"]) == (0.7, 0.8)
    assert not {"shortest", "longest"} & recipes["modes_300K"].keys()
    with pytest.raises(UsageError, match=r"shortest must be below longest, got 0\.9 and 0\.8"):
        sampling_commands.sample(tmp_path / "other", 9, ethanol, **{**same, "shortest": 0.9})


def test_one_file_of_a_mode(molecules, tmp_path):
    water = molecules / "H2O.extxyz"
    sampling_commands.sample(tmp_path / "d.extxyz", 2, [water], dimers=["molecules"])
    assert [len(frame) for frame in ase.io.read(tmp_path / "d.extxyz", index=":")] == [6, 6]
    with pytest.raises(NothingToSampleError, match=r"H2O\.extxyz gives 0 of 2 frames: it has no bond to rotate about"):
        sampling_commands.sample(tmp_path / "e.extxyz", 2, [water], scan=["torsions"])
    with pytest.raises(CheckFailedError, match="No file has a frame"):
        sampling_commands.sample(tmp_path / "out", 2, [water], scan=["torsions"])
    with pytest.raises(UsageError, match="1 structures at 2 modes or temperatures: type `-o"):
        sampling_commands.sample(tmp_path / "d.extxyz", 2, [water], scan=["torsions", "bonds"])
    with pytest.raises(UsageError, match="electronic_temperature: "):
        sampling_commands.sample(tmp_path / "out", 2, [water], scan=["bonds"], electronic_temperature=-5.0)


def test_charge_states(tmp_path):
    """Several charges of a structure, each with the lowest multiplicity."""
    ase.io.write(tmp_path / "water.xyz", molecule("H2O"))
    sampling_commands.sample(
        tmp_path / "out", 1, [tmp_path / "water.xyz"], charge=[-1, 0, 1], multiplicity=0, compress=True
    )
    for charge, multiplicity in ((-1, 2), (0, 1), (1, 2)):
        frame = ase.io.read(tmp_path / f"out/water_charge{charge}_compressed.extxyz")
        assert (frame.info.get("charge", 0), frame.info.get("multiplicity", 1)) == (charge, multiplicity)


def test_pairs_of_atoms_take_a_charge_that_closes_the_shell():
    pairs = atom_pairs([molecule("CH3CH2OH")], [0, 1])
    states = {name: (atoms.info["charge"], atoms.info["multiplicity"]) for name, atoms in pairs.items()}
    assert states == {
        "H-H": (0, 1), "H-C": (1, 1), "H-O": (1, 1), "C-C": (0, 1), "C-O": (0, 1), "O-O": (0, 1),
    }  # fmt: skip


def test_conformers(tmp_path):
    pytest.importorskip("rdkit", reason="RDKit is not installed (pip install rdkit)")
    from transip_md.sampling.smiles import conformers, embed

    assert len(conformers("C", 0, 5)) == 1
    found = conformers("CCCC", 0, 5)
    assert 2 <= len(found) <= 3
    assert np.array_equal(found[0].positions, embed("CCCC", 0).positions)
    ends = sorted(atoms.get_distance(0, 3) for atoms in found)
    # Gauche, 3.1 Angstrom from end to end, and anti, 3.9.
    assert ends[0] < 3.4 and ends[-1] > 3.7
    sampling_commands.sample(tmp_path, 1, smiles=["CCCC"], conformers=2, compress=True)
    assert {path.stem for path in tmp_path.glob("*.extxyz")} == {"CCCC_compressed", "CCCC_c1_compressed"}
