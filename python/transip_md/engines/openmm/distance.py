"""OpenMM reporter of distances from the training set, in the manner of StateDataReporter."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import openmm
from openmm import app

from transip_md.engines.openmm.structure_reporter import StructureReporter
from transip_md.evaluators.choose import load_evaluator
from transip_md.evaluators.distance import DistanceError, DistanceFile, beyond
from transip_md.evaluators.evaluation import check_distances


class DistanceReporter(StructureReporter):
    """Report how far the atoms are from the training set of a model, every so many steps.

    A line has the step, the highest and the mean distance, and how many atoms are beyond 1, the 99th percentile of
    held-out atoms. The model is evaluated here, on the CPU, without forces; its file needs a sample of the data.

    Examples:
        >>> simulation.reporters.append(DistanceReporter("distance.out", 50, "model.pt", topology, stop_above=2.0))
    """

    def __init__(
        self,
        file: Path | str,
        interval: int,
        model: Path | str,
        topology: app.Topology,
        *,
        particles: Sequence[int] | None = None,
        periodic: bool | None = None,
        charge: int = 0,
        multiplicity: int = 1,
        warn_above: float | None = None,
        stop_above: float | None = None,
        threads: int = 0,
    ) -> None:
        """Load the model and begin the file.

        Args:
            file: what is written, anew.
            interval: steps from one report to the next.
            model: a file made by ``transip-md export``, of a checkpoint with a sample.
            topology: names the elements.
            particles: the atoms that the model describes; None: all.
            periodic: whether it sees images of the box; None: as it does.
            charge: total charge, e.
            multiplicity: spin multiplicity.
            warn_above: bound of an atom's distance above which a warning is given, once; None: no bound.
            stop_above: bound of an atom's distance above which the run ends; None: no bound.
            threads: CPU threads of one evaluation; 0: OMP_NUM_THREADS, or all cores.

        Raises:
            UsageError: a file that cannot be used or has no sample, an interval below 1, or an atom without an element.
        """
        self._model = load_evaluator(model, device="cpu", threads=threads)
        check_distances(self._model)
        super().__init__(interval, topology, self._model.metadata.cutoff, particles, periodic)
        self._state = (charge, multiplicity)
        self._warn_above = warn_above
        self._stop_above = stop_above
        self._file = DistanceFile(file)

    def report(self, simulation: app.Simulation, state: openmm.State) -> None:
        """Measure the distances and write a line; called by OpenMM.

        Raises:
            DistanceError: an atom's distance is above `stop_above`.
            OSError: the file cannot be written.
        """
        positions, box = self._structure(state)
        distances = self._model.distances(self._numbers, positions, *self._state, **box)
        step = simulation.currentStep
        self._file.write(step, distances)
        if self._stop_above is not None:
            complaint = beyond(self._stop_above, distances, step, self._numbers)
            if complaint is not None:
                raise DistanceError(complaint)
        if self._warn_above is not None:
            complaint = beyond(self._warn_above, distances, step, self._numbers)
            if complaint is not None:
                self._warn_above = None
                warnings.warn(complaint, stacklevel=2)
