"""`create_force`: an OpenMM force from a model file, by the backend that is asked for or the first that works."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from transip_md.common.errors import EnvironmentFaultError, TransIPError, UsageError
from transip_md.engines.openmm.request import (
    ForceRequest,
    check_device,
    check_integers,
    molecule_bonds,
    particle_count,
    particles_and_numbers,
    reference_places,
)
from transip_md.evaluators.choose import has_native_kernels
from transip_md.modelfile.certificate import print_certificate
from transip_md.modelfile.metadata import NOT_CONSERVATIVE, read_metadata
from transip_md.symmetry.request import SymmetryRequest

if TYPE_CHECKING:
    import numpy as np
    import openmm
    import openmm.app

Backend = Literal["auto", "native", "torchforce", "python"]
#: In the order in which "auto" tries them, with the modules that make them.
BACKENDS = {
    "native": "transip_md.engines.openmm.native",
    "torchforce": "transip_md.engines.openmm.torch_force",
    "python": "transip_md.engines.openmm.python_force",
}

logger = logging.getLogger("transip_md.openmm")


def create_force(
    model: Path | str,
    topology_or_numbers: openmm.app.Topology | Sequence[int],
    *,
    charge: int = 0,
    multiplicity: int = 1,
    particles: Sequence[int] | None = None,
    backend: Backend = "auto",
    device: str = "auto",
    threads: int | None = None,
    periodic: bool | None = None,
    symmetry: str = "none",
    reference: openmm.unit.Quantity | np.ndarray | None = None,
) -> openmm.Force:
    """Make an OpenMM force from an exported TransIP model.

    Examples:
        >>> system.addForce(transip_md.engines.openmm.create_force("model.pt", pdb.topology))

    Args:
        model: a file made by ``transip-md export``.
        topology_or_numbers: an OpenMM Topology, or the atomic number of every particle of the System.
        charge: total charge of the particles, e.
        multiplicity: their spin multiplicity.
        particles: indices of the particles that the model describes; all if None.
        backend: "native" (C++, built by ``transip-md build openmm``), "torchforce" (openmmtorch's TorchForce),
            "python" (OpenMM's PythonForce) or "auto": the first of these that works. Which it is goes to the logger
            ``transip_md.openmm``: as a warning, with the reasons, if it is not the first.
        device: "auto", "cpu", "cuda" or "cuda:N": where the model runs, whatever OpenMM's platform is; TorchForce
            takes "auto" only and runs where the platform does.
        threads: CPU threads of one evaluation. None: of native kernels as many as OpenMM's CPU platform takes (all
            cores, or the environment variable OPENMM_CPU_THREADS; small molecules stay on one), of torch one.
            0 leaves torch its own setting; torch's number is the whole process's.
        periodic: let particles see each other through the Context's periodic box, rectangular or triclinic; models
            with a cutoff only. None: if the model has a cutoff and the topology has a box.
        symmetry: "none", "average N", "average N inversion", "frame", or "random SEED" for runs with a thermostat; see
            docs/symmetry.md. TorchForce has no "random".
        reference: for "frame", the positions of all particles, a Quantity or in nm, that the molecule is superposed on.
            They are stored in the System.

    Returns:
        A force to be added to a System. Energies are in kJ/mol and forces in kJ/mol/nm, as in all of OpenMM.

    Raises:
        UsageError: the file cannot be used (by this backend), the model does not know an element, the charge or the
            multiplicity, particles that are not there, or a periodic force is asked of an all-to-all model.
        EnvironmentFaultError: what the backend needs is not installed, built or does not fit; with "auto", no backend
            works.
    """
    if backend not in get_args(Backend):
        raise UsageError(f"backend must be {', '.join(get_args(Backend))}; got {backend!r}.")
    metadata = read_metadata(model)
    if threads is None:
        threads = 0 if has_native_kernels(metadata) else 1
    check_integers(threads=threads, charge=charge, multiplicity=multiplicity)
    metadata.check_charge(charge, multiplicity)
    check_device(device)
    print_certificate(metadata, model)
    if not metadata.conservative:
        warnings.warn(NOT_CONSERVATIVE, stacklevel=2)
    chosen, numbers = particles_and_numbers(topology_or_numbers, particles)
    metadata.check_species(numbers)
    wanted = SymmetryRequest.parse(symmetry)
    wanted.check_offered(metadata.symmetry, model)
    all_to_all = metadata.cutoff is None
    box_of = getattr(topology_or_numbers, "getPeriodicBoxVectors", None)
    boxed = box_of is not None and box_of() is not None
    if periodic is None:
        periodic = boxed and not all_to_all
    if periodic and all_to_all:
        raise UsageError(
            f"{model} attends all-to-all: it describes isolated molecules only. Leave `periodic` out, or use a model "
            "with a cutoff."
        )
    request = ForceRequest(
        model=Path(model).resolve(),
        metadata=metadata,
        particles=tuple(chosen),
        numbers=tuple(numbers),
        everything=particles is None,
        bonds=tuple(molecule_bonds(topology_or_numbers, chosen, all_to_all=all_to_all)),
        charge=int(charge),
        multiplicity=int(multiplicity),
        device=device,
        threads=int(threads),
        periodic=periodic,
        among_images=boxed and all_to_all and particles is not None,
        symmetry=wanted,
        reference=reference_places(wanted, reference, chosen, particle_count(topology_or_numbers)),
    )
    return _first_that_works(request) if backend == "auto" else _make(backend, request)


def _make(backend: str, request: ForceRequest) -> openmm.Force:
    return importlib.import_module(BACKENDS[backend]).make_force(request)


def _first_that_works(request: ForceRequest) -> openmm.Force:
    reasons: list[str] = []
    for backend in BACKENDS:
        try:
            force = _make(backend, request)
        except TransIPError as error:
            reasons.append(f"not {backend}: {error}")
        else:
            logger.log(
                logging.WARNING if reasons else logging.INFO,
                "%s is evaluated by the backend %s. %s",
                request.model.name,
                backend,
                " ".join(reasons),
            )
            return force
    raise EnvironmentFaultError(f"No OpenMM backend can evaluate {request.model}. {' '.join(reasons)}")
