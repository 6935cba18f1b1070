"""Baselines: other potentials that are timed beside the model.

GFN2-xTB (tblite, in ase) is there wherever tblite is installed. Others are registered by who brings them, as
``benchmarks/baselines`` of the repository does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import ase
import numpy as np

#: The baseline that needs no registration.
GFN2_XTB = "gfn2-xtb"
#: Where a user finds the others.
ELSEWHERE = (
    "mace, nequip, esen, ani and deepmd are timed by benchmarks/versus.py of the repository, which installs them: "
    "gigabytes"
)


class Baseline(Protocol):
    """A potential that times itself, in a process of its own.

    Attributes:
        name: as ``--vs`` takes it.
    """

    name: str

    def why_not(self, atoms: ase.Atoms) -> str | None:
        """Why it cannot be run on a structure, None if it can."""

    def facts(self) -> dict[str, Any]:
        """What a reader of the table must know: "settings", "dtype" and "weights" among others."""

    def make_ready(self, say: Callable[[str], None]) -> None:
        """Install it unless it is there; `say` takes one line at a time. Raises EnvironmentFaultError."""

    def time(self, atoms: ase.Atoms, velocities: np.ndarray, spec: dict[str, Any]) -> dict[str, Any]:
        """Time some steps.

        Args:
            atoms: the structure that the run starts from.
            velocities: Angstrom/fs, [N, 3].
            spec: "steps" at most, "warmup" at most, "seconds" that both shall take about, "timestep" in fs and
                "threads".

        Returns:
            "step" in s, "memory" in MB and "steps", how many were timed.

        Raises:
            TransIPError: it failed.
        """


#: Registered baselines by name.
registered: dict[str, Baseline] = {}


def names() -> tuple[str, ...]:
    """All baselines that can be asked for."""
    return GFN2_XTB, *registered
