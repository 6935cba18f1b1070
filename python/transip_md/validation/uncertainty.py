"""How well the deviation of a committee's forces ranks and measures their true errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ase
import numpy as np

from transip_md.data.electronic_state import known_state
from transip_md.evaluators.committee import Committee, Deviation

#: Levels of confidence at which the calibration is looked at.
LEVELS = np.linspace(0.0, 1.0, 101)
#: Atoms below which a rank correlation states nothing.
FEWEST_ATOMS = 10


@dataclass(frozen=True)
class Calibration:
    """Deviations of atoms against errors of their forces.

    The curve: if errors of force components were normal with the committee's standard deviation, a share p of them
    would lie in the central interval of probability p; `observed` is the share that does. The miscalibration area is
    the integral of |observed - p| over p (Tran et al., Mach. Learn.: Sci. Technol. 1, 025006 (2020)): 0 is perfect,
    0.5 the worst.

    Attributes:
        atoms: number of atoms.
        spearman: rank correlation of an atom's deviation and the norm of its force's error.
        miscalibration: area between the curve and the diagonal.
        scale: factor by which the deviations would have to be multiplied for the mean squared error to be as stated:
            sqrt(<error^2> / <deviation^2>).
        force_mae: mean absolute error of a component of the judged forces, eV/Angstrom.
        observed: share of components within each of `LEVELS`.
    """

    atoms: int
    spearman: float
    miscalibration: float
    scale: float
    force_mae: float
    observed: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {**asdict(self), "levels": LEVELS.tolist(), "observed": self.observed.tolist()}


def calibrate(deviations: np.ndarray, errors: np.ndarray) -> Calibration | None:
    """Hold deviations against errors.

    Args:
        deviations: standard deviations of force components, [N, 3], eV/Angstrom.
        errors: of the same components, [N, 3], eV/Angstrom.

    Returns:
        None for fewer than ten atoms.
    """
    if len(deviations) < FEWEST_ATOMS:
        return None
    from scipy.stats import norm, spearmanr

    of_atoms = [np.linalg.norm(values, axis=1) for values in (deviations, errors)]
    # |error| / deviation below which a share p of a normal distribution lies.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nan_to_num(np.abs(errors) / deviations, nan=0.0, posinf=np.inf).ravel()
    bounds = norm.ppf(0.5 * (1.0 + LEVELS))
    observed = np.searchsorted(np.sort(ratio), bounds, side="right") / ratio.size
    return Calibration(
        atoms=len(deviations),
        spearman=float(spearmanr(*of_atoms).statistic),
        miscalibration=float(np.trapezoid(np.abs(observed - LEVELS), LEVELS)),
        scale=float(np.sqrt(np.mean(errors**2) / np.mean(deviations**2))),
        force_mae=float(np.abs(errors).mean()),
        observed=observed,
    )


@dataclass(frozen=True)
class Judged:
    """What a committee gives for several structures.

    Attributes:
        deviations: of each structure.
        of_atoms: deviations of all atoms of labelled structures, [N, 3], eV/Angstrom.
        errors: of the forces of these atoms, [N, 3], eV/Angstrom.
    """

    deviations: list[Deviation]
    of_atoms: np.ndarray
    errors: np.ndarray


def judge(
    committee: Committee,
    structures: Sequence[tuple[str, ase.Atoms]],
    *,
    mean: bool = False,
    advanced: Callable[[int], None] = lambda done: None,
) -> Judged:
    """Evaluate a committee on structures, labelled with forces or not.

    Args:
        committee: the models.
        structures: names, for errors, and structures; charge and multiplicity as they state them.
        mean: whether the forces are the mean of all models, and not the first one's.
        advanced: called with the number of structures done.

    Raises:
        UsageError: a structure that a model cannot evaluate.
    """
    deviations: list[Deviation] = []
    of_atoms, errors = [np.empty((0, 3))], [np.empty((0, 3))]
    for done, (where, atoms) in enumerate(structures, start=1):
        for model in committee.models:
            state = known_state(model.metadata, atoms, where)
        box = {"cell": atoms.cell.array, "periodic": atoms.pbc} if atoms.pbc.any() else {}
        found, deviation = committee.evaluate(atoms.numbers, atoms.positions, *state, **box)
        deviations.append(deviation)
        if (labels := labelled_forces(atoms)) is not None:
            given = np.mean([one.forces for one in found], axis=0) if mean else found[0].forces
            of_atoms.append(deviation.forces)
            errors.append(given - labels)
        advanced(done)
    return Judged(deviations, np.concatenate(of_atoms), np.concatenate(errors))


def labelled_forces(atoms: ase.Atoms) -> np.ndarray | None:
    """Forces that a structure was read with, [N, 3], eV/Angstrom; None if it has none."""
    if atoms.calc is not None and "forces" in atoms.calc.results:
        return np.asarray(atoms.calc.results["forces"], dtype=float)
    return None


def plot(path: Path, judged: Judged, calibration: Calibration) -> None:
    """Draw deviation against error of each atom, and the calibration curve; the file's ending gives its format."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (scatter, curve) = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
    deviation, error = (np.linalg.norm(values, axis=1) for values in (judged.of_atoms, judged.errors))
    scatter.loglog(deviation, error, ".", markersize=2, alpha=0.4)
    ends = np.array([min(deviation.min(), error.min()), max(deviation.max(), error.max())])
    scatter.loglog(ends, ends, "k", linewidth=0.8)
    scatter.set_xlabel("deviation of an atom's force (eV/Å)")
    scatter.set_ylabel("true error (eV/Å)")
    scatter.set_title(f"Spearman {calibration.spearman:.2f}", fontsize=9)
    curve.plot(LEVELS, calibration.observed)
    curve.plot([0, 1], [0, 1], "k", linewidth=0.8)
    curve.set_xlabel("expected share of force components")
    curve.set_ylabel("observed share")
    curve.set_title(f"miscalibration area {calibration.miscalibration:.2f}", fontsize=9)
    figure.savefig(path, dpi=150)
    plt.close(figure)
