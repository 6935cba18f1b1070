"""OpenMM: make a force from an exported model file.

The force itself is C++ (``openmm_plugin/``); no Python runs in a time step.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from transip_md.errors import EnvironmentFaultError, UsageError
from transip_md.metadata import NOT_CONSERVATIVE, read_metadata
from transip_md.plugins import KINDS, plugin_library

if TYPE_CHECKING:
    import openmm
    import openmm.app

_loaded: set[Path] = set()


def load_plugin() -> None:
    """Load the OpenMM plugin into this process, once.

    Raises:
        EnvironmentFaultError: OpenMM is not installed, or the plugin is missing or stale.
    """
    try:
        import openmm
    except ImportError as error:
        raise EnvironmentFaultError("OpenMM is not installed. Type `pip install 'transip-md[openmm]'`.") from error
    library = plugin_library(KINDS["openmm"])
    if library not in _loaded:
        openmm.Platform.loadPluginLibrary(str(library))
        _loaded.add(library)


def _atomic_numbers(topology_or_numbers: openmm.app.Topology | Sequence[int]) -> list[int]:
    if not hasattr(topology_or_numbers, "atoms"):
        return [int(number) for number in topology_or_numbers]
    numbers = []
    for atom in topology_or_numbers.atoms():
        if atom.element is None:
            raise UsageError(
                f"Atom {atom.index} ({atom.name}) of the topology has no element; a TransIP model needs one for every "
                "particle. Give a list of atomic numbers instead of the topology."
            )
        numbers.append(atom.element.atomic_number)
    return numbers


def create_force(
    model: Path | str,
    topology_or_numbers: openmm.app.Topology | Sequence[int],
    *,
    charge: int = 0,
    multiplicity: int = 1,
    particles: Sequence[int] | None = None,
    device: str = "auto",
    threads: int = 1,
    periodic: bool | None = None,
) -> openmm.Force:
    """Make an OpenMM force from an exported TransIP model.

    Example:
        >>> system.addForce(transip_md.openmm.create_force("model.pt", pdb.topology))

    Args:
        model: a file made by ``transip-md export``; it is read again when a Context is created.
        topology_or_numbers: an OpenMM Topology, or the atomic number of every particle of the System.
        charge: total charge of the particles, e.
        multiplicity: their spin multiplicity.
        particles: indices of the particles that the model describes; all if None.
        device: "auto", "cpu", "cuda" or "cuda:N": where the model runs, whatever OpenMM's platform is.
        threads: CPU threads of torch, for the whole process; 0 leaves torch's own setting. One is fastest for small
            molecules.
        periodic: let particles see each other through the Context's periodic box, rectangular or triclinic; models
            with a cutoff only. None: if the model has a cutoff and the topology has a box.

    Returns:
        A force to be added to a System.

    Raises:
        UsageError: the file cannot be used, the model does not know an element, the charge or the multiplicity, or a
            periodic force is asked of an all-to-all model.
        EnvironmentFaultError: OpenMM is not installed, or the plugin is missing or stale.
    """
    metadata = read_metadata(model)
    metadata.check_charge(charge, multiplicity)
    if not metadata.conservative:
        warnings.warn(NOT_CONSERVATIVE, stacklevel=2)
    numbers = _atomic_numbers(topology_or_numbers)
    chosen = range(len(numbers)) if particles is None else [int(index) for index in particles]
    for index in chosen:
        if not 0 <= index < len(numbers):
            raise UsageError(f"particles holds index {index}, but there are {len(numbers)} particles.")
    metadata.check_species(numbers[index] for index in chosen)
    if periodic is None:
        boxed = hasattr(topology_or_numbers, "atoms") and topology_or_numbers.getPeriodicBoxVectors() is not None
        periodic = metadata.cutoff is not None and boxed
    if periodic and metadata.cutoff is None:
        raise UsageError(
            f"{model} attends all-to-all: it describes isolated molecules only. Leave `periodic` out, or use a model "
            "with a cutoff."
        )
    load_plugin()
    import openmm

    rows = "".join(f'<Particle index="{index}" atomicNumber="{numbers[index]}"/>' for index in chosen)
    return openmm.XmlSerializer.deserialize(
        f'<Force type="TransIPForce" version="1" file={quoteattr(str(Path(model).resolve()))} charge="{charge}" '
        f'multiplicity="{multiplicity}" device={quoteattr(device)} threads="{threads}" periodic="{periodic:d}">'
        f"<Particles>{rows}</Particles></Force>"
    )
