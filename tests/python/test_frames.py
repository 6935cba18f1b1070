import os
import pickle
import sys

import ase
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from torch.utils.data import DataLoader

from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.data import aselmdb
from transip_md.data.frames import fit_references, open_frames, survey


def labelled(symbols="OH2", seed=0, *, energy=None, forces=None, positions=None, **options) -> ase.Atoms:
    """A structure with random places and labels, those given excepted."""
    rng = np.random.default_rng(seed)
    atoms = ase.Atoms(symbols, **options)
    atoms.positions = rng.uniform(0, 8, (len(atoms), 3)) if positions is None else positions
    forces = rng.normal(size=(len(atoms), 3)) if forces is None else forces
    atoms.calc = SinglePointCalculator(atoms, energy=rng.normal() if energy is None else energy, forces=forces)
    return atoms


def without(atoms: ase.Atoms, label: str) -> ase.Atoms:
    del atoms.calc.results[label]
    return atoms


def write_database(path, rows, delete=()):
    """Write (structure, data) rows as OMol25 lays them out."""
    backend = pytest.importorskip("ase_db_backends.aselmdb")
    database = backend.LMDBDatabase(path)
    for atoms, data in rows:
        database.write(atoms, data=data)
    database.delete(list(delete))
    database.close()
    return path


@pytest.fixture
def omol(tmp_path):
    """A folder of two shards, one with a gap in its ids, and the structures in order."""
    folder = tmp_path / "omol"
    folder.mkdir()
    atoms = [labelled(symbols, seed) for seed, symbols in enumerate(["OH2", "CH4", "NH3", "CO", "C2H6", "HCl"])]
    data = [{"charge": index - 2, "spin": index % 3 + 1, "source": "test"} for index in range(6)]
    rows = list(zip(atoms, data, strict=True))
    write_database(folder / "data0000.aselmdb", [*rows[:2], (labelled("Ar"), {}), *rows[2:4]], delete=[3])
    write_database(folder / "data0001.aselmdb", rows[4:])
    return folder, atoms


def assert_same(frame, atoms):
    assert np.array_equal(frame.numbers, atoms.numbers) and frame.numbers.dtype == np.int64
    assert np.array_equal(frame.positions, atoms.positions)
    assert np.array_equal(frame.cell, atoms.cell.array) and frame.cell.dtype == np.float64
    assert np.array_equal(frame.periodic, atoms.pbc)
    assert frame.energy == atoms.calc.results["energy"]
    assert np.array_equal(frame.forces, atoms.calc.results["forces"])


def test_database_in_worker_processes(omol):
    folder, atoms = omol
    frames = open_frames([folder])
    assert frames[0].charge == -2  # the file is open in this process when the workers start
    loader = DataLoader(frames, batch_size=2, num_workers=2, collate_fn=list, multiprocessing_context="fork")
    for _ in range(2):
        read = [frame for batch in loader for frame in batch]
        assert len(read) == len(frames) == 6
        for index, frame in enumerate(read):
            assert_same(frame, atoms[index])
            assert (frame.charge, frame.multiplicity) == (index - 2, index % 3 + 1)
    assert_same(frames[5], atoms[5])


def test_frames_are_pickled_without_handles(omol):
    frames = open_frames([omol[0]])
    pickled = pickle.dumps(frames)
    assert pickle.loads(pickled)[3].energy == frames[3].energy  # beside the first
    del frames
    aselmdb.close_databases()
    copy = pickle.loads(pickled)  # alone, as in another process
    assert [frame.energy for frame in copy] == [atoms.calc.results["energy"] for atoms in omol[1]]


def test_one_file_may_be_in_two_sets(omol):
    shard = omol[0] / "data0001.aselmdb"
    assert open_frames([shard])[0].energy == open_frames([omol[0]])[4].energy == omol[1][4].calc.results["energy"]


