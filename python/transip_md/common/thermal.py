"""Velocities of a given temperature, the same for every engine."""

from __future__ import annotations

import ase
import numpy as np

from transip_md.common import units


def degrees_of_freedom(atoms: int) -> int:
    """3N - 3: the centre of mass is at rest. One atom alone counts three."""
    return max(3 * atoms - 3, 3)


def kinetic_energy(masses: np.ndarray, velocities: np.ndarray) -> float:
    """Kinetic energy in eV of masses [N] in amu with velocities [N, 3] in Angstrom/fs."""
    return 0.5 * float((masses[:, None] * velocities**2).sum()) * units.EV_PER_AMU_ANGSTROM2_PER_FS2


def temperature_of(kinetic: np.ndarray, atoms: int) -> np.ndarray:
    """Temperature in K of a kinetic energy in eV."""
    return 2.0 * kinetic / (degrees_of_freedom(atoms) * units.BOLTZMANN)


def momenta_of(masses: np.ndarray, positions: np.ndarray, velocities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Momentum, and angular momentum about the centre of mass.

    Args:
        masses: amu, [N].
        positions: Angstrom, [N, 3].
        velocities: Angstrom/fs, [N, 3].

    Returns:
        amu Angstrom/fs, [3], and amu Angstrom^2/fs, [3].
    """
    momenta = masses[:, None] * velocities
    total = momenta.sum(axis=0)
    centre = (masses[:, None] * positions).sum(axis=0) / masses.sum()
    return total, np.cross(positions - centre, momenta - masses[:, None] * total / masses.sum()).sum(axis=0)


def thermal_angular_momentum(masses: np.ndarray, positions: np.ndarray, temperature: float) -> float:
    """Root mean square of the angular momentum of a rigid body at a temperature, amu Angstrom^2/fs.

    <L^2> = kT (I_1 + I_2 + I_3) = 2 kT sum m r^2, r from the centre of mass.

    Args:
        masses: amu, [N].
        positions: Angstrom, [N, 3].
        temperature: K.
    """
    centre = (masses[:, None] * positions).sum(axis=0) / masses.sum()
    moment = 2.0 * (masses * ((positions - centre) ** 2).sum(axis=1)).sum()
    return float(np.sqrt(units.BOLTZMANN * temperature * moment * units.ACCELERATION))


def thermal_velocities(atoms: ase.Atoms, temperature: float, seed: int) -> np.ndarray:
    """Maxwell-Boltzmann velocities without motion of the centre of mass, scaled to the temperature exactly.

    Rotation is left in: a molecule that rotates exercises the symmetry that a TransIP model has learned.

    Args:
        atoms: the structure; its masses are used.
        temperature: K.
        seed: of numpy's default generator.

    Returns:
        Velocities, Angstrom/fs, [N, 3].
    """
    masses = atoms.get_masses()
    rng = np.random.default_rng(seed)
    velocities = rng.standard_normal((len(atoms), 3)) / np.sqrt(masses)[:, None]
    if len(atoms) > 1:
        velocities -= (masses[:, None] * velocities).sum(axis=0) / masses.sum()
    now = temperature_of(np.array(kinetic_energy(masses, velocities)), len(atoms))
    return velocities * np.sqrt(temperature / now)
