"""Whether a structure is of a kind that the model was trained on. Elements and charge have been checked before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase.data import chemical_symbols

from transip_md.data.frames import closest_pair
from transip_md.validation.findings import Finding
from transip_md.validation.registry import check
from transip_md.validation.subject import Subject


@check("known", "Whether the model knows the structure's kind")
def known(subject: Subject) -> Iterator[Finding]:
    """Closest pair, size and environments of the atoms, held against the training set."""
    atoms, training = subject.atoms, subject.exported.metadata.training
    closest, largest = training.get("closest_pair"), training.get("largest")
    here = closest_pair(atoms.positions, atoms.cell.array, atoms.pbc)
    if isinstance(closest, (int, float)) and np.isfinite(here):
        note = f"{here:.3g} here, {closest:.3g} Angstrom in training"
        yield subject.judge("known.closest_pair", closest / here, note)
    if isinstance(largest, int) and subject.cutoff is None:
        yield subject.judge("known.size", len(atoms) / largest, f"{len(atoms)} here, up to {largest} in training")
    if not subject.exported.metadata.has_sample:
        yield subject.skip("known", "the file has no sample of its training set; `transip-md guard` adds one")
        return
    distances = subject.model.distances(
        atoms.numbers, atoms.positions, subject.charge, subject.multiplicity, cell=atoms.cell.array, periodic=atoms.pbc
    )
    farthest = int(distances.argmax())
    note = (
        f"atom {farthest} ({chemical_symbols[atoms.numbers[farthest]]}) is the farthest; "
        f"{np.count_nonzero(distances > 1.0)} of {len(atoms)} atoms are beyond 1"
    )
    yield subject.judge("known.environment", float(distances.max()), note)