def test_atom_counts(omol, monkeypatch):
    folder, atoms = omol
    counts = [len(frame) for frame in atoms]
    assert open_frames([folder]).atom_counts().tolist() == counts
    np.savez(folder / "metadata.npz", natoms=np.arange(10, 16))
    frames = open_frames([folder])
    monkeypatch.setattr(aselmdb.Shard, "_row", None)  # nothing is read any more
    assert frames.atom_counts().tolist() == list(range(10, 16)) and frames.atom_counts().dtype == np.int64
    monkeypatch.undo()
    # One shard of several: the numbers beside it count other rows.
    shard = folder / "data0001.aselmdb"
    assert open_frames([shard]).atom_counts().tolist() == counts[4:]
    np.savez(folder / "metadata.npz", natoms=[30, 40])
    assert open_frames([shard]).atom_counts().tolist() == [30, 40]


def test_labels_in_the_data_of_a_row(tmp_path):
    forces = np.random.default_rng(1).normal(size=(2, 3))
    atoms = ase.Atoms("CO", [[0, 0, 0], [0, 0, 1.1]])
    path = write_database(tmp_path / "a.aselmdb", [(atoms, {"energy": -3.25, "forces": forces})])
    frame = open_frames([path], charge=1, multiplicity=2)[0]
    assert frame.energy == -3.25 and np.array_equal(frame.forces, forces)
    assert (frame.charge, frame.multiplicity) == (1, 2)


def test_charge_of_a_row_without_data(tmp_path):
    charged = labelled("CO", charges=[0.25, -1.25])
    path = write_database(tmp_path / "a.aselmdb", [(charged, {}), (charged, {"charge": 2})])
    assert [frame.charge for frame in open_frames([path], charge=1)] == [-1, 2]


def test_extended_xyz(tmp_path):
    first, second, third = labelled(), labelled("CH4", 1), labelled("NH3", 2)
    first.info = {"charge": -1, "spin": 2}
    second.info = {"charge": 1.0, "multiplicity": 3}
    ase.io.write(tmp_path / "a.extxyz.xz", [first, second])
    ase.io.write(tmp_path / "b.extxyz", third)
    frames = open_frames([tmp_path / "a.extxyz.xz", tmp_path / "b.extxyz"], species=(1, 6, 7, 8), charge=4)
    assert len(frames) == 3 and not frames.periodic
    assert [(frame.charge, frame.multiplicity) for frame in frames] == [(-1, 2), (1, 3), (4, 1)]
    assert frames.atom_counts().tolist() == [3, 5, 4]
    for frame, atoms in zip(frames, [first, second, third], strict=True):
        assert np.allclose(frame.positions, atoms.positions, atol=1e-8, rtol=0)
        assert np.allclose(frame.forces, atoms.calc.results["forces"], atol=1e-8, rtol=0)
        assert frame.energy == pytest.approx(atoms.calc.results["energy"], abs=1e-12)
        assert frame.positions.dtype == frame.forces.dtype == np.float64 and type(frame.energy) is float
    assert frames.location(2) == f"{tmp_path / 'b.extxyz'}, frame 0"


def test_forces_on_fixed_atoms_are_kept(tmp_path):
    (tmp_path / "a.extxyz").write_text(
        "2\nProperties=species:S:1:pos:R:3:forces:R:3:move_mask:L:1 energy=-1\nC 0 0 0 1 2 3 F\nO 0 0 1 -1 -2 -3 T\n"
    )
    assert ase.io.read(tmp_path / "a.extxyz").get_forces()[0].tolist() == [0, 0, 0]
    assert open_frames([tmp_path / "a.extxyz"])[0].forces.tolist() == [[1, 2, 3], [-1, -2, -3]]


def test_databases_and_files_in_one_set(omol, tmp_path):
    ase.io.write(tmp_path / "a.extxyz", labelled("Ar", 9))
    frames = open_frames([tmp_path / "a.extxyz", omol[0]])
    assert frames.atom_counts().tolist() == [1, *[len(atoms) for atoms in omol[1]]]
    assert_same(frames[6], omol[1][5])
    for index in (-1, 7):
        with pytest.raises(IndexError, match=f"There is no frame {index} among 7"):
            frames[index]


