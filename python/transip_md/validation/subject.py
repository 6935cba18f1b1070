"""What checks look at: a model with one structure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import ase
import numpy as np
import torch

from transip_md.evaluators.choose import load_evaluator
from transip_md.evaluators.evaluation import Model, Symmetrised
from transip_md.evaluators.symmetrised import SymmetrisedForward
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.symmetry.request import SymmetryRequest
from transip_md.validation.findings import Finding
from transip_md.validation.thresholds import thresholds

#: Displacement (standard deviation, Angstrom) that takes a relaxed structure to forces of some eV/Angstrom.
SHAKE = 0.03
#: Structures with more atoms get fewer samples of everything.
LARGE = 60
MILLI = 1e3


class Point(NamedTuple):
    """Energy (eV), forces (eV/Angstrom, [N, 3]) and virial (eV, [3, 3], or None) of one structure."""

    energy: float
    forces: np.ndarray
    virial: np.ndarray | None


@dataclass
class Subject:
    """A model with one structure.

    Attributes:
        path: the model file.
        exported: the model, loaded by torch: what looks inside the network asks it.
        name: of the structure.
        atoms: the structure as it was given.
        frames: all frames of its file, for labels.
        charge: total charge, e.
        multiplicity: spin multiplicity.
        folder: for files that engines need.
        device: where the model runs.
        checkpoint: that the file was made from, if it is at hand.
        seed: of everything random.
        symmetry: what every evaluation goes through; a frame superposes on the structure as it was given.
    """

    path: Path
    exported: ExportedModel
    name: str
    atoms: ase.Atoms
    frames: list[ase.Atoms]
    charge: int
    multiplicity: int
    folder: Path
    device: str = "auto"
    checkpoint: Path | None = None
    seed: int = 0
    symmetry: SymmetryRequest = field(default_factory=SymmetryRequest)

    @property
    def dtype(self) -> str:
        """Of the model's weights."""
        return self.exported.metadata.dtype

    @property
    def periodic(self) -> bool:
        """Whether the structure is periodic in some direction."""
        return bool(self.atoms.pbc.any())

    @property
    def cutoff(self) -> float | None:
        """Of the model, Angstrom; None for all-to-all attention."""
        return self.exported.metadata.cutoff

    @property
    def framed(self) -> bool:
        """Whether the structure is superposed on itself as given: other atoms cannot be evaluated then."""
        return self.symmetry.mode == "frame"

    @cached_property
    def forward(self) -> SymmetrisedForward | None:
        """The symmetry made ready for torch; None for the model as it is."""
        if self.symmetry.mode == "none":
            return None
        return SymmetrisedForward(self.exported, self.symmetry, self.atoms.numbers, self.atoms.positions)

    def many(self, small: int, large: int) -> int:
        """A number of samples: fewer for large structures."""
        return small if len(self.atoms) <= LARGE else large

    def rng(self) -> np.random.Generator:
        """Random numbers, the same for each check."""
        return np.random.default_rng(self.seed)

    @cached_property
    def shaken(self) -> ase.Atoms:
        """The structure with every atom displaced at random, so that no force is small by symmetry."""
        atoms = self.atoms.copy()
        atoms.positions += self.rng().normal(scale=SHAKE, size=atoms.positions.shape)
        return atoms

    @cached_property
    def shaken_point(self) -> Point:
        """Of `shaken`."""
        return self.evaluate(self.shaken)

    @cached_property
    def model(self) -> Model:
        """What energies and forces come from: the native kernels where they know the network."""
        return load_evaluator(self.path, device=self.device)

    @cached_property
    def symmetrised(self) -> Symmetrised:
        """The same under the symmetry."""
        return self.symmetrised_on(self.atoms)

    def symmetrised_on(self, reference: ase.Atoms) -> Symmetrised:
        """The same with another reference of the frame."""
        return self.model.with_symmetry(self.symmetry, reference.numbers, reference.positions)

    def evaluate(self, atoms: ase.Atoms, by: Symmetrised | None = None) -> Point:
        """Energy, forces and virial of a structure.

        Args:
            atoms: the structure.
            by: a model under another symmetry than the subject's.

        Raises:
            UsageError: the model answers with no number, or the structure has no frame.
        """
        result = (by or self.symmetrised).evaluate(
            atoms.numbers,
            atoms.positions,
            self.charge,
            self.multiplicity,
            cell=atoms.cell.array,
            periodic=atoms.pbc,
        )
        return Point(float(result.energies.sum()), result.forces, result.virial)

    def run(self, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies of tokens and forces on rows, as `transip_md.evaluators.torch_model.ExportedModel.run`."""
        return self.exported.run(inputs) if self.forward is None else self.forward.run(inputs)

    def judge(
        self, key: str, value: float, note: str = "", *, certain: float | None = None, doubt: bool = False
    ) -> Finding:
        """A finding with the verdict that the thresholds give.

        Args:
            key: ``check.quantity``.
            value: in the threshold's unit.
            note: what else belongs to it.
            certain: what of the value is beyond its uncertainty, and is judged; None: all of it.
            doubt: the number is too uncertain for PASS; it becomes WARN.
        """
        threshold = thresholds()[key]
        good, bad = threshold.levels(self.dtype)
        verdict = threshold.judge(value if certain is None else certain, self.dtype)
        if doubt and verdict == "PASS":
            verdict = "WARN"
        return Finding(
            key.split(".")[0], self.name, key, threshold.label, float(value), threshold.unit, good, bad, verdict, note
        )

    def skip(self, check: str, why: str) -> Finding:
        """A finding that a check does not apply, with the reason."""
        return Finding(check, self.name, check, "", None, "", None, None, "SKIP", why)

    def fail(self, check: str, why: str) -> Finding:
        """A finding of a check that ended without a number."""
        return Finding(check, self.name, check, "no number", None, "", None, None, "FAIL", why)
