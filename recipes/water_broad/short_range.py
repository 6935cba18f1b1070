"""Label what PBE0 frames of a liquid do not hold: bonds far from rest, molecules and atoms alone.

`python short_range.py FOLDER` reads FOLDER/train.extxyz and writes FOLDER/short_range.extxyz, of four kinds, all of
water and drawn by a fixed seed. Labels are GFN2-xTB's (tblite) with electrons at 3,000 K:

- `liquid`: two distant molecules of a PBE0 frame have a bond at 0.5 to 1.9 covalent lengths. Energy and forces are the
  frame's PBE0 ones plus what GFN2-xTB says that the change makes, in a cluster of the molecules within 5 Angstrom;
- `cluster`: one to six neighbouring molecules alone, rattled, every second time with a bond as above, or drawn
  together or apart;
- `fragment`: an atom, its five nearest and one that stands up to 5 Angstrom away, alone;
- `pair`: two bare atoms, 0.4 to 3 covalent lengths apart.

Energies of the last three are GFN2-xTB's plus an offset for each element: that of hydrogen makes the atom's energy
PBE0's, that of oxygen is the mean difference of six PBE0 frames.
"""

from __future__ import annotations

import sys
from multiprocessing import Pool
from pathlib import Path

import ase
import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from tblite.ase import TBLite

from transip_md.data.bonds import covalent_length

FRAMES = {"liquid": 130, "cluster": 260, "fragment": 130, "pair": 150}
#: Of the hydrogen atom by PBE0, eV: -0.50130 hartree.
HYDROGEN = -13.641
#: Temperature of the teacher's electrons, K, so that its field converges while a bond breaks.
ELECTRONS = 3000.0
#: Forces above this are not learned, eV/Angstrom.
LARGEST_FORCE = 60.0
#: Of structures that are alone, Angstrom: wider than two cutoffs and they themselves.
BOX = 24.0
#: In FOLDER/train.extxyz.
TRAINING_FRAMES = 360
#: Of bonds, in covalent lengths.
SHORTEST, LONGEST = 0.5, 1.9


def teacher(atoms: ase.Atoms) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Angstrom) by GFN2-xTB in the lowest multiplicity."""
    odd = int(atoms.numbers.sum()) % 2
    atoms = atoms.copy()
    atoms.calc = TBLite(method="GFN2-xTB", multiplicity=1 + odd, electronic_temperature=ELECTRONS, verbosity=0)
    return atoms.get_potential_energy(), atoms.get_forces()


def molecules_of(atoms: ase.Atoms) -> np.ndarray:
    """Atoms of each molecule, oxygen first, [molecules,3]."""
    oxygens, hydrogens = np.flatnonzero(atoms.numbers == 8), np.flatnonzero(atoms.numbers == 1)
    owner = np.array([oxygens[np.argmin(atoms.get_distances(h, oxygens, mic=True))] for h in hydrogens])
    return np.array([[o, *hydrogens[owner == o]] for o in oxygens])


def cut_out(atoms: ase.Atoms, molecules: np.ndarray, centre: int) -> ase.Atoms:
    """Molecules alone and whole, around the first atom of molecule `centre`."""
    origin = molecules[centre, 0]
    rows = [row for molecule in molecules for row in molecule]
    positions = []
    for molecule in molecules:
        oxygen = atoms.get_distances(origin, [molecule[0]], mic=True, vector=True)[0]
        positions += [oxygen, *(oxygen + atoms.get_distances(molecule[0], molecule[1:], mic=True, vector=True))]
    return ase.Atoms(atoms.numbers[rows], positions)


def near(atoms: ase.Atoms, molecules: np.ndarray, centre: int, reach: float) -> np.ndarray:
    """Molecules whose oxygen is within reach of another's, that one first."""
    distances = atoms.get_distances(molecules[centre, 0], molecules[:, 0], mic=True)
    order = np.argsort(distances)
    return order[distances[order] <= reach]


def with_a_bond(cluster: ase.Atoms, rng: np.random.Generator) -> ase.Atoms:
    """The cluster with one bond of its first molecule at another length."""
    changed = cluster.copy()
    length = covalent_length(8, 1) * rng.uniform(SHORTEST, LONGEST)
    changed.set_distance(0, 1 + int(rng.integers(2)), length, fix=0)
    return changed


def labelled(atoms: ase.Atoms, energy: float, forces: np.ndarray, kind: str) -> ase.Atoms | None:
    """The frame to write, in a box of its own if it is not periodic; None if a force is absurd."""
    if not np.isfinite(energy) or np.linalg.norm(forces, axis=1).max() > LARGEST_FORCE:
        return None
    frame = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell if atoms.pbc.all() else [BOX] * 3, pbc=True)
    frame.info["kind"] = kind
    frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces)
    return frame


