"""The one table of tolerances: between implementations of the same model by dtype of the weights, and of physics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """Largest accepted differences.

    Attributes:
        energy: total energy, eV.
        force: a force component, eV/Angstrom.
    """

    energy: float
    force: float

    def energy_of(self, atoms: int) -> float:
        """For a structure of so many atoms, eV: each adds its own rounding, so that from 100 on it grows with them."""
        return self.energy * max(1.0, atoms / 100)


#: Python, LAMMPS and OpenMM against each other, on the same model file.
PARITY = {
    "float64": Tolerance(energy=1e-9, force=1e-8),
    "float32": Tolerance(energy=1e-5, force=1e-4),
}
#: The same, relative to the total energy, the largest component of a force and of the virial (or 1 eV and 1 eV/Angstrom
#: where these are smaller).
PARITY_RELATIVE = {"float64": 1e-10, "float32": 5e-5}
#: Forces against central differences of the energy, float64, eV/Angstrom.
FINITE_DIFFERENCE_FORCE = 1e-6
#: Largest accepted drift of the total energy at constant energy, meV/atom/ps.
DRIFT = 0.02
