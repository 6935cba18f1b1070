"""The same structure in several engines: do they give the same numbers?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ase
import numpy as np

from transip_md.common.tolerances import PARITY, Tolerance
from transip_md.engines import make_engine
from transip_md.engines.ase.engine import AseEngine
from transip_md.engines.base import Job, SinglePoint
from transip_md.modelfile.metadata import read_metadata

#: Platforms of OpenMM that hand a native force double positions.
OPENMM_PLATFORMS = ("Reference", "CPU")


@dataclass(frozen=True)
class Agreement:
    """An engine against the Python reference.

    Attributes:
        engine: its name.
        energy: its total energy, eV.
        energy_difference: from the reference, eV.
        force_difference: largest of a component, eV/Angstrom.
        passed: both within the tolerance of the model's dtype.
    """

    engine: str
    energy: float
    energy_difference: float
    force_difference: float
    passed: bool


def compare_engines(
    model: Path,
    atoms: ase.Atoms,
    engines: list[str],
    folder: Path,
    device: str = "auto",
    symmetry: str = "none",
    reference: np.ndarray | None = None,
) -> tuple[list[Agreement], Tolerance]:
    """Evaluate one structure in every engine and compare with the Python reference.

    Args:
        model: an exported model file.
        atoms: the structure; periodic for models with a cutoff only.
        engines: names of engines.
        folder: for the files that engines need.
        device: where the model runs.
        symmetry: "none", "average N", "frame" or the like.
        reference: positions that the frame superposes on, Angstrom, [N, 3]; None: the structure's own.

    Returns:
        One row an engine (for OpenMM one a platform), and the tolerance that decided.
    """
    tolerance = PARITY[read_metadata(model).dtype]
    allowed = Tolerance(tolerance.energy_of(len(atoms)), tolerance.force)
    job = Job(model, atoms, folder, device, symmetry, reference)
    reference = AseEngine(kernels="torch").single_point(job)

    def row(name: str, point: SinglePoint) -> Agreement:
        """Compare one engine's numbers."""
        energy = abs(point.energy - reference.energy)
        force = float(np.abs(point.forces - reference.forces).max())
        return Agreement(name, point.energy, energy, force, energy <= allowed.energy and force <= allowed.force)

    rows = []
    for name in engines:
        if name == "openmm":
            for platform in OPENMM_PLATFORMS:
                engine = make_engine(name, platform=platform)
                rows.append(row(f"openmm, {platform}", engine.single_point(job)))
        else:
            rows.append(row(name, make_engine(name).single_point(job)))
    return rows, allowed
