"""OpenMM reporter of the deviation of a committee of models, in the manner of StateDataReporter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import openmm
from openmm import app

from transip_md.engines.openmm.structure_reporter import StructureReporter
from transip_md.evaluators.committee import Committee, DeviationFile, require_below


class DeviationReporter(StructureReporter):
    """Report how far the forces of several models lie apart, every so many steps.

    The columns are DeePMD-kit's, in eV and Angstrom: step, max, min and mean of the virial's and the forces' standard
    deviation, and the energy's per atom. The models are evaluated here, whatever the platform; the force of the System
    stays that of the one model that it was made of.

    Examples:
        >>> models = ["a.pt", "b.pt", "c.pt", "d.pt"]
        >>> simulation.reporters.append(DeviationReporter("deviation.out", 50, models, topology, stop_above=0.5))
    """

    def __init__(
        self,
        file: Path | str,
        interval: int,
        models: Path | str | Sequence[Path | str],
        topology: app.Topology,
        *,
        particles: Sequence[int] | None = None,
        periodic: bool | None = None,
        charge: int = 0,
        multiplicity: int = 1,
        stop_above: float | None = None,
        dump: Path | str | None = None,
        dump_above: float = 0.0,
        device: str = "cpu",
        kernels: str = "auto",
        threads: int = 0,
    ) -> None:
        """Load the models and begin the file.

        Args:
            file: what is written, anew.
            interval: steps from one report to the next.
            models: files made by ``transip-md export``, two or more, or one of a committee.
            topology: names the elements.
            particles: the atoms that the models describe; None: all.
            periodic: whether they see images of the box; None: as the models do.
            charge: total charge, e.
            multiplicity: spin multiplicity.
            stop_above: bound of an atom's deviation, eV/Angstrom, above which the run ends; None: no bound.
            dump: extended XYZ file that structures above `dump_above`, and one above `stop_above`, are appended to.
            dump_above: bound of an atom's deviation, eV/Angstrom.
            device: where the models run, "cpu", "cuda" or "cuda:N".
            kernels: what evaluates them, as `load_model` takes it; "native" on a CUDA device: the native CUDA kernels.
            threads: CPU threads of one evaluation; 0: OMP_NUM_THREADS, or all cores.

        Raises:
            UsageError: fewer than two models, a file that cannot be used, no such device or kernels, an interval below
                1, or an atom without an element.
            EnvironmentFaultError: a device that is not there.
        """
        self._committee = Committee(models, device=device, kernels=kernels, threads=threads)
        super().__init__(interval, topology, self._committee.models[0].metadata.cutoff, particles, periodic)
        self._state = (charge, multiplicity)
        self._stop_above = stop_above
        self._dump = None if dump is None else Path(dump)
        self._dump_above = dump_above
        self._file = DeviationFile(file)

    def report(self, simulation: app.Simulation, state: openmm.State) -> None:
        """Evaluate the models and write a line; called by OpenMM.

        Raises:
            DeviationError: an atom's deviation is above `stop_above`.
            OSError: a file cannot be written.
        """
        positions, box = self._structure(state)
        found, deviation = self._committee.evaluate(self._numbers, positions, *self._state, **box)
        step = simulation.currentStep
        self._file.write(step, deviation)
        highest = float(deviation.of_atoms.max())
        stops = self._stop_above is not None and highest > self._stop_above
        if self._dump is not None and (stops or highest > self._dump_above):
            import ase.io

            atoms = ase.Atoms(self._numbers, positions, cell=box.get("cell"), pbc=self._periodic)
            atoms.arrays["forces"] = found[0].forces
            atoms.arrays["force_deviation"] = deviation.of_atoms
            atoms.info.update(step=step, max_devi_f=highest)
            ase.io.write(self._dump, atoms, format="extxyz", append=True)
        require_below(self._stop_above, deviation, step, self._numbers)