def test_periodic_frames(tmp_path):
    cell = [[9, 0, 0], [1, 8, 0], [0, 2, 7]]
    box = labelled("OH2", cell=cell, pbc=True)
    ase.io.write(tmp_path / "a.extxyz", box)
    path = write_database(tmp_path / "a.aselmdb", [(box, {})])
    for frames in (open_frames([tmp_path / "a.extxyz"]), open_frames([path])):
        assert frames.periodic
        assert frames[0].cell.tolist() == cell and frames[0].periodic.tolist() == [True] * 3
    # The cell of a molecule means nothing.
    molecule = write_database(tmp_path / "b.aselmdb", [(labelled("OH2", cell=cell), {})])
    assert not open_frames([molecule])[0].cell.any()


nan, inf = float("nan"), float("inf")
flat = {"cell": [[4, 0, 0], [8, 0, 0], [0, 0, 4]], "pbc": True}
no_height = {"cell": [4, 4, 0], "pbc": True}
# The bad structure, what `open_frames` is told, what it answers after the file and the frame.
BAD_FRAMES = {
    "no energy": (lambda: without(labelled(), "energy"), {}, " has no energy. Expected the total energy in eV"),
    "no forces": (
        lambda: without(labelled(), "forces"),
        {},
        " has no forces. Expected three components in eV/Angstrom",
    ),
    "nan energy": (lambda: labelled(energy=nan), {}, ": energy of nan, expected finite"),
    "infinite forces": (lambda: labelled(forces=[[0, 0, -inf]] * 3), {}, ": forces of -inf, expected finite"),
    "nan positions": (lambda: labelled(positions=[[nan, 0, 0]] * 3), {}, ": positions of nan, expected finite"),
    "nan cell": (lambda: labelled(cell=[nan, 4, 4], pbc=True), {}, ": cell of nan, expected finite"),
    "element": (lambda: labelled("HCl"), {"species": (1, 6, 8)}, " has the element Cl, expected only H, C, O. Leave"),
    "no height": (lambda: labelled(**no_height), {}, " is periodic along c, but that cell vector is zero"),
    "flat cell": (
        lambda: labelled(**flat),
        {},
        ": the cell vectors [[4.0, 0.0, 0.0], [8.0, 0.0, 0.0], [0.0, 0.0, 4.0]]",
    ),
}
BAD_LABELS = {
    "two components": ({"forces": np.zeros((3, 2))}, "R:2", ": forces of shape (3, 2), expected (3, 3)"),
    "two energies": ({"energy": np.zeros(2)}, "R:3", ": energy of shape (2,), expected ()"),
    "energy in words": ({"energy": "low"}, "R:3", ": energy 'low' is not a number. Expected the total energy in eV"),
}
BAD_INFO = {
    "half a charge": ({"charge": 0.5}, ": charge 0.5, expected an integer."),
    "no multiplicity": ({"spin": 0}, ": spin 0, expected an integer of at least 1."),
}


def assert_refused(path, frame, message, *, lazy, options=None):
    """The message begins with the place; on disk, only the frame itself is refused."""
    if lazy:
        frames = open_frames([path], **(options or {}))
        assert frames[0].multiplicity == 1
    with pytest.raises(UsageError) as caught:
        frames[1] if lazy else open_frames([path], **(options or {}))
    assert str(caught.value).startswith(f"{path}, frame {frame}{message}")


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frame_in_a_database(tmp_path, name):
    make, options, message = BAD_FRAMES[name]
    bad = make()
    good = labelled(cell=[4, 4, 4] if bad.pbc.any() else None, pbc=bad.pbc)
    # ase drops the labels of a structure that is not equal to itself; those in the data stay.
    rows = [(good, {}), (good, {}), (bad, bad.calc.results)]
    path = write_database(tmp_path / "a.aselmdb", rows, delete=[1])
    assert_refused(path, "1 (row id 3)", message, lazy=True, options=options)
    path = write_database(tmp_path / "b.aselmdb", rows[2:])
    assert_refused(path, "0 (row id 1)", message, lazy=False, options=options)


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frame_in_a_file(tmp_path, name):
    make, options, message = BAD_FRAMES[name]
    bad = make()
    good = labelled(cell=[4, 4, 4] if bad.pbc.any() else None, pbc=bad.pbc)
    ase.io.write(tmp_path / "a.extxyz", [good, good, bad, bad])
    assert_refused(tmp_path / "a.extxyz", 2, message, lazy=False, options=options)


