"""Labels of the frames of files: a teacher's, what the frames' own exceed them by, or either with a model's added."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase
import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

from transip_md.common.errors import UsageError
from transip_md.common.locks import exclusive
from transip_md.common.whole_files import naming
from transip_md.data.electronic_state import state_of
from transip_md.data.structures import read_frames
from transip_md.evaluators.choose import load_evaluator
from transip_md.evaluators.evaluation import Model
from transip_md.learning.label import TeacherFailedError, labels_by
from transip_md.sampling.frame_files import Dropped, whole_frames
from transip_md.sampling.teacher import bare

#: Angstrom: positions of a file of frames are those of the structures to this.
SAME = 1e-6


@dataclass(frozen=True)
class Labelling:
    """What the labels of a file of frames are made of.

    Attributes:
        teacher: see `calculator_for`; None: the labels that the frames have.
        subtract: the frames' own labels minus the teacher's, instead of the teacher's.
        models: model files whose mean is added.
    """

    teacher: str | None = None
    subtract: bool = False
    models: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Raises UsageError: nothing is to be done, or there is nothing to subtract."""
        if self.teacher is None and not self.models:
            raise UsageError("Expected --teacher, or --add with a model file: the frames have their own labels.")
        if self.subtract and self.teacher is None:
            raise UsageError("--subtract takes a teacher's labels from the frames' own. Name one with --teacher.")

    def text(self) -> str:
        """The labels in words; a model by the start of its file's hash. Frames state it as `labels`."""
        parts = "own" if self.teacher is None else f"own - {self.teacher}" if self.subtract else self.teacher
        digests = [hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in self.models]
        return f"{parts} + {', '.join(digests)}" if digests else parts


def label_frames(files: Sequence[Path], output: Path, labelling: Labelling) -> Iterator[tuple[int, int]]:
    """Write the frames of files with new labels into one file.

    Called again, it resumes behind the last whole frame. ``OUTPUT.dropped`` lists structures that the teacher fails on.

    Args:
        files: structures in any format that ase reads; charge and multiplicity as they state them.
        output: extended XYZ file: energy (eV), forces (eV/Angstrom), and as info `labels` (`Labelling.text`) and
            `structure`, the number among all, from 0.
        labelling: what the labels are.

    Yields:
        How many structures are done, and how many there are; once at the start and after each.

    Raises:
        UsageError: a file that cannot be read, frames without labels that are needed, no such teacher, a model that
            does not know a structure, or an output with other frames.
        EnvironmentFaultError: tblite is not installed, or another process writes the output.
    """
    structures = [(f"{path}, frame {index}", atoms) for path in files for index, atoms in enumerate(read_frames(path))]
    models = [load_evaluator(path, device="cpu") for path in labelling.models]
    text = labelling.text()
    with naming(output), exclusive(output):
        last = _last_structure(output, text, structures)
        dropped = Dropped(output, last)
        done = max([last, *dropped.numbers]) + 1
        yield done, len(structures)
        for number in range(done, len(structures)):
            where, atoms = structures[number]
            try:
                frame = _labelled(atoms, where, labelling, models)
            except TeacherFailedError as failure:
                dropped.add(number, "failed", str(failure))
            else:
                frame.info |= {"labels": text, "structure": number}
                ase.io.write(output, frame, append=True, format="extxyz")
            yield number + 1, len(structures)


def _last_structure(output: Path, text: str, structures: Sequence[tuple[str, ase.Atoms]]) -> int:
    """Number of the last structure that the output has a frame of, -1 without one. Raises UsageError."""
    if not output.exists() or not whole_frames(output):
        return -1
    frame = ase.io.read(output, index=-1, format="extxyz")
    number = frame.info.get("structure", -1)
    is_ours = (
        frame.info.get("labels") == text
        and 0 <= number < len(structures)
        and np.array_equal(frame.numbers, structures[number][1].numbers)
        and bool(np.abs(frame.positions - structures[number][1].positions).max() < SAME)
    )
    if not is_ours:
        raise UsageError(
            f"{output} exists and does not hold these structures with labels {text!r}. Remove it or choose another "
            "output file."
        )
    return int(number)


def _own_labels(atoms: ase.Atoms, where: str) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Angstrom) that a frame has. Raises UsageError."""
    results = {} if atoms.calc is None else atoms.calc.results
    if "energy" not in results or "forces" not in results:
        raise UsageError(f"{where} has no labels. Expected energy (eV) and forces (eV/Angstrom).")
    return float(results["energy"]), np.asarray(results["forces"])


def _labelled(atoms: ase.Atoms, where: str, labelling: Labelling, models: Sequence[Model]) -> ase.Atoms:
    """A structure with its new labels. Raises UsageError and TeacherFailedError."""
    charge, multiplicity = state_of(atoms, where)
    if labelling.teacher is None:
        energy, forces = _own_labels(atoms, where)
    elif labelling.subtract:
        own_energy, own_forces = _own_labels(atoms, where)
        energy, forces = labels_by(labelling.teacher, atoms)
        energy, forces = own_energy - energy, own_forces - forces
    else:
        energy, forces = labels_by(labelling.teacher, atoms)
    for model in models:
        try:
            found = model.evaluate(
                atoms.numbers, atoms.positions, charge, multiplicity, cell=atoms.cell.array, periodic=atoms.pbc
            )
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
        energy += float(found.energies.sum()) / len(models)
        forces = forces + found.forces / len(models)
    frame = bare(atoms)
    if (charge, multiplicity) != (0, 1):
        frame.info |= {"charge": charge, "multiplicity": multiplicity}
    frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces)
    return frame
