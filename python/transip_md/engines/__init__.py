"""The three engines behind one interface: ASE (the Python reference), LAMMPS and OpenMM."""

from __future__ import annotations

from transip_md.common.errors import UsageError
from transip_md.engines.base import Engine

ENGINE_NAMES = ("ase", "lammps", "openmm")


def make_engine(name: str, platform: str = "Reference") -> Engine:
    """Make an engine by name.

    Args:
        name: one of `ENGINE_NAMES`.
        platform: OpenMM's platform; the others have none.

    Raises:
        UsageError: no such engine.
        EnvironmentFaultError: it is not installed, or its plugin is not built.
    """
    if name == "ase":
        from transip_md.engines.ase.engine import AseEngine

        return AseEngine()
    if name == "lammps":
        from transip_md.engines.lammps.engine import LammpsEngine

        return LammpsEngine()
    if name == "openmm":
        from transip_md.engines.openmm.engine import OpenMMEngine

        return OpenMMEngine(platform)
    raise UsageError(f"No engine is called {name!r}. Choose one of {', '.join(ENGINE_NAMES)}, all.")


def engine_list(choice: str) -> list[str]:
    """Names of the engines that a choice means: one name, several separated by commas, or "all"."""
    names = list(ENGINE_NAMES) if choice == "all" else choice.split(",")
    for name in names:
        if name not in ENGINE_NAMES:
            raise UsageError(f"No engine is called {name!r}. Choose one of {', '.join(ENGINE_NAMES)}, all.")
    return names
