"""How well distances from the training set tell atoms whose forces are wrong from others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ase
import numpy as np

from transip_md.data.electronic_state import known_state
from transip_md.evaluators.evaluation import Model, check_distances
from transip_md.validation.uncertainty import FEWEST_ATOMS, labelled_forces


@dataclass(frozen=True)
class Measured:
    """What a model gives for several structures.

    Attributes:
        distances: of each structure's atoms, [N].
        of_labelled: distances of all atoms of labelled structures, [N].
        errors: norms of the errors of their forces, [N], eV/Angstrom.
    """

    distances: list[np.ndarray]
    of_labelled: np.ndarray
    errors: np.ndarray


@dataclass(frozen=True)
class Detection:
    """Atoms whose force is wrong by more than a bound, against all others.

    Attributes:
        above: the bound of the error's norm, eV/Angstrom.
        atoms: how many are above.
        auroc: probability that one above is farther from the training set than one below (area under the receiver
            operating characteristic): 0.5 is chance, 1 perfect.
        beyond: share of those above that are beyond a distance of 1.
    """

    above: float
    atoms: int
    auroc: float
    beyond: float


@dataclass(frozen=True)
class Ranking:
    """Distances against errors of atoms.

    Attributes:
        atoms: how many.
        spearman: rank correlation of distance and error.
        detections: of each bound that some atoms are above and others below.
    """

    atoms: int
    spearman: float
    detections: tuple[Detection, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)


def measure(
    model: Model,
    structures: Sequence[tuple[str, ase.Atoms]],
    advanced: Callable[[int], None] = lambda done: None,
) -> Measured:
    """Distances of structures, and errors of the forces of those that are labelled.

    Args:
        model: its file has a sample of its training set.
        structures: names, for errors, and structures; charge and multiplicity as they state them.
        advanced: called with the number of structures done.

    Raises:
        UsageError: no sample, or a structure that the model cannot evaluate.
    """
    check_distances(model)
    distances: list[np.ndarray] = []
    of_labelled, errors = [np.empty(0)], [np.empty(0)]
    for done, (where, atoms) in enumerate(structures, start=1):
        state = known_state(model.metadata, atoms, where)
        box = {"cell": atoms.cell.array, "periodic": atoms.pbc} if atoms.pbc.any() else {}
        distances.append(model.distances(atoms.numbers, atoms.positions, *state, **box))
        if (labels := labelled_forces(atoms)) is not None:
            found = model.evaluate(atoms.numbers, atoms.positions, *state, **box)
            of_labelled.append(distances[-1])
            errors.append(np.linalg.norm(found.forces - labels, axis=1))
        advanced(done)
    return Measured(distances, np.concatenate(of_labelled), np.concatenate(errors))


def rank(distances: np.ndarray, errors: np.ndarray, bounds: Sequence[float]) -> Ranking | None:
    """Hold distances of atoms [N] against the norms of their forces' errors [N], eV/Angstrom.

    Args:
        distances: 1 is the 99th percentile of held-out atoms.
        errors: eV/Angstrom.
        bounds: of errors, eV/Angstrom.

    Returns:
        None for fewer than ten atoms.
    """
    if len(distances) < FEWEST_ATOMS:
        return None
    from scipy.stats import rankdata, spearmanr

    ranks = rankdata(distances)
    detections = []
    for bound in bounds:
        above = errors > bound
        count, others = int(above.sum()), int((~above).sum())
        if count and others:
            # Mann-Whitney's U over all pairs.
            auroc = (ranks[above].sum() - count * (count + 1) / 2) / (count * others)
            detections.append(Detection(bound, count, float(auroc), float(np.mean(distances[above] > 1.0))))
    return Ranking(len(distances), float(spearmanr(distances, errors).statistic), tuple(detections))
