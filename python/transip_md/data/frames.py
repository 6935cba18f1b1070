"""Labelled structures for training, in memory or read from disk one by one, checked either way."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase
import numpy as np
from ase.data import chemical_symbols
from scipy.spatial.distance import pdist

from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.data.aselmdb import SUFFIX, Shard, open_shards
from transip_md.data.electronic_state import ElectronicState, state_of
from transip_md.data.structures import read_frames

_EXPECTED = {
    "energy": "the total energy in eV (an `energy` entry in extended XYZ)",
    "forces": "three components in eV/Angstrom for each atom (a `forces` column in extended XYZ)",
}


@dataclass(frozen=True)
class Frame:
    """One labelled structure.

    Attributes:
        numbers: int64 [N], atomic numbers.
        positions: float64 [N, 3], Angstrom.
        cell: float64 [3, 3], rows are cell vectors, Angstrom; zeros if not periodic.
        periodic: bool [3], along which cell vectors.
        charge: total charge, e.
        multiplicity: spin multiplicity.
        energy: total energy, eV.
        forces: float64 [N, 3], eV/Angstrom.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    periodic: np.ndarray
    charge: int
    multiplicity: int
    energy: float
    forces: np.ndarray


class Frames:
    """The frames of some files in order, as a map-style dataset of torch; `open_frames` makes it."""

    def __init__(self, sources: Sequence[_InMemory | _OnDisk]) -> None:
        """Join sources, and look at all frames in memory and at the first of every file on disk.

        Args:
            sources: files that were opened, in order.

        Raises:
            UsageError: there are no frames, or some of those looked at are periodic and others not.
        """
        self._sources = [source for source in sources if len(source)]
        if not self._sources:
            raise UsageError("There are no labelled frames in the files given. Expected at least one.")
        self._starts = np.cumsum([0] + [len(source) for source in self._sources])
        self._periodic = bool(self._sources[0][0].periodic.any())
        for start, source in zip(self._starts[:-1], self._sources, strict=True):
            for index in range(len(source) if isinstance(source, _InMemory) else 1):
                self[start + index]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Frame:
        """Read one frame.

        Args:
            index: from 0.

        Returns:
            The frame; those of files on disk are read and checked now.

        Raises:
            IndexError: there is no such frame.
            UsageError: the frame cannot be used.
        """
        source, local = self._locate(index)
        frame = source[local]
        if bool(frame.periodic.any()) != self._periodic:
            here, first = ("not periodic", "is") if self._periodic else ("periodic", "is not")
            raise UsageError(
                f"{source.location(local)} is {here}, but {self._sources[0].location(0)} {first}. Expected that either "
                "all frames of a set are periodic or none. Train on them separately."
            )
        return frame

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self)))

    @property
    def periodic(self) -> bool:
        """Whether the frames of this set are periodic along any axis."""
        return self._periodic

    def atom_counts(self) -> np.ndarray:
        """Number of atoms of every frame, int64 [len].

        Cheap in memory and where an OMol25 `metadata.npz` lies beside the files; other files on disk are decoded once,
        some 4000 frames a second.
        """
        return np.concatenate([source.atom_counts() for source in self._sources])

    def location(self, index: int) -> str:
        """How messages name a frame: its file and its index in that file, from 0."""
        source, local = self._locate(index)
        return source.location(local)

    def _locate(self, index: int) -> tuple[_InMemory | _OnDisk, int]:
        """The file of a frame and the frame's index in it."""
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"There is no frame {index} among {len(self)}.")
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._sources[number], index - int(self._starts[number])


@dataclass(frozen=True)
class Survey:
    """What a set of frames holds.

    Attributes:
        frames: how many frames were looked at.
        species: atomic numbers that occur, sorted.
        force_scale: root mean square of a force component, eV/Angstrom.
        closest_pair: shortest distance between two atoms, periodic images included, Angstrom; infinite if no frame
            has two.
        largest: number of atoms of the largest.
        charge: smallest and largest, e.
        charges: those that occur, sorted, e.
        multiplicity: smallest and largest.
    """

    frames: int
    species: tuple[int, ...]
    force_scale: float
    closest_pair: float
    largest: int
    charge: tuple[int, int]
    charges: tuple[int, ...]
    multiplicity: tuple[int, int]


def open_frames(
    paths: Sequence[Path], *, species: Sequence[int] | None = None, charge: int = 0, multiplicity: int = 1
) -> Frames:
    """Open labelled files as one set.

    A file that ase reads, such as extended XYZ (also compressed), is read and checked at once. Its frames may carry
    `charge` and `spin` or `multiplicity` (both mean the multiplicity) in their comment lines. An `.aselmdb` file, or a
    folder of them, stays on disk: a frame is read and checked when it is asked for.

    Args:
        paths: files and folders, in order.
        species: atomic numbers that may occur; all if None.
        charge: of frames that state no charge, e.
        multiplicity: of frames that state no spin multiplicity.

    Returns:
        The set.

    Raises:
        UsageError: a file is missing or unreadable; there are no frames; a frame has no atoms, energy or forces, has
            values that are not finite or forces of another shape, has an element outside `species`, has a cell that
            does not span its periodic axes, or is periodic where others are not.
        EnvironmentFaultError: a file needs ase-db-backends, which is not installed.
    """
    rules = _Rules(None if species is None else tuple(sorted(species)), charge, multiplicity)
    return Frames([source for path in paths for source in _open(Path(path), rules)])


