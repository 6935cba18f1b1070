"""What a trajectory shows of the structure: RMSD, bond lengths, radial distribution functions, through mdtraj."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import ase
import ase.io
import numpy as np

from transip_md.common import units
from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.common.optional import INSTALL, mdtraj
from transip_md.data.bonds import bonded_pairs

#: A bond is broken at this many times its first length.
BROKEN = 1.5
#: Bins of a radial distribution function, Angstrom.
BIN = 0.05
#: Kinds of bonds and pairs that are looked at, at most.
MOST_KINDS = 12


@dataclass
class Shape:
    """What a trajectory shows of the structure.

    Attributes:
        times: of frames, [m]; `clock` names what it counts.
        clock: "time (ps)", or "frame" where the file has no times.
        rmsd: Angstrom, [m], against the first frame after the best superposition; None for periodic structures.
        bonds: lengths by kind of bond, Angstrom, [m, bonds of that kind].
        broken: bonds that were longer than `BROKEN` times their first length, with that time.
        rdf: radius (Angstrom) and g(r) by pair of elements; periodic structures only.
    """

    times: np.ndarray
    clock: str
    rmsd: np.ndarray | None
    bonds: dict[str, np.ndarray]
    broken: dict[str, float]
    rdf: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "frames": len(self.times),
            "rmsd_last_A": None if self.rmsd is None else float(self.rmsd[-1]),
            "rmsd_largest_A": None if self.rmsd is None else float(self.rmsd.max()),
            "bonds_A": {
                kind: {"mean": float(x.mean()), "std": float(x.std()), "min": float(x.min()), "max": float(x.max())}
                for kind, x in self.bonds.items()
            },
            "broken_bonds": self.broken,
            "rdf_first_peak_A": {pair: float(r[g.argmax()]) for pair, (r, g) in self.rdf.items() if g.max() > 0},
        }


def _package() -> ModuleType:
    package = mdtraj()
    if package is None:
        raise EnvironmentFaultError(f"mdtraj is not installed. {INSTALL}")
    return package


def topology_of(atoms: ase.Atoms) -> Any:
    """A topology of mdtraj with one residue."""
    package = _package()
    topology = package.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    for index, symbol in enumerate(atoms.get_chemical_symbols()):
        topology.add_atom(f"{symbol}{index}", package.element.get_by_symbol(symbol), residue)
    return topology


def trajectory_of(atoms: ase.Atoms, positions: np.ndarray, times: np.ndarray) -> Any:
    """A trajectory of mdtraj, from positions in Angstrom, [m, N, 3], unwrapped, and times in ps, [m]."""
    trajectory = _package().Trajectory(positions / units.ANGSTROM_PER_NM, topology_of(atoms), time=times)
    if atoms.pbc.all():
        vectors = np.broadcast_to(atoms.cell.array / units.ANGSTROM_PER_NM, (len(positions), 3, 3))
        trajectory.unitcell_vectors = vectors.astype(np.float32)
    return trajectory


def read_trajectory(path: Path, atoms: ase.Atoms) -> Any:
    """Read a trajectory that somebody else wrote: what mdtraj reads (DCD, XTC, NetCDF ...), LAMMPS dumps, extended XYZ.

    Args:
        path: the file.
        atoms: the structure whose atoms it holds, in that order; LAMMPS's in the order of their ids.

    Raises:
        UsageError: a file that cannot be read, or other atoms.
        EnvironmentFaultError: mdtraj is not installed.
    """
    package = _package()
    if not path.is_file():
        raise UsageError(f"No such trajectory: {path}.")
    try:
        if path.suffix in (".extxyz", ".xyz"):
            frames = ase.io.read(path, index=":")
            positions = np.stack([frame.positions for frame in frames])
            times = np.array([frame.info.get("time_ps", index) for index, frame in enumerate(frames)])
            return trajectory_of(atoms, positions, times)
        if path.suffix in (".dump", ".lammpstrj"):
            _refuse_scaled(path)
            trajectory = package.load_lammpstrj(str(path), top=topology_of(atoms))
        else:
            trajectory = package.load(str(path), top=topology_of(atoms))
    except UsageError:
        raise
    except Exception as error:  # mdtraj's many readers fail in as many ways
        raise UsageError(
            f"{path} could not be read as a trajectory of {len(atoms)} atoms: {str(error) or type(error).__name__}. "
            "Expected DCD, XTC, a LAMMPS dump with id and x y z, or extended XYZ, and --structure with the same atoms "
            "in the same order."
        ) from error
    if trajectory.n_frames < 2:
        raise UsageError(f"{path} holds {trajectory.n_frames} frames; two are needed at least.")
    return trajectory


def _refuse_scaled(path: Path) -> None:
    """Raise UsageError for a dump that lacks columns, or has scaled coordinates, which mdtraj takes for lengths."""
    with path.open() as lines:
        names = next((line.split()[2:] for line in lines if line.startswith("ITEM: ATOMS")), [])
    if not ({"id", "type"} <= set(names) and ({"x", "y", "z"} <= set(names) or {"xu", "yu", "zu"} <= set(names))):
        raise UsageError(
            f"{path} has columns {' '.join(names) or '(none)'}; expected id, type and x y z or xu yu zu. Type "
            "`dump 1 all custom 100 run.dump id type xu yu zu` in the deck."
        )


def _ends(trajectory: Any, atoms: ase.Atoms) -> dict[str, np.ndarray]:
    """Bonds by kind, [bonds, 2], at most `MOST_KINDS` kinds."""
    kinds: dict[str, list[tuple[int, int]]] = {}
    symbols = atoms.get_chemical_symbols()
    for first, second in bonded_pairs(atoms):
        kinds.setdefault("–".join(sorted((symbols[first], symbols[second]))), []).append((first, second))
    return {kind: np.array(pairs) for kind, pairs in itertools.islice(sorted(kinds.items()), MOST_KINDS)}


def shape_of(trajectory: Any, atoms: ase.Atoms) -> Shape:
    """Measure a trajectory of mdtraj; bonds are those of the structure."""
    package = _package()
    periodic = trajectory.unitcell_vectors is not None and bool(atoms.pbc.any())
    lengths, broken = {}, {}
    symbols = atoms.get_chemical_symbols()
    for kind, pairs in _ends(trajectory, atoms).items():
        found = package.compute_distances(trajectory, pairs, periodic=periodic) * units.ANGSTROM_PER_NM
        lengths[kind] = found
        for (first, second), one in zip(pairs, found.T, strict=True):
            if (far := np.flatnonzero(one > BROKEN * one[0])).size:
                label = f"{symbols[first]}{first}–{symbols[second]}{second}"
                broken[label] = float(trajectory.time[far[0]])
    rmsd = None
    if not periodic and len(atoms) > 2:
        rmsd = package.rmsd(trajectory, trajectory, 0) * units.ANGSTROM_PER_NM
    rdf = _rdf(trajectory, atoms) if periodic else {}
    times = np.asarray(trajectory.time)
    # Formats without times, DCD and LAMMPS's among them, are numbered by mdtraj.
    clock = "frame" if np.array_equal(times, np.arange(len(times))) else "time (ps)"
    return Shape(times, clock, rmsd, lengths, broken, rdf)


def _rdf(trajectory: Any, atoms: ase.Atoms) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """g(r) of every pair of elements, up to half of the shortest width of the cell."""
    package = _package()
    vectors = trajectory.unitcell_vectors[0]
    # The distance between opposite faces is one over the length of a reciprocal vector.
    reach = 0.5 / np.linalg.norm(np.linalg.inv(vectors), axis=0).max()
    symbols = np.array(atoms.get_chemical_symbols())
    found = {}
    pairs = itertools.combinations_with_replacement(sorted(set(symbols.tolist())), 2)
    for first, second in itertools.islice(pairs, MOST_KINDS):
        ends = trajectory.topology.select_pairs(np.flatnonzero(symbols == first), np.flatnonzero(symbols == second))
        if len(ends):
            radius, g = package.compute_rdf(
                trajectory, ends, r_range=(0.0, float(reach)), bin_width=BIN / units.ANGSTROM_PER_NM
            )
            found[f"{first}–{second}"] = (radius * units.ANGSTROM_PER_NM, g)
    return found
