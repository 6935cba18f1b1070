"""What every evaluator takes and gives; torch is not imported here."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol, Self

import numpy as np

from transip_md.common.errors import UsageError
from transip_md.modelfile.metadata import Metadata
from transip_md.symmetry.request import SymmetryRequest


class _Evaluation(NamedTuple):
    energies: np.ndarray
    forces: np.ndarray
    virial: np.ndarray | None


class Evaluation(_Evaluation):
    """What a model gives for a structure: a tuple of energies, forces and virial.

    Attributes:
        energies: of each atom, float64 [N], eV.
        forces: float64 [N, 3], eV/Angstrom.
        virial: sum over rows of r (x) f, float64 [3, 3], eV, positive diagonal pushes the box apart; None for a model
            whose forces are not the gradient of its energy.
        virials: of each atom, float64 [N, 3, 3], eV: W_i = -sum over neighbours j of r_ij (x) dE/dr_ij with r_ij =
            r_j - r_i; they sum to the virial. None unless they were asked for.
        distances: of each atom from the training set, float64 [N], see `Model.distances`; None unless they were asked
            for.
    """

    virials: np.ndarray | None
    distances: np.ndarray | None

    def __new__(
        cls,
        energies: np.ndarray,
        forces: np.ndarray,
        virial: np.ndarray | None,
        virials: np.ndarray | None = None,
        distances: np.ndarray | None = None,
    ) -> Self:
        """Make the tuple, with virials of the atoms and distances beside it."""
        made = super().__new__(cls, energies, forces, virial)
        made.virials = virials
        made.distances = distances
        return made


class Structure(NamedTuple):
    """Input of an evaluation, checked.

    Attributes:
        numbers: atomic numbers, int64 [N].
        positions: Angstrom, float64 [N, 3], contiguous.
        cell: rows are cell vectors, Angstrom, float64 [3, 3]; zeros without one.
        periodic: bool [3].
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    periodic: np.ndarray


class Symmetrised(Protocol):
    """A model under a symmetry.

    Attributes:
        step: random rotations are numbered by it; counts evaluations unless it is set before each.
    """

    step: int

    def evaluate(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        charge: int = 0,
        multiplicity: int = 1,
        *,
        cell: np.ndarray | None = None,
        periodic: np.ndarray | None = None,
        virials: bool = False,
        distances: bool = False,
    ) -> Evaluation:
        """Energies, forces and virial; arguments and errors as those of `Model.evaluate`."""
        ...


class Model(Protocol):
    """A loaded model file.

    Attributes:
        path: the file.
        metadata: of the file.
        sha256: of the file.
        runs_by: what evaluates it, "native kernels (avx2)" or "TorchScript".
    """

    path: Path
    metadata: Metadata
    sha256: str

    @property
    def runs_by(self) -> str:
        """What evaluates it."""
        ...

    def evaluate(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        charge: int = 0,
        multiplicity: int = 1,
        *,
        cell: np.ndarray | None = None,
        periodic: np.ndarray | None = None,
        virials: bool = False,
        distances: bool = False,
    ) -> Evaluation:
        """Energies, forces and virial of one structure.

        Args:
            numbers: atomic numbers, [N].
            positions: Angstrom, [N, 3].
            charge: total charge, e.
            multiplicity: spin multiplicity 2S + 1.
            cell: rows are cell vectors, [3, 3], Angstrom; needed along periodic axes.
            periodic: bool [3]; None for an isolated structure.
            virials: whether virials of the atoms are wanted, which cost more; native kernels have them.
            distances: whether distances from the training set are wanted, see `distances`. Native kernels measure them
                in the same evaluation, torch in one more.

        Returns:
            Energies of the atoms [N], eV, forces [N, 3], eV/Angstrom, and the virial [3, 3], eV; `Evaluation`.

        Raises:
            UsageError: an element, charge or multiplicity that the model does not know, positions of a wrong shape or
                not finite, a periodic structure for an all-to-all model or one without a cell, virials of atoms from
                torch, distances of a file without a sample, or a model that answers with energies or forces that are
                not finite.
        """
        ...

    def distances(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        charge: int = 0,
        multiplicity: int = 1,
        *,
        cell: np.ndarray | None = None,
        periodic: np.ndarray | None = None,
    ) -> np.ndarray:
        """How far each atom is from the training set, in the latent space.

        Args:
            numbers: atomic numbers, [N].
            positions: Angstrom, [N, 3].
            charge: total charge, e.
            multiplicity: spin multiplicity 2S + 1.
            cell: rows are cell vectors, [3, 3], Angstrom; needed along periodic axes.
            periodic: bool [3]; None for an isolated structure.

        Returns:
            float64 [N]: distance from the nearest atom of the sample that the file brings; 1 is the 99th percentile of
            held-out atoms.

        Raises:
            UsageError: the file has no sample, or what `evaluate` refuses.
        """
        ...

    def check_reference(self) -> bool:
        """Compare the structure that the file brings with its reference values.

        Returns:
            False if the file brings none.

        Raises:
            CheckFailedError: the file does not give the numbers here that it gave where it was exported.
        """
        ...

    def with_symmetry(
        self, request: SymmetryRequest, numbers: np.ndarray | None = None, reference: np.ndarray | None = None
    ) -> Symmetrised:
        """The model under a symmetry.

        Args:
            request: which symmetry; `SymmetryRequest.parse("average 12")` makes one.
            numbers: atomic numbers [N] of the reference frame; "frame" needs them.
            reference: positions of the reference frame, [N, 3], Angstrom; "frame" needs them.

        Returns:
            An object with the method `evaluate` of the model.

        Raises:
            UsageError: a symmetry that the file does not offer, or a reference that has no frame.
        """
        ...


