"""Models with a cutoff: systems out of reach, and atoms that cross the cutoff."""

from __future__ import annotations

from collections.abc import Iterator

import ase
import numpy as np

from transip_md.data.neighbours import Neighbourhood, find_neighbours
from transip_md.validation.findings import Finding
from transip_md.validation.registry import check
from transip_md.validation.subject import MILLI, Subject

#: By how much an atom crosses the cutoff, Angstrom.
CROSSING = 1e-5
CROSSINGS = 12
SKIN = 1.0
#: Closest that an atom put at the cutoff may come to a third one, Angstrom.
CLEARANCE = 1.2
#: Neighbours that the atom in the middle of the sphere keeps.
COMPANY = 5
ALL_TO_ALL = "the model attends all-to-all"


def _extended(atoms: ase.Atoms) -> float:
    return float(np.ptp(atoms.positions, axis=0).max())


@check("extensivity", "Size extensivity")
def extensivity(subject: Subject) -> Iterator[Finding]:
    """Two systems out of reach of each other; of a periodic one, a doubled cell."""
    atoms, reference = subject.shaken, subject.shaken_point
    reach = subject.exported.metadata.interaction_range
    if reach is None and subject.framed:
        yield subject.skip("extensivity", "a frame is of one molecule")
        return
    if reach is None:
        far = atoms.copy()
        far.positions[:, 0] += _extended(atoms) + 1000.0
        excess = MILLI * abs(subject.evaluate(atoms + far).energy - 2 * reference.energy)
        yield subject.skip(
            "extensivity",
            f"{ALL_TO_ALL}: two copies 1,000 Angstrom apart attend to each other (E(2) - 2 E(1) is {excess:.3g} meV); "
            "one molecule at a time",
        )
        return
    if subject.periodic:
        axis = int(np.flatnonzero(atoms.pbc)[0])
        doubled = atoms.repeat([2 if a == axis else 1 for a in range(3)])
        note = f"cell doubled along {'abc'[axis]}"
    else:
        far = atoms.copy()
        far.positions[:, 0] += _extended(atoms) + reach + 1.0
        doubled, note = atoms + far, f"two copies more than {reach:g} Angstrom apart"
    yield subject.judge(
        "extensivity.energy", MILLI * abs(subject.evaluate(doubled).energy - 2 * reference.energy), note
    )


@check("locality", "Locality")
def locality(subject: Subject) -> Iterator[Finding]:
    """An atom beyond the interaction range comes and goes."""
    reach = subject.exported.metadata.interaction_range
    if reach is None:
        yield subject.skip("locality", f"{ALL_TO_ALL}: every atom is in reach of every other")
        return
    atoms = subject.shaken.copy()
    # Without periodicity, or the newcomer's images would come too.
    atoms.pbc = False
    before = subject.evaluate(atoms).forces
    worst = 0.0
    numbers = sorted(set(atoms.numbers.tolist()))
    for number in numbers:
        newcomer = atoms.positions.max(axis=0) + np.array([reach + 0.5, 0.0, 0.0])
        after = subject.evaluate(atoms + ase.Atoms([number], [newcomer])).forces[:-1]
        worst = max(worst, float(np.abs(after - before).max()))
    note = f"{len(numbers)} elements, more than {reach:g} Angstrom away"
    if subject.periodic:
        note += "; without periodicity"
    yield subject.judge("locality.force", MILLI * worst, note)


def _fragment(atoms: ase.Atoms, rng: np.random.Generator) -> ase.Atoms:
    """An atom drawn at random, its nearest neighbours, and another atom last, without periodicity."""
    first, last = (int(i) for i in rng.choice(len(atoms), 2, replace=False))
    nearest = np.argsort(atoms.get_distances(first, range(len(atoms)), mic=True, vector=False))
    company = [int(i) for i in nearest if i not in (first, last)][:COMPANY]
    vectors = atoms.get_distances(first, [first, *company, last], mic=True, vector=True)
    return ase.Atoms(atoms.numbers[[first, *company, last]], vectors)


def _free_direction(fragment: ase.Atoms, cutoff: float, rng: np.random.Generator) -> np.ndarray | None:
    """A direction in which the last atom, put at the cutoff of the first, has room; None if there is none."""
    for _ in range(50):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        position = fragment.positions[0] + cutoff * direction
        if np.linalg.norm(fragment.positions[:-1] - position, axis=1).min() > CLEARANCE:
            return direction
    return None


@check("cutoff", "Smooth at the cutoff")
def smooth_cutoff(subject: Subject) -> Iterator[Finding]:
    """An atom leaves another's sphere: energy and forces must continue smoothly, list with a skin or without.

    A step is what is left of the change from -d to +d when the smooth slope, the mean of those from -3d to -d and from
    +d to +3d, is taken off.
    """
    cutoff = subject.cutoff
    if cutoff is None:
        yield subject.skip("cutoff", f"{ALL_TO_ALL}: there is no cutoff")
        return
    if len(subject.atoms) < 2:
        yield subject.skip("cutoff", "one atom has no neighbour")
        return
    rng = subject.rng()
    steps: list[tuple[float, float]] = []
    for _ in range(CROSSINGS):
        fragment = _fragment(subject.shaken, rng)
        direction = _free_direction(fragment, cutoff, rng)
        if direction is None:
            continue
        energies, forces = [], []
        for offset in (-3, -1, 1, 3):
            fragment.positions[-1] = fragment.positions[0] + (cutoff + offset * CROSSING) * direction
            point = subject.evaluate(fragment)
            energies.append(point.energy)
            forces.append(point.forces)
        steps.append((abs(_step(np.array(energies))), float(np.abs(_step(np.stack(forces))).max())))
    if not steps:
        yield subject.skip("cutoff", "no atom of the structure has room at the cutoff of another")
        return
    note = f"{len(steps)} pairs crossing by {CROSSING:g} Angstrom"
    yield subject.judge("cutoff.energy", max(step for step, _ in steps), note)
    yield subject.judge("cutoff.force", max(step for _, step in steps), note)
    yield subject.judge("cutoff.skin", _skin_change(subject, cutoff))


def _step(values: np.ndarray) -> np.ndarray:
    """The step between the second and the third of four values at -3, -1, 1 and 3."""
    return (values[2] - values[1]) - 0.5 * ((values[3] - values[2]) + (values[1] - values[0]))


def _skin_change(subject: Subject, cutoff: float) -> float:
    """Largest change of a force component when neighbours beyond the cutoff stand in the list, eV/Angstrom."""
    atoms = subject.shaken

    def forces(neighbourhood: Neighbourhood) -> np.ndarray:
        inputs = subject.exported.inputs(
            atoms.numbers, atoms.positions, neighbourhood, subject.charge, subject.multiplicity
        )
        _, rows = subject.run(inputs)
        folded = np.zeros_like(atoms.positions)
        np.add.at(folded, neighbourhood.owner, rows.cpu().numpy())
        return folded

    tight, loose = (
        forces(find_neighbours(atoms.positions, atoms.cell.array, atoms.pbc, reach))
        for reach in (cutoff, cutoff + SKIN)
    )
    return float(np.abs(tight - loose).max())
