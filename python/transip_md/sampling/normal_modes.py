"""Displacements along normal modes, as a classical harmonic molecule has them at a temperature."""

from __future__ import annotations

import ase
import numpy as np
from ase import units as ase_units

from transip_md.sampling.candidates import Candidate, Candidates
from transip_md.sampling.recipe import SamplingRecipe
from transip_md.sampling.teacher import relaxed

#: Finite difference of positions, Angstrom.
STEP = 5e-3
#: Wave number, 1/cm, that softer modes count as: they are not harmonic, and would be carried away.
SOFTEST = 100.0
#: Wave number below which a mode is a translation or rotation of the whole, 1/cm.
RIGID = 15.0
#: Largest force at which a structure counts as at rest, eV/Angstrom.
AT_REST = 0.01


def normal_mode_candidates(start: ase.Atoms, recipe: SamplingRecipe) -> Candidates:
    """Structures at rest, displaced along all normal modes at once by what each has at the recipe's temperature.

    A mode of angular frequency w has a normally distributed mass-weighted amplitude of variance kT / w^2 (the ensemble
    of a classical harmonic oscillator; ANI-1, Smith et al., Sci. Data 4, 170193 (2017), samples modes to the same end).

    Args:
        start: the structure; it is relaxed further before its Hessian is made of differences of forces.
        recipe: teacher, temperature (K) and seed.

    Raises:
        CalculatorError: the teacher fails.
    """
    atoms = relaxed(start, recipe, AT_REST)
    amplitudes = _amplitudes(atoms, recipe.temperature)

    def candidate(number: int) -> Candidate:
        assert recipe.charge is not None and recipe.multiplicity is not None
        moved = atoms.copy()
        draw = recipe.generator(number).normal(size=len(amplitudes))
        moved.positions += (draw @ amplitudes).reshape(-1, 3)
        return Candidate(moved, recipe.charge, recipe.multiplicity)

    return candidate


def hessian_of(atoms: ase.Atoms) -> np.ndarray:
    """Second derivatives of the energy, eV/Angstrom^2, [3N, 3N], by central differences of the calculator's forces."""
    count = 3 * len(atoms)
    hessian = np.empty((count, count))
    moved = atoms.copy()
    moved.calc = atoms.calc
    for row in range(count):
        forces = []
        for sign in (1, -1):
            moved.positions = atoms.positions
            moved.positions[divmod(row, 3)] += sign * STEP
            moved.calc.reset()
            forces.append(moved.get_forces().ravel())
        hessian[row] = (forces[1] - forces[0]) / (2 * STEP)
    return 0.5 * (hessian + hessian.T)


def _amplitudes(atoms: ase.Atoms, temperature: float) -> np.ndarray:
    """Displacements of one standard deviation along each mode, Angstrom, [modes, 3N]."""
    roots = np.sqrt(np.repeat(atoms.get_masses(), 3))
    squares, modes = np.linalg.eigh(hessian_of(atoms) / np.outer(roots, roots))
    # hbar w in eV, of w^2 in eV / (Angstrom^2 amu).
    quantum = ase_units._hbar * 1e10 / np.sqrt(ase_units._e * ase_units._amu)
    wave_numbers = quantum * np.sqrt(np.abs(squares)) / ase_units.invcm
    inner = wave_numbers > RIGID
    soft = np.maximum(wave_numbers[inner], SOFTEST) * ase_units.invcm / quantum
    return (np.sqrt(ase_units.kB * temperature) / soft * modes[:, inner]).T / roots
