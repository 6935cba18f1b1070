"""The same numbers in another precision, and in every engine?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.engines import ENGINE_NAMES
from transip_md.exporting.recast import recast
from transip_md.validation.findings import Finding
from transip_md.validation.parity import compare_engines
from transip_md.validation.registry import check
from transip_md.validation.subject import MILLI, Subject


@check("precision", "float32 against float64")
def precision(subject: Subject) -> Iterator[Finding]:
    """The same model with weights of the other dtype."""
    if subject.symmetry.mode != "none":
        yield subject.skip("precision", f"of the network alone; here it is symmetry {subject.symmetry.text}")
        return
    other = "float32" if subject.dtype == "float64" else "float64"
    module = recast(subject.exported, other)
    if module is None:
        yield subject.skip("precision", "compiled code, or a model without weights: there is nothing to cast")
        return
    atoms, point = subject.shaken, subject.shaken_point
    neighbourhood = subject.exported.neighbourhood(atoms.positions, atoms.cell.array, atoms.pbc)
    inputs = subject.exported.inputs(
        atoms.numbers, atoms.positions, neighbourhood, subject.charge, subject.multiplicity
    )
    with torch.enable_grad(), torch.jit.optimized_execution(False):
        energies, rows = (output.cpu().numpy() for output in module(*inputs))
    forces = np.zeros_like(atoms.positions)
    np.add.at(forces, neighbourhood.owner, rows)
    note = f"weights cast to {other}"
    yield subject.judge("precision.energy", MILLI * abs(energies.sum() - point.energy) / len(atoms), note)
    yield subject.judge("precision.force", float(np.abs(forces - point.forces).max()), note)


@check("engines", "ASE, LAMMPS, OpenMM")
def engines(subject: Subject) -> Iterator[Finding]:
    """Energy and forces of the structure in every engine that is installed, against ASE."""
    for name in ENGINE_NAMES[1:]:
        try:
            rows, _ = compare_engines(
                subject.path, subject.atoms, [name], subject.folder, subject.device, subject.symmetry.text
            )
        except (EnvironmentFaultError, UsageError) as error:
            yield subject.skip("engines", f"{name}: {error}")
            continue
        for row in rows:
            yield subject.judge("engines.energy", row.energy_difference, row.engine)
            yield subject.judge("engines.force", row.force_difference, row.engine)