@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_labels(tmp_path, name):
    labels, columns, message = BAD_LABELS[name]
    path = write_database(tmp_path / "a.aselmdb", [(labelled(), {}), (labelled(**labels), {})])
    assert_refused(path, "1 (row id 2)", message, lazy=True)
    energy = {"two energies": '"0 0"', "energy in words": "low"}.get(name, "1")
    atom = "O 0 0 {height}" + " 0" * int(columns[-1]) + "\n"
    path = tmp_path / "a.extxyz"
    path.write_text(
        f"3\nProperties=species:S:1:pos:R:3:forces:{columns} energy={energy}\n"
        + "".join(atom.format(height=height) for height in range(3))
    )
    assert_refused(path, 0, message, lazy=False)


@pytest.mark.parametrize("name", BAD_INFO)
def test_bad_charge_or_multiplicity(tmp_path, name):
    info, message = BAD_INFO[name]
    path = write_database(tmp_path / "a.aselmdb", [(labelled(), {}), (labelled(), info)])
    assert_refused(path, "1 (row id 2)", message, lazy=True)
    bad = labelled()
    bad.info = info
    ase.io.write(tmp_path / "a.extxyz", [labelled(), bad])
    assert_refused(tmp_path / "a.extxyz", 1, message, lazy=False)


def test_frames_without_atoms(tmp_path):
    path = write_database(tmp_path / "a.aselmdb", [(labelled(), {}), (ase.Atoms(), {"energy": 0.0})])
    assert_refused(path, "1 (row id 2)", " holds no atoms", lazy=True)
    (tmp_path / "a.extxyz").write_text("0\nProperties=species:S:1:pos:R:3:forces:R:3 energy=0\n")
    with pytest.raises(UsageError, match=r"a\.extxyz.* holds no atoms"):
        open_frames([tmp_path / "a.extxyz"])


def test_mixed_periodicity(tmp_path):
    molecule, box = labelled(), labelled(cell=[9, 9, 9], pbc=True)
    path = tmp_path / "a.extxyz"
    ase.io.write(path, [molecule, molecule, box, molecule])
    assert_refused(path, 2, f" is periodic, but {path}, frame 0 is not.", lazy=False)
    path = write_database(tmp_path / "a.aselmdb", [(box, {}), (molecule, {})])
    assert_refused(path, "1 (row id 2)", f" is not periodic, but {path}, frame 0 (row id 1) is.", lazy=True)
    # The first frame of every database is looked at when it is opened.
    single = tmp_path / "b.extxyz"
    ase.io.write(single, molecule)
    with pytest.raises(UsageError) as caught:
        open_frames([single, path])
    assert f"{path}, frame 0 (row id 1) is periodic, but {single}, frame 0 is not" in str(caught.value)