def survey(frames: Frames, rows: np.ndarray | None = None, limit: int = 50_000, seed: int = 0) -> Survey:
    """Look through a set.

    Args:
        frames: the set.
        rows: int [R], indices of the frames to look at; all if None.
        limit: look at a random sample of so many frames if there are more.
        seed: of that sample.

    Returns:
        What was found.

    Raises:
        UsageError: `rows` is empty, or a frame cannot be used.
        EnvironmentFaultError: the frames are periodic and vesin is not installed.
    """
    rows = _sample(frames, rows, limit, seed)
    species: set[int] = set()
    charges: set[int] = set()
    multiplicities: set[int] = set()
    squares, components, closest, largest = 0.0, 0, float("inf"), 0
    for row in rows:
        frame = frames[row]
        species.update(frame.numbers.tolist())
        charges.add(frame.charge)
        multiplicities.add(frame.multiplicity)
        squares += float(np.square(frame.forces).sum())
        components += frame.forces.size
        closest = min(closest, closest_pair(frame.positions, frame.cell, frame.periodic))
        largest = max(largest, len(frame.numbers))
    return Survey(
        frames=len(rows),
        species=tuple(sorted(species)),
        force_scale=float(np.sqrt(squares / components)),
        closest_pair=closest,
        largest=largest,
        charge=(min(charges), max(charges)),
        charges=tuple(sorted(charges)),
        multiplicity=(min(multiplicities), max(multiplicities)),
    )


def fit_references(
    frames: Frames,
    species: tuple[int, ...],
    rows: np.ndarray | None = None,
    limit: int = 50_000,
    seed: int = 0,
    charges: tuple[int, ...] = (),
    given: np.ndarray | None = None,
) -> np.ndarray:
    """Reference energies of elements and charges by least squares of total energies on composition and charge.

    Args:
        frames: the set.
        species: atomic numbers in the order of the result.
        rows: int [R], indices of the frames to fit; all if None.
        limit: fit a random sample of so many frames if there are more.
        seed: of that sample.
        charges: total charges, e, that have an energy besides those of the elements; others have none.
        given: float64 [len(species)], energies of the elements that are known, eV; None: they are fitted too.

    Returns:
        float64 [len(species) + len(charges)], eV; the solution of least norm where the frames do not decide.

    Raises:
        UsageError: `rows` is empty, a frame cannot be used, or it has an element outside `species`.
    """
    rows = _sample(frames, rows, limit, seed)
    composition = np.zeros((len(rows), len(species)))
    charged = np.zeros((len(rows), len(charges)))
    energies = np.zeros(len(rows))
    for fitted, row in enumerate(rows):
        frame = frames[row]
        _check_species(frame.numbers, species, frames.location(row))
        composition[fitted] = (frame.numbers[:, None] == np.array(species)).sum(axis=0)
        charged[fitted] = frame.charge == np.array(charges)
        energies[fitted] = frame.energy
    if given is None:
        return np.linalg.lstsq(np.hstack([composition, charged]), energies, rcond=None)[0]
    return np.concatenate([given, np.linalg.lstsq(charged, energies - composition @ given, rcond=None)[0]])


@dataclass(frozen=True)
class _Rules:
    """What `open_frames` was given for all frames."""

    species: tuple[int, ...] | None
    charge: int
    multiplicity: int


class _InMemory:
    """A file that was read and checked as a whole."""

    def __init__(self, path: Path, rules: _Rules) -> None:
        self.path = path
        self.frames = [_frame(atoms, self.location(index), rules) for index, atoms in enumerate(read_frames(path))]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Frame:
        return self.frames[index]

    def location(self, index: int) -> str:
        return f"{self.path}, frame {index}"

    def atom_counts(self) -> np.ndarray:
        return np.array([len(frame.numbers) for frame in self.frames], dtype=np.int64)


class _OnDisk:
    """An `.aselmdb` file, whose frames are read and checked when asked for."""

    def __init__(self, shard: Shard, rules: _Rules) -> None:
        self.shard = shard
        self.rules = rules

    def __len__(self) -> int:
        return len(self.shard)

    def __getitem__(self, index: int) -> Frame:
        return _frame(self.shard.read(index), self.location(index), self.rules)

    def location(self, index: int) -> str:
        return self.shard.location(index)

    def atom_counts(self) -> np.ndarray:
        return self.shard.atom_counts()


def _open(path: Path, rules: _Rules) -> list[_InMemory] | list[_OnDisk]:
    if path.suffix == SUFFIX or path.is_dir():
        return [_OnDisk(shard, rules) for shard in open_shards(path)]
    return [_InMemory(path, rules)]


