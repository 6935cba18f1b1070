"""What must not change anything: moving, renumbering, other images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from transip_md.common.errors import UsageError
from transip_md.validation.findings import Finding
from transip_md.validation.registry import check
from transip_md.validation.subject import MILLI, Point, Subject

#: Angstrom.
NEAR, FAR = 10.0, 1000.0
SAMPLES = 8


def _changes(subject: Subject, name: str, points: list[Point], note: str) -> Iterator[Finding]:
    """Largest changes of energy per atom and of a force component."""
    reference = subject.shaken_point
    energy = max(abs(point.energy - reference.energy) for point in points) / len(subject.atoms)
    force = max(float(np.abs(point.forces - reference.forces).max()) for point in points)
    yield subject.judge(f"{name}.energy", MILLI * energy, note)
    yield subject.judge(f"{name}.force", force, note)


def _moved(subject: Subject, distance: float) -> list[Point]:
    points = []
    for direction in subject.rng().normal(size=(SAMPLES, 3)):
        atoms = subject.shaken.copy()
        atoms.positions += distance * direction / np.linalg.norm(direction)
        points.append(subject.evaluate(atoms))
    return points


@check("translation", "Moved as a whole")
def translation(subject: Subject) -> Iterator[Finding]:
    """The structure at other positions."""
    yield from _changes(subject, "translation", _moved(subject, NEAR), f"{SAMPLES} directions, {NEAR:g} Angstrom")


@check("far_from_origin", "Far from the origin")
def far_from_origin(subject: Subject) -> Iterator[Finding]:
    """Coordinates in float32 would have lost five digits there."""
    yield from _changes(subject, "far_from_origin", _moved(subject, FAR), f"{SAMPLES} directions, {FAR:g} Angstrom")


@check("permutation", "Atoms renumbered")
def permutation(subject: Subject) -> Iterator[Finding]:
    """The same atoms in another order."""
    if len(subject.atoms) < 2:
        yield subject.skip("permutation", "one atom has one order")
        return
    rng, points = subject.rng(), []
    for _ in range(SAMPLES):
        order = rng.permutation(len(subject.atoms))
        point = subject.evaluate(
            subject.shaken[order], subject.symmetrised_on(subject.atoms[order]) if subject.framed else None
        )
        forces = np.empty_like(point.forces)
        forces[order] = point.forces
        points.append(Point(point.energy, forces, point.virial))
    yield from _changes(subject, "permutation", points, f"{SAMPLES} orders")
    if subject.framed:
        yield _exchanged(subject)


def _exchanged(subject: Subject) -> Finding:
    """Atoms of one element exchange positions, and the frame's reference does not know."""
    rng, changes, lost = subject.rng(), [], 0
    for _ in range(SAMPLES):
        order = np.arange(len(subject.atoms))
        for number in np.unique(subject.atoms.numbers):
            equal = np.flatnonzero(subject.atoms.numbers == number)
            order[equal] = rng.permutation(equal)
        try:
            changes.append(abs(subject.evaluate(subject.shaken[order]).energy - subject.shaken_point.energy))
        except UsageError:
            lost += 1
    if not changes:
        return subject.skip("permutation", "swapped atoms have no frame on the reference")
    note = f"{len(changes)} ways, the frame's reference kept" + (f"; {lost} more have no frame" if lost else "")
    return subject.judge("permutation.exchange", MILLI * max(changes), note)


@check("wrapping", "Atoms in other images")
def wrapping(subject: Subject) -> Iterator[Finding]:
    """Atoms moved by lattice vectors along periodic axes."""
    if not subject.periodic:
        yield subject.skip("wrapping", "the structure is not periodic")
        return
    rng, points = subject.rng(), []
    for _ in range(SAMPLES):
        atoms = subject.shaken.copy()
        shifts = rng.integers(-2, 3, size=(len(atoms), 3)) * atoms.pbc
        atoms.positions += shifts @ atoms.cell.array
        points.append(subject.evaluate(atoms))
    yield from _changes(subject, "wrapping", points, f"{SAMPLES} times every atom by up to two cells")
