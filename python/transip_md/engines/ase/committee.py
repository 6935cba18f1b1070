"""ASE calculator on a committee of models: forces with their standard deviations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import ase
import numpy as np
from ase.calculators.calculator import all_changes

from transip_md.common.errors import UsageError
from transip_md.engines.ase.calculator import TransIPCalculator
from transip_md.evaluators.committee import Deviation, DeviationError, each_model, require_below, share_neighbours


class CommitteeCalculator(TransIPCalculator):
    """The first model's energies and forces, or the mean of all, and in `results` how far the models lie apart.

    `results["forces_std"]` is the standard deviation of each force component, [N, 3] in eV/Angstrom,
    `results["energy_std"]` that of the energy, eV, and `deviation` all of it.

    Examples:
        >>> atoms.calc = CommitteeCalculator(["a.pt", "b.pt", "c.pt", "d.pt"], stop_above=0.5)
        >>> atoms.get_forces(), atoms.calc.results["forces_std"]

    Attributes:
        deviation: of the structure evaluated last, `transip_md.evaluators.committee.Deviation`.
    """

    def __init__(
        self,
        models: Path | str | Sequence[Path | str],
        *,
        force: Literal["first", "mean"] = "first",
        stop_above: float | None = None,
        **options: Any,
    ) -> None:
        """Load the models.

        Args:
            models: files made by ``transip-md export``, two or more, or one of a committee.
            force: whose energies and forces are given.
            stop_above: bound of an atom's deviation sqrt(<|F_i - <F_i>|^2>), eV/Angstrom; None: no bound.
            **options: of all models, as `TransIPCalculator` takes them; distances are the first model's.

        Raises:
            UsageError: fewer than two models, or what `TransIPCalculator` refuses.
        """
        if force not in ("first", "mean"):
            raise UsageError(f"force must be first or mean; got {force!r}.")
        first, *others = each_model(models)
        super().__init__(first, **options)
        of_others = {name: value for name, value in options.items() if not name.startswith("distance")}
        self.others = [TransIPCalculator(model, **of_others) for model in others]
        share_neighbours([one.exported for one in (self, *self.others)])
        self.force = force
        self.stop_above = stop_above
        self.deviation: Deviation | None = None

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute everything at once; called by ase.

        Raises:
            DeviationError: an atom's deviation is above `stop_above`.
            UsageError: what `TransIPCalculator.calculate` refuses.
        """
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        found = [self.results]
        for other in self.others:
            other.reference = self.reference
            other.calculate(self.atoms, properties, system_changes)
            found.append(other.results)
        self.deviation = Deviation.of([one.evaluation for one in (self, *self.others)])
        if self.force == "mean":
            for name in self.others[0].results:
                self.results[name] = np.mean([one[name] for one in found], axis=0)
            for name in ("energy", "free_energy"):
                self.results[name] = float(self.results[name])
        self.results["forces_std"] = self.deviation.forces
        self.results["energy_std"] = self.deviation.energy * len(self.atoms)
        try:
            require_below(self.stop_above, self.deviation, self.evaluations - 1, self.atoms.numbers)
        except DeviationError:
            # Nothing may be taken from the results of a structure that is refused.
            self.results = {}
            raise