def _frame(atoms: ase.Atoms, location: str, rules: _Rules) -> Frame:
    """Check one labelled structure; messages call it `location`."""
    if len(atoms) == 0:
        raise UsageError(f"{location} holds no atoms. Expected at least one. Leave the frame out.")
    if rules.species is not None:
        _check_species(atoms.numbers, rules.species, location)
    energy = _label(atoms, "energy", (), location)
    forces = _label(atoms, "forces", (len(atoms), 3), location)
    periodic = np.array(atoms.pbc, dtype=bool)
    cell = np.array(atoms.cell if periodic.any() else np.zeros((3, 3)), dtype=np.float64)
    positions = np.array(atoms.positions, dtype=np.float64)
    for name, values in {"energy": energy, "forces": forces, "positions": positions, "cell": cell}.items():
        _check_finite(values, name, location)
    _check_cell(cell, periodic, location)
    state = state_of(atoms, location, default=ElectronicState(rules.charge, rules.multiplicity))
    return Frame(
        numbers=np.array(atoms.numbers, dtype=np.int64),
        positions=positions,
        cell=cell,
        periodic=periodic,
        charge=state.charge,
        multiplicity=state.multiplicity,
        energy=float(energy),
        forces=forces,
    )


def _label(atoms: ase.Atoms, name: str, shape: tuple[int, ...], location: str) -> np.ndarray:
    """A label as it was written: ase's getters would zero the forces on atoms that were held fixed."""
    value = getattr(atoms.calc, "results", {}).get(name)
    if value is None:
        value = atoms.info.get(name)
    if value is None:
        raise UsageError(
            f"{location} has no {name}. Expected {_EXPECTED[name]}, as `transip-md sample` writes. Label the frame or "
            "leave it out."
        )
    try:
        label = np.array(value, dtype=np.float64)
    except ValueError as error:
        raise UsageError(f"{location}: {name} {value!r} is not a number. Expected {_EXPECTED[name]}.") from error
    if label.shape != shape:
        raise UsageError(f"{location}: {name} of shape {label.shape}, expected {shape}: {_EXPECTED[name]}.")
    return label


def _check_species(numbers: np.ndarray, species: Sequence[int], location: str) -> None:
    strangers = np.setdiff1d(numbers, species)
    if len(strangers):
        raise UsageError(
            f"{location} has the element {chemical_symbols[strangers[0]]}, expected only "
            f"{', '.join(chemical_symbols[z] for z in species)}. Leave the frame out or add the element to the species."
        )


def _check_finite(values: np.ndarray, name: str, location: str) -> None:
    if not np.isfinite(values).all():
        bad = values[~np.isfinite(values)].flat[0]
        raise UsageError(f"{location}: {name} of {bad}, expected finite numbers. Leave the frame out.")


def _check_cell(cell: np.ndarray, periodic: np.ndarray, location: str) -> None:
    for axis in np.flatnonzero(periodic):
        if not cell[axis].any():
            raise UsageError(
                f"{location} is periodic along {'abc'[axis]}, but that cell vector is zero. Expected its length in "
                "Angstrom (`Lattice` in extended XYZ). Give the cell, or set `pbc` to F along that axis."
            )
    if periodic.any() and np.linalg.matrix_rank(cell[periodic]) < periodic.sum():
        raise UsageError(
            f"{location}: the cell vectors {cell[periodic].tolist()} of its periodic axes are linearly dependent. "
            "Expected vectors that span a cell. Mend the cell or leave the frame out."
        )


def _sample(frames: Frames, rows: np.ndarray | None, limit: int, seed: int) -> np.ndarray:
    """At most `limit` of the given rows at random, sorted, because files on disk are read fastest in order."""
    rows = np.arange(len(frames)) if rows is None else np.asarray(rows)
    if len(rows) == 0:
        raise UsageError("No frames were chosen. Expected at least one.")
    if len(rows) > limit:
        rows = np.random.default_rng(seed).choice(rows, limit, replace=False)
    return np.sort(rows)


def closest_pair(positions: np.ndarray, cell: np.ndarray, periodic: np.ndarray) -> float:
    """Shortest distance between two atoms of a structure or their images, Angstrom; infinite if there is no pair.

    Args:
        positions: Angstrom, [N, 3].
        cell: rows are cell vectors, Angstrom, [3, 3].
        periodic: bool [3], along which of them.

    Raises:
        EnvironmentFaultError: the structure is periodic and vesin is not installed.
    """
    if not periodic.any():
        return float(pdist(positions).min(initial=np.inf))
    try:
        from vesin import NeighborList
    except ImportError as error:
        raise EnvironmentFaultError(
            "Periodic structures need vesin. Type `pip install 'transip-md[train]'`."
        ) from error
    cutoff = 3.0
    while True:  # ends: every atom has images of its own
        (distances,) = NeighborList(cutoff=cutoff, full_list=False).compute(
            points=positions, box=cell, periodic=periodic, quantities="d"
        )
        if len(distances):
            return float(distances.min())
        cutoff *= 2.0
