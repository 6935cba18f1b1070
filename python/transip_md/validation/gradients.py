"""Are forces and virial the derivatives of the energy?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from transip_md.validation.differences import LEVELS, derivative_beside
from transip_md.validation.findings import Curve, Finding
from transip_md.validation.registry import check
from transip_md.validation.subject import MILLI, Subject

#: Largest displacement of an atom, Angstrom, and largest strain.
STEP = 0.04
STRAIN = 0.02


@check("forces", "Forces against central differences")
def forces(subject: Subject) -> Iterator[Finding | Curve]:
    """F = -dE/dr for components drawn at random, on the shaken structure."""
    atoms, point = subject.shaken, subject.shaken_point
    components = np.arange(3 * len(atoms))
    count = min(len(components), subject.many(60, 24))
    found, wanted, doubts = np.empty((3, count))
    bounds = subject.judge("forces.error", 0.0)
    for row, component in enumerate(subject.rng().choice(components, count, replace=False)):
        atom, axis = divmod(int(component), 3)

        def energy(displacement: float, atom: int = atom, axis: int = axis) -> float:
            moved = atoms.copy()
            moved.positions[atom, axis] += displacement
            return subject.evaluate(moved).energy

        found[row] = point.forces[atom, axis]
        slope, doubts[row] = derivative_beside(energy, STEP, -found[row], bounds.good or 0.0)
        wanted[row] = -slope
    off = np.abs(found - wanted)
    beyond = np.maximum(off - doubts, 0.0)
    threshold = bounds.bad or 0.0
    yield subject.judge(
        "forces.error",
        off.max(),
        f"{count} components, {LEVELS} steps from {STEP:g} Angstrom; uncertainty of the differences up to "
        f"{doubts.max():.1e} eV/Angstrom",
        certain=beyond.max(),
        doubt=bool(doubts.max() > threshold),
    )
    if (wanted**2).sum() > 0:
        slope = (found * wanted).sum() / (wanted**2).sum()
        error = np.sqrt(((doubts * wanted) ** 2).sum()) / (wanted**2).sum()
        off_one = abs(slope - 1.0)
        yield subject.judge("forces.scale", off_one, f"uncertainty {error:.1e}", certain=max(off_one - error, 0.0))
    yield Curve(
        "forces", subject.name, "force components: model and differences", "", wanted.tolist(),
        (MILLI * (found - wanted)).tolist(), "−dE/dr by differences (eV/Å)", "force − differences (meV/Å)",
    )  # fmt: skip


@check("virial", "Virial against strain of the box")
def virial(subject: Subject) -> Iterator[Finding]:
    """W_ab = sum r_a f_b = -dE/d(strain_ba): positions r -> r + strain r, cell likewise."""
    atoms, point = subject.shaken, subject.shaken_point
    if point.virial is None:
        yield subject.skip("virial", "a model with a direct force head has no virial")
        return
    worst, largest, doubt = 0.0, 0.0, 0.0
    bounds = subject.judge("virial.error", 0.0)
    for a in range(3):
        for b in range(3):

            def energy(strain: float, a: int = a, b: int = b) -> float:
                deformation = np.eye(3)
                deformation[a, b] += strain
                strained = atoms.copy()
                strained.positions = atoms.positions @ deformation.T
                strained.cell = atoms.cell.array @ deformation.T
                return subject.evaluate(strained).energy

            slope, error = derivative_beside(energy, STRAIN, -point.virial[b, a], len(atoms) * (bounds.good or 0.0))
            off = abs(point.virial[b, a] + slope)
            worst, largest, doubt = max(worst, off - error), max(largest, off), max(doubt, error)
    atoms_count = len(atoms)
    threshold = bounds.bad or 0.0
    yield subject.judge(
        "virial.error",
        largest / atoms_count,
        f"9 components, strains from {STRAIN:g}; virial up to {np.abs(point.virial).max():.2f} eV, uncertainty of the "
        f"differences up to {doubt / atoms_count:.1e} eV/atom",
        certain=worst / atoms_count,
        doubt=doubt / atoms_count > threshold,
    )