def liquid(frame: ase.Atoms, rng: np.random.Generator) -> tuple[ase.Atoms, float, np.ndarray]:
    """A PBE0 frame of which two molecules have changed."""
    molecules = molecules_of(frame)
    first = int(rng.integers(len(molecules)))
    second = int(np.argmax(frame.get_distances(molecules[first, 0], molecules[:, 0], mic=True)))
    atoms, energy, forces = frame.copy(), frame.get_potential_energy(), frame.get_forces().copy()
    for centre in (first, second):
        chosen = near(frame, molecules, centre, 5.0)
        before = cut_out(frame, molecules[chosen], 0)
        after = with_a_bond(before, rng)
        (old, old_forces), (new, new_forces) = teacher(before), teacher(after)
        rows = molecules[chosen].ravel()
        energy += new - old
        forces[rows] += new_forces - old_forces
        atoms.positions[rows[:3]] += after.positions[:3] - before.positions[:3]
    return atoms, energy, forces


def cluster(frame: ase.Atoms, rng: np.random.Generator) -> ase.Atoms:
    """Neighbouring molecules alone."""
    molecules = molecules_of(frame)
    centre, number = int(rng.integers(len(molecules))), int(rng.integers(1, 7))
    atoms = cut_out(frame, molecules[near(frame, molecules, centre, 9.0)[:number]], 0)
    if rng.integers(2):
        atoms = with_a_bond(atoms, rng)
    elif number > 1:
        factor = rng.uniform(0.6, 1.6)
        for start in range(3, len(atoms), 3):
            atoms.positions[start : start + 3] += (factor - 1.0) * atoms.positions[start]
    atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
    return atoms


def fragment(frame: ase.Atoms, rng: np.random.Generator) -> ase.Atoms:
    """An atom, its nearest ones and one farther away."""
    first, last = (int(i) for i in rng.choice(len(frame), 2, replace=False))
    order = np.argsort(frame.get_distances(first, range(len(frame)), mic=True)).tolist()
    nearest = [i for i in order if i not in (first, last)]
    vectors = frame.get_distances(first, [first, *nearest[:5]], mic=True, vector=True)
    direction = rng.normal(size=3)
    far = rng.uniform(1.5, 5.0) * direction / np.linalg.norm(direction)
    return ase.Atoms(frame.numbers[[first, *nearest[:5], last]], [*vectors, far])


def pair(rng: np.random.Generator) -> ase.Atoms:
    """Two atoms."""
    numbers = [(1, 1), (1, 8), (8, 8)][int(rng.integers(3))]
    return ase.Atoms(numbers, [[0.0, 0.0, 0.0], [0.0, 0.0, covalent_length(*numbers) * rng.uniform(0.4, 3.0)]])


def make(task: tuple[str, int, Path, dict[int, float]]) -> ase.Atoms | None:
    """One frame."""
    kind, number, path, offsets = task
    rng = np.random.default_rng([2026, list(FRAMES).index(kind), number])
    try:
        if kind == "pair":
            atoms = pair(rng)
        else:
            frame = ase.io.read(path, int(rng.integers(TRAINING_FRAMES)))
            if kind == "liquid":
                return labelled(*liquid(frame, rng), kind)
            atoms = cluster(frame, rng) if kind == "cluster" else fragment(frame, rng)
        energy, forces = teacher(atoms)
    except RuntimeError as error:
        print(f"{kind} {number}: {error!r}", file=sys.stderr)
        return None
    return labelled(atoms, energy + sum(offsets[z] for z in atoms.numbers.tolist()), forces, kind)


def oxygen_offset(path: Path, hydrogen: float) -> float:
    """Of oxygen, eV, from six PBE0 frames of 64 molecules."""
    differences = []
    for frame in ase.io.read(path, "::60"):
        energy, _ = teacher(ase.Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=True))
        differences.append((frame.get_potential_energy() - energy) / 64)
    print(f"PBE0 - GFN2-xTB: {np.mean(differences):.4f} +- {np.std(differences):.4f} eV a molecule")
    return float(np.mean(differences)) - 2.0 * hydrogen


def main() -> None:
    """Write the frames."""
    folder = Path(sys.argv[1])
    path = folder / "train.extxyz"
    hydrogen = HYDROGEN - teacher(ase.Atoms("H"))[0]
    offsets = {1: hydrogen, 8: oxygen_offset(path, hydrogen)}
    tasks = [(kind, number, path, offsets) for kind, count in FRAMES.items() for number in range(count)]
    with Pool(2) as pool:
        frames = pool.map(make, tasks, chunksize=4)
    kept = [frame for frame in frames if frame is not None]
    ase.io.write(folder / "short_range.extxyz", kept)
    print(f"{folder / 'short_range.extxyz'}: {len(kept)} of {len(frames)} frames")


if __name__ == "__main__":
    main()