def test_no_frames(tmp_path):
    empty = write_database(tmp_path / "a.aselmdb", [(labelled(), {})], delete=[1])
    for paths in ([], [empty]):
        with pytest.raises(UsageError, match="There are no labelled frames"):
            open_frames(paths)
    full = write_database(tmp_path / "b.aselmdb", [(labelled(), {})])
    assert len(open_frames([empty, full])) == 1


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(UsageError, match=r"No such structure file: .*none\.extxyz"):
        open_frames([tmp_path / "none.extxyz"])
    with pytest.raises(UsageError, match=r"No such database: .*none\.aselmdb"):
        open_frames([tmp_path / "none.aselmdb"])
    with pytest.raises(UsageError, match=r"The folder .* holds no \.aselmdb files"):
        open_frames([tmp_path])
    junk = tmp_path / "junk.aselmdb"
    junk.write_text("version https://git-lfs.github.com/spec/v1\n" * 500)
    with pytest.raises(UsageError, match=r"junk\.aselmdb could not be opened: .* Expected an LMDB database"):
        open_frames([junk])
    cut = write_database(tmp_path / "cut.aselmdb", [(labelled(seed=seed), {}) for seed in range(20)])
    size = cut.stat().st_size
    os.truncate(cut, size // 2)
    with pytest.raises(UsageError, match=rf"cut\.aselmdb is truncated: {size // 2} bytes, expected at least {size}"):
        open_frames([cut])


def test_damaged_row(tmp_path):
    lmdb = pytest.importorskip("lmdb")
    path = write_database(tmp_path / "a.aselmdb", [(labelled(), {}), (labelled(), {})])
    with lmdb.open(str(path), subdir=False) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"2", b"not compressed")
    frames = open_frames([path])
    for read in (lambda: frames[1], frames.atom_counts):
        with pytest.raises(UsageError, match=r"a\.aselmdb, frame 1 \(row id 2\) could not be read"):
            read()


