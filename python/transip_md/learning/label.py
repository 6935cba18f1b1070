"""Labels of structures: by a teacher, by the user's own calculator, or by files that somebody else fills."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

from transip_md.common.errors import TransIPError, UsageError
from transip_md.common.whole_files import replacing, write_whole
from transip_md.data.electronic_state import state_of
from transip_md.learning.project import WAIT
from transip_md.sampling.recipe import SamplingRecipe
from transip_md.sampling.smiles import as_extended_xyz
from transip_md.sampling.teacher import teacher_calculator


class TeacherFailedError(Exception):
    """A teacher has no labels for a structure."""


class WaitingError(TransIPError):
    """Structures wait for labels that somebody else makes."""

    exit_code = 0


def calculator_for(teacher: str, atoms: ase.Atoms) -> Any:
    """An ase calculator that labels a structure.

    Args:
        teacher: "gfn2-xtb", "gfn1-xtb" or "module:function"; the function is called with the structure.
        atoms: the structure; charge and multiplicity as it states them.

    Raises:
        UsageError: no such teacher.
        EnvironmentFaultError: tblite is not installed.
    """
    module, colon, name = teacher.partition(":")
    if not colon:
        charge, multiplicity = state_of(atoms, "The structure")
        recipe = SamplingRecipe(
            teacher=teacher, temperature=300.0, seed=0, charge=charge, multiplicity=multiplicity
        )  # fmt: skip
        return teacher_calculator(recipe)
    try:
        return getattr(importlib.import_module(module), name)(atoms)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"The teacher {teacher} cannot be imported: {error}. Expected module:function, on the path of Python."
        ) from error


def labels_by(teacher: str, atoms: ase.Atoms) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces [N, 3] (eV/Angstrom) of a structure by a teacher.

    Args:
        teacher: see `calculator_for`, whose errors are raised too.
        atoms: the structure, which is left as it is.

    Raises:
        TeacherFailedError: the teacher fails, or gives what is not finite.
    """
    copy = atoms.copy()
    # Constraints would zero labels.
    copy.set_constraint()
    copy.calc = calculator_for(teacher, atoms)
    try:
        energy, forces = float(copy.get_potential_energy()), np.asarray(copy.get_forces())
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise ValueError("energy or forces are not finite")
    except Exception as error:  # teachers fail in as many ways as there are programs
        raise TeacherFailedError(f"{type(error).__name__}: {error}") from error
    return energy, forces


def label(
    structures: Sequence[ase.Atoms],
    teacher: str,
    folder: Path,
    advanced: Callable[[int], None] = lambda done: None,
) -> tuple[list[ase.Atoms], int]:
    """Label structures, each once: what is there is not computed again.

    Args:
        structures: without labels.
        teacher: see `calculator_for`; "wait" writes NUMBER.xyz and takes labels from NUMBER.extxyz.
        folder: a file for each structure.
        advanced: called with the number of structures done.

    Returns:
        Frames with labels, and the number of structures that the teacher failed on.

    Raises:
        WaitingError: the teacher is "wait", and labels are missing.
        UsageError: no such teacher, or a file with labels that are not those of its structure.
    """
    folder.mkdir(exist_ok=True)
    frames, failed, missing = [], 0, 0
    for number, atoms in enumerate(structures):
        labelled, refused = folder / f"{number:04d}.extxyz", folder / f"{number:04d}.failed"
        if not labelled.is_file() and not refused.is_file():
            if teacher == WAIT:
                missing += 1
                write_whole(folder / f"{number:04d}.xyz", as_extended_xyz(atoms))
            else:
                _label_one(atoms, teacher, labelled, refused)
        if labelled.is_file():
            frames.append(_read(labelled, atoms))
        failed += refused.is_file()
        advanced(number + 1)
    if missing:
        raise WaitingError(
            f"{missing} structures wait for labels: for every NUMBER.xyz in {folder} write a NUMBER.extxyz with its "
            "energy (eV) and forces (eV/Angstrom), or a NUMBER.failed, and give the command again."
        )
    return frames, failed


def _label_one(atoms: ase.Atoms, teacher: str, labelled: Path, refused: Path) -> None:
    try:
        energy, forces = labels_by(teacher, atoms)
    except TeacherFailedError as failure:
        write_whole(refused, f"{failure}\n")
        return
    copy = atoms.copy()
    copy.calc = SinglePointCalculator(copy, energy=energy, forces=forces)
    with replacing(labelled) as partial:
        ase.io.write(partial, copy, format="extxyz")


def _read(path: Path, atoms: ase.Atoms) -> ase.Atoms:
    frame = ase.io.read(path, format="extxyz")
    results = {} if frame.calc is None else frame.calc.results
    if not np.array_equal(frame.numbers, atoms.numbers) or np.abs(frame.positions - atoms.positions).max() > 1e-4:
        raise UsageError(f"{path} holds another structure than the one that was to be labelled.")
    if "energy" not in results or "forces" not in results:
        raise UsageError(
            f"{path} has no labels. Expected energy (eV) and forces (eV/Angstrom) as extended XYZ has them."
        )
    return frame
