"""Run checks on a model and structures."""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import ase
import numpy as np

from transip_md.common.errors import UsageError
from transip_md.common.version import VERSION
from transip_md.data.electronic_state import known_state
from transip_md.data.structures import read_frames
from transip_md.evaluators.evaluation import check_isolated
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.plugins.locate import version_of
from transip_md.symmetry.request import SymmetryRequest
from transip_md.validation.checks import select
from transip_md.validation.findings import Curve, Validation
from transip_md.validation.registry import Check
from transip_md.validation.subject import Subject
from transip_md.validation.thresholds import thresholds

#: Called before each check with title, structure, checks done, checks in all.
ValidationProgress = Callable[[str, str, int, int], None]


def read_subjects(
    model: Path, structures: Sequence[Path], folder: Path, device: str = "auto", checkpoint: Path | None = None,
    seed: int = 0, symmetry: str = "none",
) -> list[Subject]:  # fmt: skip
    """Load a model and structures, and see that they go together.

    Args:
        model: an exported model file.
        structures: files that ase reads; the last frame is checked, all frames are looked at for labels.
        folder: for files that engines need.
        device: where the model runs.
        checkpoint: that the file was made from.
        seed: of everything random.
        symmetry: "none", "average N" or "frame"; see docs/symmetry.md.

    Raises:
        UsageError: a file that cannot be used, an element, charge or box that the model does not know, a symmetry that
            it does not offer, a structure that has no frame.
    """
    request = SymmetryRequest.parse(symmetry)
    request.check_repeatable("validate", 'Type --symmetry none, frame or "average N".')
    exported = ExportedModel(model, device)
    request.check_offered(exported.metadata.symmetry, model)
    names = [path.stem for path in structures]
    subjects = []
    for path, name in zip(structures, names, strict=True):
        frames = read_frames(path)
        atoms = frames[-1]
        exported.metadata.check_species(atoms.numbers)
        charge, multiplicity = known_state(exported.metadata, atoms, str(path))
        if exported.metadata.cutoff is None:
            check_isolated(atoms.pbc)
        plain = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, masses=atoms.get_masses())
        plain.info.update(charge=charge, multiplicity=multiplicity)
        unique = name if names.count(name) == 1 else str(path)
        subjects.append(
            Subject(
                model, exported, unique, plain, frames, charge, multiplicity, folder, device, checkpoint, seed,
                request,
            )
        )  # fmt: skip
        subjects[-1].evaluate(plain)
    return subjects


def validate(
    model: Path,
    structures: Sequence[Path],
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    device: str = "auto",
    checkpoint: Path | None = None,
    seed: int = 0,
    symmetry: str = "none",
    progress: ValidationProgress = lambda *_: None,
) -> Validation:
    """Measure what a model breaks.

    Args:
        model: an exported model file.
        structures: files that ase reads, at least one.
        only: names of checks; empty for all.
        skip: names of checks to leave out.
        device: where the model runs.
        checkpoint: that the file was made from; only for what T explains of the latent embedding.
        seed: of everything random.
        symmetry: "none", "average N" or "frame": what every evaluation goes through.
        progress: called before each check.

    Raises:
        UsageError: a file or name that cannot be used.
        EnvironmentFaultError: PyYAML is not installed.
    """
    checks = select(only, skip)
    thresholds()
    with tempfile.TemporaryDirectory() as folder:
        subjects = read_subjects(model, structures, Path(folder), device, checkpoint, seed, symmetry)
        result = Validation(
            model.name,
            subjects[0].exported.metadata.model_dump(mode="json"),
            [subject.name for subject in subjects],
            made_with={
                "transip-md": VERSION, **{p: version_of(p) or "none" for p in ("torch", "ase")}
            },
            symmetry=subjects[0].symmetry.text,
            date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        tasks = [
            (entry, subject) for entry in checks for subject in subjects if not entry.once or subject is subjects[0]
        ]
        for done, (entry, subject) in enumerate(tasks):
            progress(entry.title, subject.name, done, len(tasks))
            started = time.perf_counter()
            _carry_out(entry, subject, result)
            result.seconds[entry.name] = result.seconds.get(entry.name, 0.0) + time.perf_counter() - started
    return result


def _carry_out(entry: Check, subject: Subject, result: Validation) -> None:
    """Run one check; a model that answers with no number fails it."""
    try:
        for item in entry.measure(subject):
            if isinstance(item, Curve):
                result.curves.append(item)
            else:
                result.findings.append(item)
    except (UsageError, FloatingPointError, np.linalg.LinAlgError) as error:
        result.findings.append(subject.fail(entry.name, str(error)))
