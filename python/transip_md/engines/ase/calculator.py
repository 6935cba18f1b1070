"""ASE calculator on an exported model file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import ase
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from transip_md.data.electronic_state import NEUTRAL_SINGLET, ElectronicState, Statement, state_of, statement_of
from transip_md.evaluators.choose import load_evaluator
from transip_md.evaluators.distance import DistanceError, beyond
from transip_md.evaluators.evaluation import Evaluation, Model, Symmetrised, check_distances
from transip_md.modelfile.metadata import NOT_CONSERVATIVE
from transip_md.symmetry.request import SymmetryRequest


class TransIPCalculator(Calculator):
    """Energies (eV) and forces (eV/Angstrom), and for periodic structures stress (eV/Angstrom^3).

    A model without a cutoff takes isolated molecules only. Stress is -virial / volume, in ase's sign and order (xx, yy,
    zz, yz, xz, xy). With `distances` the results have `training_distances`, how far each atom is from the training set.
    `stresses` are the atoms' shares of it (docs/conventions.md), by native kernels: they sum to it.

    Examples:
        >>> atoms.calc = TransIPCalculator("model.pt")
        >>> atoms.get_potential_energy()

    Attributes:
        evaluation: what the model gave last, `transip_md.evaluators.evaluation.Evaluation`.
    """

    evaluation: Evaluation
    #: The copy of the last structure, if nothing but positions has changed since; ase forgets its own before an
    #: evaluation.
    _moved: ase.Atoms | None = None
    #: Of its box, Angstrom^3; None: it is not periodic along all axes.
    _volume: float | None = None
    # Pickles of earlier versions do not have them.
    distances = False
    distance_above: float | None = None
    evaluations = 0

    implemented_properties: ClassVar[list[str]] = [  # type: ignore[misc]
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
        "stresses",
    ]

    def __init__(
        self,
        model: Path | str | Model,
        *,
        device: str = "auto",
        kernels: str = "auto",
        threads: int = 0,
        charge: int | None = None,
        multiplicity: int | None = None,
        symmetry: str = "none",
        reference: ase.Atoms | np.ndarray | None = None,
        distances: bool = False,
        distance_above: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Load the model.

        Args:
            model: a file made by ``transip-md export``, or one already loaded.
            device: "auto", "cpu", "cuda" or "cuda:N".
            kernels: "native": the project's own kernels, on the CPU (`transip-md build library`). "torch": TorchScript.
                "auto": the kernels where they are built and know the network.
            threads: CPU threads of one evaluation by the kernels; the numbers do not depend on it. 0: what
                OMP_NUM_THREADS, or all cores; small molecules stay on one.
            charge: total charge, e; None: what each structure states, or 0. See docs/conventions.md.
            multiplicity: spin multiplicity; None: what each structure states, or 1.
            symmetry: "none", "average N", "average N inversion", "frame", or "random SEED" for runs with a thermostat;
                see docs/symmetry.md.
            reference: what "frame" superposes on: a structure or its positions, [N, 3] in Angstrom. None: the first
                structure that is evaluated; a run that is taken up again must be given the same.
            distances: put `training_distances` into the results, [N]: 1 is the 99th percentile of held-out atoms. Of
                model files that have a sample of their training set. Native kernels measure them in the evaluation of
                the forces, torch in one more.
            distance_above: bound of an atom's distance, above which a structure is refused; None: no bound.
            **kwargs: handed to ase's Calculator.

        Raises:
            UsageError: the file cannot be used, does not offer the symmetry, or has no sample for the distances, or the
                model does not know the charge or multiplicity.
            CheckFailedError: the file does not give the numbers here that it gave where it was exported.
        """
        super().__init__(**kwargs)
        if isinstance(model, (str, Path)):
            self.exported = load_evaluator(model, device=device, kernels=kernels, threads=threads)
            self.exported.check_reference()
        else:
            self.exported = model
        if charge is not None or multiplicity is not None:
            known = self.exported.metadata
            known.check_charge(
                known.charge[0] if charge is None else charge,
                known.multiplicity[0] if multiplicity is None else multiplicity,
            )
        if not self.exported.metadata.conservative:
            warnings.warn(NOT_CONSERVATIVE, stacklevel=2)
        self.distances = distances or distance_above is not None
        self.distance_above = distance_above
        if self.distances:
            check_distances(self.exported)
        self.charge = charge
        self.multiplicity = multiplicity
        self.symmetry = SymmetryRequest.parse(symmetry)
        self.symmetry.check_offered(self.exported.metadata.symmetry, self.exported.path)
        self.reference = reference.positions if isinstance(reference, ase.Atoms) else reference
        self._statement: Statement | None = None
        self._read = NEUTRAL_SINGLET
        self._symmetrised: Symmetrised | None = None
        if self.symmetry.mode != "frame":
            self._symmetrised = self.exported.with_symmetry(self.symmetry)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickle; those of earlier versions do not have the volume of their structure."""
        self.__dict__.update(state)
        if "_volume" not in state and self.atoms is not None:
            self._volume = _volume(self.atoms)

    def _state(self, atoms: ase.Atoms) -> ElectronicState:
        """Charge and multiplicity of a structure. Raises UsageError: the model does not know them."""
        stated = statement_of(atoms)
        if stated != self._statement:
            # A structure that is refused must not pass for one whose state has been read.
            self._statement = None
            where = f"The structure {atoms.get_chemical_formula()}"
            self._read = state_of(atoms, where, charge=self.charge, multiplicity=self.multiplicity)
            self._statement = stated
        self.exported.metadata.check_charge(*self._read)
        return self._read

    def check_state(self, atoms: ase.Atoms, tol: float = 1e-15) -> list[str]:
        """What changed since the last evaluation, to the last bit; `atoms.info`, which states the charge, is looked at.

        ase's own comparison, within a tolerance, takes longer than a step of a small molecule.
        """
        before = self.atoms
        self._moved = None
        if before is None or len(before) != len(atoms):
            return super().check_state(atoms, tol)
        now, then = _contents(atoms, statement_of(atoms)), _contents(before, self._statement)
        if now == then:
            return []
        changes = [name for name, one, other in zip(_LOOKED_AT, now, then, strict=True) if one != other]
        if changes == ["positions"]:
            self._moved = before
        return changes

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute everything at once; called by ase.

        Raises:
            DistanceError: an atom is farther from the training set than `distance_above`.
            UsageError: a periodic structure with an all-to-all model, an unknown element, positions not finite, a
                charge or multiplicity that the model does not know, or that is not the one asked for.
        """
        properties = properties or ["energy"]
        moved, self._moved = self._moved, None
        if atoms is None or moved is None or system_changes != ["positions"]:
            super().calculate(atoms, properties, system_changes)
            assert self.atoms is not None
            self._volume = _volume(self.atoms)
            state = self._state(self.atoms)
        else:
            # ase's copy of the whole structure takes a third of a step of a small molecule.
            moved.positions[...] = atoms.positions
            self.atoms = moved
            state = self._read
        atoms = self.atoms
        if self._symmetrised is None:
            self.reference = atoms.positions.copy() if self.reference is None else self.reference
            self._symmetrised = self.exported.with_symmetry(self.symmetry, atoms.numbers.copy(), self.reference)
        result = self._symmetrised.evaluate(
            atoms.numbers,
            atoms.positions,
            *state,
            cell=atoms.cell.array,
            periodic=atoms.pbc,
            virials="stresses" in properties,
            distances=self.distances,
        )
        self.evaluation = result
        total = float(result.energies.sum())
        self.results = {"energy": total, "free_energy": total, "energies": result.energies, "forces": result.forces}
        if self._volume is not None and result.virial is not None:
            self.results["stress"] = np.array(_stress(result.virial.tolist(), self._volume))
            if result.virials is not None:
                stresses = [_stress(virial, self._volume) for virial in result.virials.tolist()]
                self.results["stresses"] = np.array(stresses)
        self.evaluations += 1
        if result.distances is not None:
            self._judge(result.distances, atoms.numbers)

    def _judge(self, distances: np.ndarray, numbers: np.ndarray) -> None:
        self.results["training_distances"] = distances
        if self.distance_above is not None:
            complaint = beyond(self.distance_above, distances, self.evaluations - 1, numbers)
            if complaint is not None:
                # Nothing else may be taken from the results of a structure that is refused.
                self.results = {"training_distances": distances}
                raise DistanceError(complaint)


#: What the model is given of a structure, in the order of `_contents`.
_LOOKED_AT = ("positions", "numbers", "cell", "pbc", "info")


def _contents(atoms: ase.Atoms, statement: Statement | None) -> tuple[object, ...]:
    """What the model is given of a structure, and what that states of its charge."""
    # numpy's comparison of small arrays takes ten times as long.
    arrays = atoms.arrays
    box = atoms.cell.array.tobytes()
    return arrays["positions"].tobytes(), arrays["numbers"].tobytes(), box, atoms.pbc.tobytes(), statement


# Volume and stress are computed on plain numbers: numpy takes ten times as long for so few.
def _volume(atoms: ase.Atoms) -> float | None:
    """Volume of a structure's box, Angstrom^3; None: it is not periodic along all axes."""
    if not atoms.pbc.all():
        return None
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = atoms.cell.array.tolist()
    return abs(ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx))


def _stress(virial: list[list[float]], volume: float) -> list[float]:
    """Stress of a virial [3, 3], eV, in a volume, Angstrom^3: [6], eV/Angstrom^3, in ase's order."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = virial
    return [-component / volume for component in (xx, yy, zz, 0.5 * (yz + zy), 0.5 * (xz + zx), 0.5 * (xy + yx))]
