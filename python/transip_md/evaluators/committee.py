"""Committees: several models of one structure, and how far apart they lie (the model deviation of DeePMD-kit)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from transip_md.common.errors import CheckFailedError, UsageError
from transip_md.evaluators.choose import load_evaluator
from transip_md.evaluators.evaluation import Evaluation, Model
from transip_md.evaluators.library_model import LibraryModel
from transip_md.modelfile.committee_file import models_in

HEADER = (
    "#       step         max_devi_v         min_devi_v         avg_devi_v         max_devi_f"
    "         min_devi_f         avg_devi_f             devi_e\n"
)


class DeviationError(CheckFailedError):
    """The models of a committee disagree by more than the bound that was set."""


@dataclass(frozen=True)
class Deviation:
    """Standard deviations over a committee's models, by n and not n - 1, as in DeePMD-kit's documentation.

    Attributes:
        forces: of each component, [N, 3], eV/Angstrom.
        virial: of each component divided by N, [3, 3], eV; None where a model has no virial.
        energy: of the energy divided by N, eV.
    """

    forces: np.ndarray
    virial: np.ndarray | None
    energy: float

    @classmethod
    def of(cls, found: Sequence[Evaluation]) -> Self:
        """The deviations of what the models give for one structure."""
        atoms = max(len(found[0].energies), 1)
        virials = [one.virial for one in found if one.virial is not None]
        return cls(
            forces=np.std([one.forces for one in found], axis=0),
            virial=np.std(virials, axis=0) / atoms if len(virials) == len(found) else None,
            energy=float(np.std([one.energies.sum() for one in found])) / atoms,
        )

    @property
    def of_atoms(self) -> np.ndarray:
        """sqrt(<|F_i - <F_i>|^2>) of each atom, [N], eV/Angstrom."""
        return np.linalg.norm(self.forces, axis=1)

    def line(self, step: int) -> str:
        """The line of a deviation file: step, max, min and mean of virial and forces, and the energy."""
        of_virial = np.full(3, np.nan)
        if self.virial is not None:
            of_virial = np.array([self.virial.max(), self.virial.min(), np.sqrt(np.mean(self.virial**2))])
        of_forces = self.of_atoms
        numbers = [*of_virial, of_forces.max(), of_forces.min(), of_forces.mean(), self.energy]
        return f"{step:12d}" + "".join(f" {number:18.6e}" for number in numbers) + "\n"


def each_model(models: Path | str | Sequence[Path | str | Model]) -> list[str | Model]:
    """Models of a committee, those in a committee's file one by one, as `load_evaluator` takes them.

    Raises:
        UsageError: fewer than two, or a file that cannot be used.
    """
    listed = [models] if isinstance(models, (str, Path)) else models
    found: list[str | Model] = []
    for model in listed:
        found += models_in(model) if isinstance(model, (str, Path)) else [model]
    if len(found) < 2:
        raise UsageError(f"A committee is two models or more; got {len(found)}.")
    return found


def share_neighbours(models: Sequence[Model]) -> None:
    """Have models that are given the same structures in turn find their neighbours once, where they can."""
    first, *others = models
    for other in others:
        if isinstance(first, LibraryModel) and isinstance(other, LibraryModel):
            other.share_neighbours(first)


class Committee:
    """Several models that are given the same structures.

    Attributes:
        models: two or more; the first is the one whose forces drive dynamics.
    """

    def __init__(self, models: Path | str | Sequence[Path | str | Model], **options: object) -> None:
        """Load the models.

        Args:
            models: files made by ``transip-md export``, with one model each or with a committee, or models already
                loaded.
            **options: device, kernels and threads, as `load_evaluator` takes them.

        Raises:
            UsageError: fewer than two, or a file that cannot be used.
            CheckFailedError: a file does not give the numbers here that it gave where it was exported.
        """
        self.models: list[Model] = []
        for model in each_model(models):
            if isinstance(model, (str, Path)):
                model = load_evaluator(model, **options)  # type: ignore[arg-type]
                model.check_reference()
            self.models.append(model)
        share_neighbours(self.models)

    def evaluate(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        charge: int = 0,
        multiplicity: int = 1,
        *,
        cell: np.ndarray | None = None,
        periodic: np.ndarray | None = None,
    ) -> tuple[list[Evaluation], Deviation]:
        """What each model gives, and the deviation; arguments and errors as those of `Model.evaluate`."""
        found = [
            model.evaluate(numbers, positions, charge, multiplicity, cell=cell, periodic=periodic)
            for model in self.models
        ]
        return found, Deviation.of(found)


class DeviationFile:
    """A file of deviations in DeePMD-kit's columns, eV and Angstrom, which ``numpy.loadtxt`` reads."""

    def __init__(self, path: Path | str) -> None:
        """Begin the file anew. Raises OSError."""
        self._path = Path(path)
        self._path.write_text(HEADER)

    def write(self, step: int, deviation: Deviation) -> None:
        """Append one line. Raises OSError."""
        with self._path.open("a") as output:
            output.write(deviation.line(step))


def require_below(bound: float | None, deviation: Deviation, step: int, numbers: np.ndarray) -> None:
    """Refuse a structure whose forces are too uncertain.

    Args:
        bound: of an atom's deviation, eV/Angstrom; None: there is none.
        deviation: of the structure.
        step: its number, for the message.
        numbers: atomic numbers, [N].

    Raises:
        DeviationError: an atom's deviation is above it.
    """
    of_atoms = deviation.of_atoms
    if bound is None or not of_atoms.max() > bound:
        return
    from ase.data import chemical_symbols

    atom = int(of_atoms.argmax())
    raise DeviationError(
        f"Step {step}: the models' forces on atom {atom} ({chemical_symbols[numbers[atom]]}, counted from 0) deviate "
        f"by {of_atoms[atom]:.4g} eV/Angstrom, above the bound of {bound:.4g}: do not trust them."
    )
