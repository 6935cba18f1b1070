"""The native backend: TransIPForce, C++ (``openmm_plugin/``); no Python runs in a time step."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from transip_md.common.errors import EnvironmentFaultError
from transip_md.engines.openmm.request import ForceRequest
from transip_md.plugins.kinds import KINDS, name_nvrtc, name_torch_library, plugin_library

if TYPE_CHECKING:
    import openmm

_loaded: set[Path] = set()


def load_plugin() -> None:
    """Load the OpenMM plugin into this process, once.

    Raises:
        EnvironmentFaultError: OpenMM is not installed, or the plugin is missing, stale or does not load.
    """
    try:
        import openmm
    except ImportError as error:
        raise EnvironmentFaultError("OpenMM is not installed. Type `pip install 'transip-md[openmm]'`.") from error
    library = plugin_library(KINDS["openmm"])
    name_torch_library()
    name_nvrtc()
    if library in _loaded:
        return
    try:
        openmm.Platform.loadPluginLibrary(str(library))
    except openmm.OpenMMException as error:
        raise EnvironmentFaultError(
            f"The OpenMM plugin does not load: {error}. Type `transip-md build openmm --force`."
        ) from error
    _loaded.add(library)


def forces_on_device() -> int:
    """How many forces of this process work on the arrays of a Context on OpenMM's CUDA platform at present.

    Raises:
        EnvironmentFaultError: see `load_plugin`.
    """
    load_plugin()
    return ctypes.CDLL(str(plugin_library(KINDS["openmm"]))).transip_openmm_forces_on_device()


def make_force(request: ForceRequest) -> openmm.Force:
    """A TransIPForce; the model file is read again when a Context is created.

    Raises:
        EnvironmentFaultError: see `load_plugin`.
    """
    load_plugin()
    import openmm

    pairs = zip(request.particles, request.numbers, strict=True)
    particles = "".join(f'<Particle index="{index}" atomicNumber="{number}"/>' for index, number in pairs)
    bonds = "".join(f'<Bond first="{first}" second="{second}"/>' for first, second in request.bonds)
    positions = "".join(f'<Place x="{x!r}" y="{y!r}" z="{z!r}"/>' for x, y, z in request.reference)
    version = 1 if request.symmetry.mode == "none" else 2
    return openmm.XmlSerializer.deserialize(
        f'<Force type="TransIPForce" version="{version}" symmetry="{request.symmetry.text}" '
        f'file={quoteattr(str(request.model))} sha256="{request.sha256()}" '
        f'charge="{request.charge}" multiplicity="{request.multiplicity}" device={quoteattr(request.device)} '
        f'threads="{request.threads}" periodic="{request.periodic:d}"><Particles>{particles}</Particles>'
        f"<Bonds>{bonds}</Bonds><Reference>{positions}</Reference></Force>"
    )
