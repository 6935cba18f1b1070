"""The python backend: OpenMM's PythonForce around `transip_md.evaluators`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transip_md.common import units
from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.engines.openmm.request import ForceRequest, sha256_of

if TYPE_CHECKING:
    import openmm

    from transip_md.evaluators.evaluation import Symmetrised


def find_model(path: Path, sha256: str) -> Path:
    """Where a model file lies now: the twin of find_model in ``openmm_plugin/model_file.h``.

    Args:
        path: where it lay when the force was made.
        sha256: of its contents.

    Returns:
        `path`, or the file of that name and contents in a folder of ``$TRANSIP_MD_MODELS`` or in the current folder.

    Raises:
        UsageError: there is none.
    """
    named = [Path(folder) for folder in os.environ.get("TRANSIP_MD_MODELS", "").split(os.pathsep) if folder]
    for candidate in (path, *(folder / path.name for folder in named), Path(path.name)):
        if candidate.is_file() and sha256_of(candidate) == sha256:
            return candidate
    what = (
        f"{path} is not the file that the force was made from: its contents have changed."
        if path.is_file()
        else f"No such model file: {path}."
    )
    raise UsageError(
        f"{what} A file {path.name} with SHA-256 {sha256} is not in the current folder nor in the folders of "
        "TRANSIP_MD_MODELS either. Bring the file back, name its folder in TRANSIP_MD_MODELS, or make the force anew "
        "with transip_md.engines.openmm.create_force."
    )


class Computation:
    """What a PythonForce calls: energy and forces of a State's particles.

    It is pickled when the System is serialized: the model itself is loaded at the first call, and left out.
    """

    def __init__(self, request: ForceRequest) -> None:
        """Remember what to evaluate."""
        self.path = str(request.model)
        self.sha256 = request.sha256()
        self.numbers = request.numbers
        self.charge, self.multiplicity = request.charge, request.multiplicity
        self.device, self.threads = request.device, request.threads
        self.periodic, self.among_images = request.periodic, request.among_images
        self.symmetry, self.reference = request.symmetry, request.reference
        self._model: Symmetrised | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the model."""
        return {**self.__dict__, "_model": None}

    def load(self) -> Symmetrised:
        """The model; see `transip_md.evaluators.choose.load_evaluator` for what it raises."""
        if self._model is None:
            from transip_md.evaluators.choose import load_evaluator

            file = find_model(Path(self.path), self.sha256)
            model = load_evaluator(file, device=self.device, threads=self.threads)
            reference = np.array(self.reference).reshape(-1, 3) * units.ANGSTROM_PER_NM
            self._model = model.with_symmetry(self.symmetry, np.array(self.numbers), reference)
        return self._model

    def __call__(self, state: openmm.State) -> tuple[float, np.ndarray]:
        """Energy in kJ/mol and forces in kJ/mol/nm, [N, 3]; positions and box vectors of the State are in nm."""
        import torch
        from openmm.unit import nanometer

        from transip_md.engines.openmm.whole import check_whole

        positions = state.getPositions(asNumpy=True).value_in_unit(nanometer) * units.ANGSTROM_PER_NM
        cell = periodic = None
        if self.periodic or self.among_images:
            box = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(nanometer) * units.ANGSTROM_PER_NM
            if self.periodic:
                cell, periodic = box, np.ones(3, dtype=bool)
            else:
                check_whole(torch.from_numpy(positions), torch.from_numpy(box))
        model = self.load()
        model.step = state.getStepCount()
        found = model.evaluate(
            np.array(self.numbers),
            positions,
            self.charge,
            self.multiplicity,
            cell=cell,
            periodic=periodic,
        )
        force = units.KJ_PER_MOL_PER_EV * units.ANGSTROM_PER_NM
        return float(found.energies.sum()) * units.KJ_PER_MOL_PER_EV, found.forces * force


def make_force(request: ForceRequest) -> openmm.Force:
    """A PythonForce.

    Raises:
        EnvironmentFaultError: OpenMM is not installed or older than 8.4, or as
            `transip_md.evaluators.choose.load_evaluator`.
        UsageError: torch cannot load the file.
    """
    try:
        import openmm
    except ImportError as error:
        raise EnvironmentFaultError("OpenMM is not installed. Type `pip install 'transip-md[openmm]'`.") from error
    if not hasattr(openmm, "PythonForce"):
        raise EnvironmentFaultError(
            f"OpenMM {openmm.version.version} has no PythonForce. Type `pip install 'openmm>=8.4'`."
        )
    request.symmetry.check_thermostat(None, "Use the backend native")
    computation = Computation(request)
    computation.load()
    force = openmm.PythonForce(computation)
    # Without, the State would bring no box.
    force.setUsesPeriodicBoundaryConditions(request.periodic or request.among_images)
    if not request.everything:
        force.setParticles(request.particles)
    return force
