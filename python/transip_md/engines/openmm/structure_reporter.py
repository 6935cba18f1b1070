"""What reporters share that evaluate models on the structures of an OpenMM run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import openmm
from openmm import app, unit

from transip_md.common.errors import UsageError


class StructureReporter:
    """Hands structures to a model every so many steps; in the manner of StateDataReporter."""

    def __init__(
        self,
        interval: int,
        topology: app.Topology,
        cutoff: float | None,
        particles: Sequence[int] | None,
        periodic: bool | None,
    ) -> None:
        """Note which atoms the model describes.

        Args:
            interval: steps from one report to the next.
            topology: names the elements.
            cutoff: of the model, Angstrom; None for all-to-all attention.
            particles: the atoms that the model describes; None: all.
            periodic: whether it sees images of the box; None: as it does.

        Raises:
            UsageError: an interval below 1, or an atom without an element.
        """
        if interval < 1:
            raise UsageError(f"The interval of a reporter is one step or more; got {interval}.")
        self._interval = interval
        atoms = list(topology.atoms())
        self._particles = np.arange(len(atoms)) if particles is None else np.asarray(particles, dtype=int)
        for index in self._particles:
            if atoms[index].element is None:
                raise UsageError(f"Atom {index} of the topology has no element, so the models cannot describe it.")
        self._numbers = np.array([atoms[index].element.atomic_number for index in self._particles])
        self._periodic = cutoff is not None if periodic is None else periodic

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:  # noqa: N802
        """When the next report is due, and what it needs; called by OpenMM."""
        steps = self._interval - simulation.currentStep % self._interval
        return {"steps": steps, "periodic": False, "include": ["positions"]}

    def _structure(self, state: openmm.State) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Positions [N, 3], Angstrom, and the box as the keywords that evaluators take."""
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)[self._particles]
        box: dict[str, np.ndarray] = {}
        if self._periodic:
            cell = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.angstrom)
            box = {"cell": np.asarray(cell), "periodic": np.ones(3, dtype=bool)}
        return np.asarray(positions), box
