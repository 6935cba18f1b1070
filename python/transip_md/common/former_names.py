"""Former names of modules, by which scripts import them and pickles and saved Systems name them.

Importing one gives the module of today, and a DeprecationWarning.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

#: Former name of a module, or of a package with all that is inside, and the name of today.
FORMER_NAMES = {
    "transip_md.ase": "transip_md.engines.ase",
    "transip_md.openmm": "transip_md.engines.openmm",
    "transip_md.engines.lammps_module": "transip_md.engines.lammps.module",
    "transip_md.engines.ipi_driver": "transip_md.engines.ipi",
    "transip_md.engines.torch_sim_model": "transip_md.engines.torch_sim",
    "transip_md.nve": "transip_md.dynamics",
    "transip_md.errors": "transip_md.common.errors",
    "transip_md.units": "transip_md.common.units",
    "transip_md.metadata": "transip_md.modelfile.metadata",
    "transip_md.runtime": "transip_md.evaluators.torch_model",
    "transip_md.structures": "transip_md.data.structures",
    "transip_md.electronic_state": "transip_md.data.electronic_state",
    "transip_md.symmetry.turning": "transip_md.evaluators.symmetrised",
    "transip_md.training.frames": "transip_md.data.frames",
}


def name_of_today(former: str) -> str | None:
    """Today's name of a module, None if the name given is no former one."""
    for before, now in FORMER_NAMES.items():
        if former == before or former.startswith(f"{before}."):
            return now + former.removeprefix(before)
    return None


class _FormerNameLoader(Loader):
    """A loader that gives the module of today."""

    def __init__(self, today: str) -> None:
        self._today = today
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._today)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has put the specification of the former name there.
        module.__spec__ = self._spec

    def get_code(self, fullname: str) -> CodeType:
        """What ``python -m`` with a former name runs."""
        spec = importlib.util.find_spec(self._today)
        assert spec is not None and isinstance(spec.loader, InspectLoader)
        code = spec.loader.get_code(self._today)
        assert code is not None
        return code


class _FormerNameFinder(MetaPathFinder):
    """A finder of former names alone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("transip_md.") or (today := name_of_today(fullname)) is None:
            return None
        found = importlib.util.find_spec(today)
        if found is None:
            return None
        warnings.warn(f"{fullname} is called {today} now.", DeprecationWarning, stacklevel=2)
        spec = ModuleSpec(fullname, _FormerNameLoader(today), origin=found.origin)
        spec.has_location = found.has_location
        return spec


def install() -> None:
    """Let Python find former names; before others, who would find a second copy of what is inside a renamed package."""
    if not any(isinstance(finder, _FormerNameFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _FormerNameFinder())
