"""Labels of candidates, and why a candidate becomes no frame."""

from __future__ import annotations

from typing import NamedTuple

import ase
import ase.data
import numpy as np
from ase.calculators.calculator import CalculatorError

from transip_md.sampling.candidates import Candidate
from transip_md.sampling.recipe import SamplingRecipe
from transip_md.sampling.teacher import WRITTEN_DECIMALS, as_written, bare, teacher_calculator

#: Two atoms closer than this times the sum of their covalent radii clash; a bond scan sets its own limit.
CLASH = 0.5
#: Structures of equal atoms whose distances differ by less than this, Angstrom, are one and the same.
SAME = 0.001
#: What tblite prints when its self-consistent field does not converge.
NOT_CONVERGED = "SCF not converged"


class Refusal(NamedTuple):
    """Why a candidate is dropped.

    Attributes:
        reason: duplicate, clash, unconverged or absurd.
        detail: the number behind it.
    """

    reason: str
    detail: str


class Labeller:
    """Labels candidates and keeps what it needs to know a duplicate of a frame that is there."""

    def __init__(self, recipe: SamplingRecipe) -> None:
        self.recipe = recipe
        self._clash = min(CLASH, 0.99 * recipe.shortest)
        self._seen: dict[bytes, list[np.ndarray]] = {}

    def remember(self, frame: ase.Atoms) -> None:
        """Count a structure as one that is there."""
        self._seen.setdefault(self._kind(frame), []).append(_distances(frame))

    def label(self, candidate: Candidate, info: dict[str, object]) -> ase.Atoms | Refusal:
        """The candidate as a frame with the teacher's labels, or why it is none.

        Args:
            candidate: the structure; its positions are rounded to what a file holds.
            info: more for the info of the frame.

        Raises:
            CalculatorError: the teacher fails in another way than by not converging.
        """
        atoms = bare(candidate.atoms)
        if not atoms.pbc.any():
            atoms.positions -= atoms.get_center_of_mass()
        atoms.positions = np.round(atoms.positions, WRITTEN_DECIMALS)
        if (closest := _closest(atoms)) < self._clash:
            return Refusal("clash", f"two atoms at {closest:.2f} of the sum of their covalent radii")
        distances = _distances(atoms)
        if any(np.abs(distances - other).max(initial=0) < SAME for other in self._seen.get(self._kind(atoms), [])):
            return Refusal("duplicate", f"no distance differs by {SAME:g} Angstrom from those of a frame")
        state = {"charge": candidate.charge, "multiplicity": candidate.multiplicity}
        recipe = self.recipe.model_copy(update=state)
        atoms.calc = teacher_calculator(recipe)
        try:
            frame = as_written(atoms, recipe, info)
        except CalculatorError as error:
            if NOT_CONVERGED not in str(error):
                raise
            return Refusal("unconverged", str(error))
        largest = float(np.linalg.norm(frame.get_forces(), axis=1).max())
        # Of a number that is not one, no comparison holds.
        if not (np.isfinite(frame.get_potential_energy()) and largest <= recipe.largest_force):
            return Refusal("absurd", f"a force of {largest:.3g} eV/Angstrom")
        return frame

    @staticmethod
    def _kind(atoms: ase.Atoms) -> bytes:
        return atoms.numbers.tobytes()


def _distances(atoms: ase.Atoms) -> np.ndarray:
    """Distances between all atoms, of a crystal through its boundaries, Angstrom; with the volume of a cell."""
    pairs = np.triu_indices(len(atoms), 1)
    distances = atoms.get_all_distances(mic=bool(atoms.pbc.any()))[pairs]
    return np.append(distances, atoms.cell.volume ** (1 / 3)) if atoms.pbc.any() else distances


def _closest(atoms: ase.Atoms) -> float:
    """Closest two atoms, in sums of covalent radii; infinite for one atom."""
    radii = ase.data.covalent_radii[atoms.numbers]
    pairs = np.triu_indices(len(atoms), 1)
    distances = atoms.get_all_distances(mic=bool(atoms.pbc.any()))
    return float((distances[pairs] / np.add.outer(radii, radii)[pairs]).min(initial=np.inf))