def test_missing_packages(omol, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ase_db_backends", None)
    with pytest.raises(EnvironmentFaultError, match=r"pip install 'transip-md\[train\]'"):
        open_frames([omol[0]])
    ase.io.write(tmp_path / "a.extxyz", labelled(cell=[9, 9, 9], pbc=True))
    monkeypatch.setitem(sys.modules, "vesin", None)
    with pytest.raises(EnvironmentFaultError, match=r"pip install 'transip-md\[train\]'"):
        survey(open_frames([tmp_path / "a.extxyz"]))


def test_survey(tmp_path):
    rows = [
        labelled("CO", positions=[[0, 0, 0], [0, 0, 1.5]], forces=[[3, 0, 0], [0, 4, 0]]),
        labelled("H", positions=[[1, 1, 1]], forces=[[0, 0, 2]]),
        labelled("OH2", positions=[[0, 0, 0], [0, 0.75, 0], [2, 0, 0]], forces=np.zeros((3, 3))),
    ]
    info = [{"charge": -2, "spin": 1}, {"charge": 0, "spin": 4}, {"charge": 1, "spin": 2}]
    path = write_database(tmp_path / "a.aselmdb", list(zip(rows, info, strict=True)))
    frames = open_frames([path])
    found = survey(frames)
    assert (found.frames, found.species, found.charge, found.multiplicity) == (3, (1, 6, 8), (-2, 1), (1, 4))
    assert found.force_scale == pytest.approx(np.sqrt((9 + 16 + 4) / 18), rel=1e-14)
    assert found.closest_pair == 0.75
    some = survey(frames, rows=np.array([1, 0]))
    assert (some.frames, some.species, some.charge, some.multiplicity) == (2, (1, 6, 8), (-2, 0), (1, 4))
    assert some.force_scale == pytest.approx(np.sqrt(29 / 9), rel=1e-14)
    assert some.closest_pair == 1.5
    assert survey(frames, rows=np.array([1])).closest_pair == inf
    with pytest.raises(UsageError, match="No frames were chosen"):
        survey(frames, rows=np.array([], dtype=int))


def test_survey_of_a_sample(tmp_path):
    path = tmp_path / "a.extxyz"
    ase.io.write(path, [labelled("H", forces=[[index, 0, 0]]) for index in range(50)])
    frames = open_frames([path])
    scales = {survey(frames, rows=np.arange(10, 40), limit=3, seed=seed).force_scale for seed in range(20)}
    assert len(scales) > 10
    assert survey(frames, limit=3, seed=4) == survey(frames, limit=3, seed=4)
    assert survey(frames, limit=3).frames == 3
    # All rows given but one, none of them twice: its square is what the sum of squares lacks.
    squares = np.arange(10, 40) ** 2
    missing = squares.sum() - 3 * 29 * survey(frames, rows=np.arange(10, 40), limit=29).force_scale ** 2
    assert np.abs(squares - missing).min() < 1e-6


@pytest.mark.parametrize(
    ("atoms", "closest"),
    [
        (labelled("CO", positions=[[0.3, 1, 1], [9.7, 1, 1]], cell=[10, 10, 10], pbc=True), 0.6),
        (labelled("CO", positions=[[0.3, 1, 1], [9.7, 1, 1]], cell=[10, 10, 10], pbc=[False, True, True]), 9.4),
        (labelled("Ar", positions=[[0, 0, 0]], cell=[[8, 0, 0], [6, 2, 0], [0, 0, 9]], pbc=True), np.sqrt(8)),
        (labelled("Ar", positions=[[0, 0, 0]], cell=[30, 20, 40], pbc=True), 20.0),
        (labelled("CO", positions=[[0, 0, 0], [26, 0, 0.5]], cell=[5, 0, 0], pbc=[True, False, False]), np.sqrt(1.25)),
    ],
    ids=["through the boundary", "no boundary there", "own image in a skewed cell", "far images", "one axis"],
)
def test_closest_pair_of_periodic_frames(tmp_path, atoms, closest):
    pytest.importorskip("vesin")
    ase.io.write(tmp_path / "a.traj", atoms)
    assert survey(open_frames([tmp_path / "a.traj"])).closest_pair == pytest.approx(closest, abs=1e-12)


def compounds(count, seed):
    """Structures whose energies are those of their elements, eV."""
    rng = np.random.default_rng(seed)
    elements = {1: -13.6, 6: -1027.25, 8: -2041.75}
    frames = []
    for _ in range(count):
        numbers = rng.choice(list(elements), rng.integers(1, 12))
        frames.append(labelled(numbers, energy=sum(elements[z] for z in numbers)))
    return frames


def test_references_are_the_elements_energies(tmp_path):
    ase.io.write(tmp_path / "a.traj", compounds(60, 0))
    frames = open_frames([tmp_path / "a.traj"])
    assert np.allclose(fit_references(frames, (8, 1, 6)), [-2041.75, -13.6, -1027.25], atol=1e-8, rtol=0)
    assert np.allclose(fit_references(frames, (1, 6, 8), limit=20), [-13.6, -1027.25, -2041.75], atol=1e-8, rtol=0)
    with pytest.raises(UsageError, match=r"a\.traj, frame \d+ has the element O, expected only H, C"):
        fit_references(frames, (1, 6))


def test_references_of_some_rows(tmp_path):
    wrong = labelled("H", energy=100.0)
    ase.io.write(tmp_path / "a.traj", [wrong, *compounds(40, 1), wrong])
    frames = open_frames([tmp_path / "a.traj"])
    references = fit_references(frames, (1, 6, 8), rows=np.arange(1, 41))
    assert np.allclose(references, [-13.6, -1027.25, -2041.75], atol=1e-8, rtol=0)
    assert abs(fit_references(frames, (1, 6, 8))[0] + 13.6) > 0.1


def test_references_of_least_norm(tmp_path):
    ase.io.write(tmp_path / "a.traj", [labelled("OH2", seed, energy=-10.0) for seed in range(3)])
    frames = open_frames([tmp_path / "a.traj"])
    # -10 = 2 h + o is shortest along (2, 1); an element that does not occur gets nothing.
    assert np.allclose(fit_references(frames, (1, 6, 8)), [-4.0, 0.0, -2.0], atol=1e-12)


def test_references_of_a_rare_element(tmp_path):
    energies = {"H1500": -13.6 * 1500, "CH1500": -13.6 * 1500 - 1027.25}
    ase.io.write(tmp_path / "a.traj", [labelled(symbols, energy=energy) for symbols, energy in energies.items()])
    assert np.allclose(fit_references(open_frames([tmp_path / "a.traj"]), (1, 6)), [-13.6, -1027.25], atol=1e-8, rtol=0)