def check_same_file(model: Model, sha256: str) -> None:
    """Raise UsageError unless a pickled model that was loaded again has the contents that it had."""
    if model.sha256 != sha256:
        raise UsageError(
            f"{model.path} is not the file that the pickled model was loaded from: its contents have changed. Bring "
            "the file back, or make the calculator anew."
        )


def check_distances(model: Model) -> None:
    """Raise UsageError unless the file of a model has a sample of its training set."""
    if not model.metadata.has_sample:
        raise UsageError(
            f"{model.path} has no sample of its training set, from which distances are measured. Add one to its "
            "checkpoint, `transip-md guard CHECKPOINT --data FRAMES -o guarded.ckpt`, and export that."
        )


def check_isolated(periodic: np.ndarray) -> None:
    """Raise UsageError for a structure that is periodic along any of its axes, bool [3]."""
    if np.any(periodic):
        raise UsageError(
            "The structure is periodic, and this model attends all-to-all: it describes isolated molecules only. "
            "Type `atoms.pbc = False`, or use a model with a cutoff."
        )


def shaped_positions(positions: np.ndarray, count: int) -> np.ndarray:
    """Positions of so many atoms as float64 [N, 3], contiguous. Raises UsageError: another shape."""
    positions = np.ascontiguousarray(positions, dtype=np.float64)
    if positions.shape != (count, 3):
        raise UsageError(f"positions must be [{count}, 3], got {list(positions.shape)}.")
    return positions


def checked(
    metadata: Metadata,
    numbers: np.ndarray,
    positions: np.ndarray,
    charge: int,
    multiplicity: int,
    cell: np.ndarray | None,
    periodic: np.ndarray | None,
) -> Structure:
    """Input of an evaluation as arrays of the types that evaluators take.

    Raises:
        UsageError: an element, charge or multiplicity that the model does not know, arrays of a wrong shape, positions
            that are not finite, a periodic structure for an all-to-all model.
    """
    numbers = np.ascontiguousarray(numbers, dtype=np.int64)
    metadata.check_species(set(numbers.tolist()))
    metadata.check_charge(charge, multiplicity)
    positions = shaped_positions(positions, len(numbers))
    if not np.isfinite(positions).all():
        raise UsageError("positions hold values that are not finite (NaN or infinity).")
    cell = np.zeros((3, 3)) if cell is None else np.ascontiguousarray(cell, dtype=np.float64)
    if cell.shape != (3, 3):
        raise UsageError(f"cell must be [3, 3], its rows the cell vectors; got {list(cell.shape)}.")
    periodic = np.zeros(3, dtype=bool) if periodic is None else np.asarray(periodic, dtype=bool)
    if periodic.shape != (3,):
        raise UsageError(f"periodic must be [3], one for each cell vector; got {list(periodic.shape)}.")
    if metadata.cutoff is None:
        check_isolated(periodic)
    return Structure(numbers, positions, cell, periodic)
