"""Displacements along normal modes, as a classical harmonic molecule has them at a temperature."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import ase
import numpy as np
from ase import units as ase_units

from transip_md.sampling.candidates import Candidate, Candidates
from transip_md.sampling.recipe import SamplingRecipe
from transip_md.sampling.teacher import at_rest, bare, teacher_calculator

#: Finite difference of positions, Angstrom.
STEP = 5e-3
#: Farthest that one standard deviation along one mode takes an atom, Angstrom: softer modes are not harmonic, and
#: straight displacements along them would tear bonds.
FARTHEST = 0.15
#: Wave number, 1/cm, below which there is no mode.
SOFTEST = 1.0


class Modes(NamedTuple):
    """Normal modes of a structure.

    Attributes:
        atoms: at rest.
        frequencies: angular, sqrt(eV / amu) / Angstrom, [modes].
        moves: of each mode by a mass-weighted amplitude of 1 Angstrom amu^(1/2), Angstrom, [modes, 3N].
    """

    atoms: ase.Atoms
    frequencies: np.ndarray
    moves: np.ndarray


def normal_mode_candidates(structure: Path, recipe: SamplingRecipe) -> Candidates:
    """Structures at rest, displaced along all normal modes at once by what each has at the recipe's temperature.

    A mode of angular frequency w has a normally distributed mass-weighted amplitude of variance kT / w^2 (the ensemble
    of a classical harmonic oscillator; ANI-1, Smith et al., Sci. Data 4, 170193 (2017), samples modes to the same end),
    no more than `FARTHEST` allows.

    Args:
        structure: file of the structure.
        recipe: teacher, temperature (K) and seed.

    Raises:
        CalculatorError: the teacher fails.
    """
    modes = _modes_at_rest(structure, recipe.state())
    steps = steps_of(modes, recipe.temperature)

    def candidate(number: int) -> Candidate:
        assert recipe.charge is not None and recipe.multiplicity is not None
        moved = bare(modes.atoms)
        draw = recipe.generator(number).normal(size=len(steps))
        moved.positions += (draw @ steps).reshape(-1, 3)
        return Candidate(moved, recipe.charge, recipe.multiplicity)

    return candidate


@lru_cache(maxsize=4)
def _modes_at_rest(structure: Path, state: SamplingRecipe) -> Modes:
    """The modes of a file's structure, made once for the temperatures that follow one another."""
    atoms = bare(at_rest(structure, state))
    atoms.calc = teacher_calculator(state)
    return modes_of(atoms)


def hessian_of(atoms: ase.Atoms) -> np.ndarray:
    """Second derivatives of the energy, eV/Angstrom^2, [3N, 3N], by forward differences of the calculator's forces.

    One side is enough for amplitudes: what the third derivative adds is a per cent or two.
    """
    count = 3 * len(atoms)
    hessian = np.empty((count, count))
    moved = atoms.copy()
    moved.calc = atoms.calc
    before = moved.get_forces().ravel()
    for row in range(count):
        moved.positions = atoms.positions
        moved.positions[divmod(row, 3)] += STEP
        moved.calc.reset()
        hessian[row] = (before - moved.get_forces().ravel()) / STEP
    return 0.5 * (hessian + hessian.T)


def _rigid(atoms: ase.Atoms) -> np.ndarray:
    """Mass-weighted displacements of the whole, orthonormal, [3N, 6]; of a crystal without rotations, [3N, 3]."""
    arms = atoms.positions - atoms.get_center_of_mass()
    moves = [np.tile(axis, (len(atoms), 1)) for axis in np.eye(3)]
    if not atoms.pbc.any():
        moves += [np.cross(axis, arms) for axis in np.eye(3)]
    weighted = np.stack([(np.sqrt(atoms.get_masses())[:, None] * move).ravel() for move in moves], axis=1)
    whole, sizes, _ = np.linalg.svd(weighted, full_matrices=False)
    # A linear molecule has no rotation about its axis.
    return whole[:, sizes > 1e-6 * sizes[0]]


def modes_of(atoms: ase.Atoms) -> Modes:
    """Normal modes, without translations and rotations, of a structure at rest with a calculator."""
    roots = np.sqrt(np.repeat(atoms.get_masses(), 3))
    rigid = _rigid(atoms)
    outside = np.eye(len(roots)) - rigid @ rigid.T
    squares, vectors = np.linalg.eigh(outside @ (hessian_of(atoms) / np.outer(roots, roots)) @ outside)
    frequencies = np.sqrt(np.abs(squares))
    # hbar w in eV, of w^2 in eV / (Angstrom^2 amu).
    quantum = ase_units._hbar * 1e10 / np.sqrt(ase_units._e * ase_units._amu)
    inner = quantum * frequencies / ase_units.invcm > SOFTEST
    return Modes(atoms, frequencies[inner], vectors[:, inner].T / roots)


def steps_of(modes: Modes, temperature: float) -> np.ndarray:
    """Displacements of one standard deviation along each mode, Angstrom, [modes, 3N].

    Args:
        modes: of a structure.
        temperature: K. The mass-weighted amplitude is the square root of kT / w^2, or less where that would take an
            atom farther than FARTHEST.
    """
    steps = (np.sqrt(ase_units.kB * temperature) / modes.frequencies)[:, None] * modes.moves
    farthest = np.linalg.norm(steps.reshape(len(steps), -1, 3), axis=2).max(axis=1, initial=0.0)
    return steps * np.minimum(1.0, FARTHEST / farthest)[:, None]
