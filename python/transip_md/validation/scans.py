"""Bonds stretched, bonds rotated, and pairs of atoms alone: is the energy surface smooth, and does it hold?"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import ase
import ase.data
import numpy as np

from transip_md.common.units import BOLTZMANN
from transip_md.data.bonds import Bond, arms_of, covalent_length, stretched, twisted, unique_bonds
from transip_md.validation.findings import Curve, Finding
from transip_md.validation.paths import Path, follow
from transip_md.validation.registry import check
from transip_md.validation.subject import MILLI, Subject

#: Bonds of one kind that are scanned at most, and steps of a scan.
MOST_BONDS = 12
STRETCH_STEPS = 97
TWIST_STEPS = 73
DIMER_STEPS = 121
#: In units of the covalent length.
SHORTEST, LONGEST = 0.5, 2.0
#: How often a bond of hydrogen tries to cross a barrier, 1/s: its stretching frequency, some 3,000/cm.
ATTEMPTS = 1e14
#: Of a dimer, Angstrom; if the model has a cutoff, a little beyond it.
DIMER_LONGEST = 6.0


def _stretch(subject: Subject, bond: Bond) -> tuple[Path, float]:
    """A scan and its largest jump, eV."""
    atoms = subject.atoms
    covalent = covalent_length(atoms.numbers[bond.first], atoms.numbers[bond.second])
    axis = bond.vector / bond.length()

    def scan(length: float) -> tuple[float, float]:
        point = subject.evaluate(stretched(atoms, bond, length))
        return point.energy, -float((point.forces[bond.moving] @ axis).sum())

    lengths = np.linspace(SHORTEST * covalent, LONGEST * covalent, subject.many(STRETCH_STEPS, 61))
    return follow(scan, lengths, bond.length())


def _twist(subject: Subject, bond: Bond) -> tuple[Path, float]:
    """A scan and its largest jump, eV."""
    axis = bond.vector / bond.length()

    def scan(angle: float) -> tuple[float, float]:
        atoms = twisted(subject.atoms, bond, angle)
        point = subject.evaluate(atoms)
        torque = np.cross(arms_of(atoms, bond, bond.moving), point.forces[bond.moving]).sum(axis=0) @ axis
        return point.energy, -float(torque)

    return follow(scan, np.linspace(0.0, 2.0 * np.pi, TWIST_STEPS), 0.0)


def _pull(subject: Subject, first: int, second: int, longest: float) -> tuple[Path, float]:
    """A scan and its largest jump, eV."""
    covalent = covalent_length(first, second)

    def scan(distance: float) -> tuple[float, float]:
        point = subject.evaluate(ase.Atoms([first, second], [[0.0, 0.0, 0.0], [0.0, 0.0, distance]]))
        return point.energy, -float(point.forces[1, 2])

    return follow(scan, np.linspace(SHORTEST * covalent, longest, DIMER_STEPS), covalent)


@check("bonds", "Bonds stretched from 0.5 to 2 covalent lengths")
def bonds(subject: Subject) -> Iterator[Finding | Curve]:
    """Dense scans after BSCT (arXiv 2602.04861), one bond of each kind, the smaller side moving as a whole."""
    chosen = unique_bonds(subject.atoms)[:MOST_BONDS]
    if not chosen:
        yield subject.skip("bonds", "the structure has no bond outside a ring")
        return
    paths, jumps = _apart({bond.label: _stretch(subject, bond) for bond in chosen})
    yield _worst(subject, "bonds.jump", jumps)
    surplus = {label: max(path.minima() - 1, 0) for label, path in paths.items()}
    yield _worst(subject, "bonds.minima", surplus)
    yield _wall(subject, "bonds.wall", paths)
    yield _worst(subject, "bonds.roughness", {label: path.roughness() for label, path in paths.items()})
    yield _reach(subject, paths)
    for label, path in paths.items():
        yield _curve(subject, "bonds", "bond scans", label, path, "length (Å)")


@check("torsions", "Bonds rotated through a full turn")
def torsions(subject: Subject) -> Iterator[Finding | Curve]:
    """Rigid rotations about bonds whose ends have further neighbours."""
    if subject.periodic:
        yield subject.skip("torsions", "rotated about in isolated molecules only")
        return
    chosen = [bond for bond in unique_bonds(subject.atoms) if bond.rotatable][:MOST_BONDS]
    if not chosen:
        yield subject.skip("torsions", "the structure has no bond to rotate about")
        return
    paths, jumps = _apart({bond.label: _twist(subject, bond) for bond in chosen})
    yield _worst(subject, "torsions.jump", jumps)
    yield _worst(subject, "torsions.minima", {label: path.minima(around=True) for label, path in paths.items()})
    for label, path in paths.items():
        degrees = Path(np.degrees(path.x), path.energy, path.slope, 0.0)
        yield _curve(subject, "torsions", "torsion scans", label, degrees, "rotated by (degrees)")


@check("dimers", "Pairs of atoms alone", once=True)
def dimers(subject: Subject) -> Iterator[Finding | Curve]:
    """Two atoms from half their covalent length on; outside what most models were trained on."""
    if subject.framed:
        yield subject.skip("dimers", "two atoms have no frame")
        return
    longest = DIMER_LONGEST if subject.cutoff is None else subject.cutoff + 0.5
    present = sorted(set(subject.atoms.numbers.tolist()))
    symbols = ase.data.chemical_symbols
    paths, jumps = _apart(
        {
            f"{symbols[first]}–{symbols[second]}": _pull(subject, first, second, longest)
            for first, second in itertools.combinations_with_replacement(present, 2)
        }
    )
    # Of a model of whole molecules nobody runs two atoms: reported with the number, not excused.
    scope = "" if subject.cutoff is not None else "; another molecule, which no run of this one visits"
    yield _mean(subject, "dimers.flips", {label: path.flips() for label, path in paths.items()}, scope)
    yield _mean(subject, "dimers.minima", {label: path.minima() for label, path in paths.items()})
    yield _worst(subject, "dimers.jump", jumps)
    yield _wall(subject, "dimers.wall", paths)
    for label, path in paths.items():
        yield _curve(subject, "dimers", "dimers", label, path, "distance (Å)")


def _apart(scans: dict[str, tuple[Path, float]]) -> tuple[dict[str, Path], dict[str, float]]:
    """Paths, and their jumps in meV."""
    return {label: path for label, (path, _) in scans.items()}, {k: MILLI * jump for k, (_, jump) in scans.items()}


def _worst(subject: Subject, key: str, values: dict[str, float]) -> Finding:
    label = max(values, key=values.__getitem__)
    note = f"{len(values)} scanned" if values[label] == 0 else f"{len(values)} scanned; worst {label}"
    return subject.judge(key, values[label], note)


def _mean(subject: Subject, key: str, values: dict[str, float], scope: str = "") -> Finding:
    numbers: Iterable[float] = values.values()
    worst = max(values, key=values.__getitem__)
    return subject.judge(key, sum(numbers) / len(values), f"{len(values)} pairs; most {values[worst]} ({worst}){scope}")


def _wall(subject: Subject, key: str, paths: dict[str, Path]) -> Finding:
    """The lowest wall; one that holds to the end of the scan counts as high enough, whatever it reached."""
    heights = {label: path.wall() for label, path in paths.items() if path.falls() is not None}
    if not heights:
        height = min(path.wall() for path in paths.values())
        finding = subject.judge(key, height, f"every wall holds to {SHORTEST:g} covalent lengths")
        return (
            finding if finding.verdict == "PASS" else subject.judge(key, max(height, finding.good or 0.0), finding.note)
        )
    label = min(heights, key=heights.__getitem__)
    note = f"{len(heights)} of {len(paths)} fall on compression; lowest {label}, at {paths[label].falls():.2f} Angstrom"
    return subject.judge(key, heights[label], note)


def _reach(subject: Subject, paths: dict[str, Path]) -> Finding:
    """How high above its well a bond may climb before it meets the first flaw, and how hot that is."""
    good = subject.judge("bonds.roughness", 0.0).good or 0.0
    flaws = {label: flaw for label, path in paths.items() if (flaw := path.first_flaw(good)) is not None}
    if not flaws:
        height = min(float(path.energy.max() - path.energy[path.home]) for path in paths.values())
        good = subject.judge("bonds.reach", 0.0).good or 0.0
        return subject.judge("bonds.reach", max(height, good), "no flaw in any scan")
    label = min(flaws, key=lambda name: flaws[name][1])
    distance, height = flaws[label]
    often = ", ".join(
        f"once a {name} at {height / (BOLTZMANN * np.log(ATTEMPTS * seconds)):.0f} K"
        for name, seconds in (("nanosecond", 1e-9), ("microsecond", 1e-6))
    )
    note = (
        f"flaws in {len(flaws)} of {len(paths)}; lowest {label}, at {distance:.2f} Angstrom; a bond gets there "
        f"{often}, sooner where the rest gives way"
    )
    return subject.judge("bonds.reach", height, note)


def _curve(subject: Subject, name: str, panel: str, label: str, path: Path, x_label: str) -> Curve:
    energy = path.energy - path.energy[path.home]
    return Curve(
        name, subject.name, panel, label, path.x.tolist(), energy.tolist(), x_label, "energy − well (eV)", path.start
    )
