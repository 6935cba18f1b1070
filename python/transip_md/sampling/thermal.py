"""Momenta of atoms at a temperature, as ASE's dynamics start from them."""

from __future__ import annotations

import ase
import numpy as np
from ase.units import kB


def set_thermal_momenta(atoms: ase.Atoms, temperature: float, rng: np.random.Generator) -> None:
    """Draw every momentum from a Maxwell-Boltzmann distribution.

    ASE's function for it has another name from version 3.29 on, and the old one warns.

    Args:
        atoms: their momenta are replaced.
        temperature: K.
        rng: drawn from N x 3 times.
    """
    widths = np.sqrt(atoms.get_masses() * (kB * temperature))
    atoms.set_momenta(rng.standard_normal((len(atoms), 3)) * widths[:, np.newaxis])
