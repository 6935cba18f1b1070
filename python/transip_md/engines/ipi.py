"""i-PI: a model file as the force field of a client or of ``<ffdirect>``, with ``pes_path`` this file.

``python -m transip_md.engines.ipi`` prints its path.
"""

from __future__ import annotations

from typing import Any

import ase.io
import numpy as np
from ipi.pes.dummy import Dummy_driver
from ipi.utils.units import unit_to_internal, unit_to_user

from transip_md.common.errors import UsageError
from transip_md.data.electronic_state import state_of
from transip_md.evaluators.choose import load_evaluator
from transip_md.symmetry.request import SymmetryRequest

__DRIVER_NAME__ = "transip"
__DRIVER_CLASS__ = "TransIPDriver"


class TransIPDriver(Dummy_driver):
    """Energy, forces and virial of a model file, in i-PI's atomic units."""

    def __init__(
        self,
        template: str,
        model: str,
        *args: Any,
        device: str = "auto",
        kernels: str = "auto",
        threads: int = 0,
        symmetry: str = "none",
        **kwargs: Any,
    ) -> None:
        """Load the model.

        Args:
            template: a structure that ase reads: its elements in the order of i-PI's atoms, its charge and
                multiplicity; the frame superposes on its positions.
            model: a file made by ``transip-md export``. A model with a cutoff sees through i-PI's cell, along all three
                vectors; one without takes isolated molecules, and the cell is not looked at.
            *args: handed to i-PI's driver.
            device: "auto", "cpu", "cuda" or "cuda:N".
            kernels: "auto", "native" or "torch".
            threads: CPU threads of one evaluation; 0: OMP_NUM_THREADS, or all cores.
            symmetry: "none", "average N" or "frame"; see docs/symmetry.md.
            **kwargs: handed to i-PI's driver.

        Raises:
            UsageError: a file that cannot be used, elements or a state that the model does not know, a direct force
                head, random rotations.
        """
        atoms = ase.io.read(template)
        loaded = load_evaluator(model, device=device, kernels=kernels, threads=threads)
        loaded.check_reference()
        if not loaded.metadata.conservative:
            raise UsageError(
                f"{model} has a direct force head: there is no virial, which i-PI wants. Use another model."
            )
        request = SymmetryRequest.parse(symmetry)
        request.check_repeatable("i-PI", "Use average N or frame.")
        self.numbers = atoms.numbers
        self.state = state_of(atoms, template)
        self.periodic = np.full(3, loaded.metadata.cutoff is not None)
        self.model = loaded.with_symmetry(request, atoms.numbers, atoms.positions)
        super().__init__(*args, **kwargs)

    def compute_structure(self, cell: np.ndarray, pos: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, str]:
        """Evaluate one structure.

        Args:
            cell: columns are cell vectors, Bohr, [3, 3].
            pos: positions, Bohr, [N, 3].

        Returns:
            Energy in Hartree, forces in Hartree/Bohr, virial in Hartree (positive diagonal pushes the box apart; its
            symmetric part), and no extras.

        Raises:
            UsageError: as many atoms as the template does not have, values that are not finite.
        """
        found = self.model.evaluate(
            self.numbers,
            unit_to_user("length", "angstrom", np.asarray(pos)),
            *self.state,
            cell=unit_to_user("length", "angstrom", np.asarray(cell).T),
            periodic=self.periodic,
        )
        assert found.virial is not None
        electronvolt = unit_to_internal("energy", "electronvolt", 1.0)
        virial = 0.5 * (found.virial + found.virial.T)
        # i-PI's own eV/Angstrom is of another CODATA than its eV: forces would not be the gradient to the last digit.
        forces = found.forces * electronvolt / unit_to_internal("length", "angstrom", 1.0)
        return float(found.energies.sum() * electronvolt), forces, virial * electronvolt, ""


if __name__ == "__main__":
    print(__file__)
