"""Bonds stretched, bonds rotated, and everything pressed together."""

from __future__ import annotations

from dataclasses import replace

import ase
import numpy as np

from transip_md.data.bonds import all_bonds, covalent_length, stretched, twisted
from transip_md.sampling.candidates import Candidate, Candidates, even_fraction, rattled
from transip_md.sampling.errors import NothingToSampleError
from transip_md.sampling.recipe import SamplingRecipe

#: Factors of all lengths under compression.
PRESSED, STRETCHED = 0.85, 1.1


def bond_candidates(start: ase.Atoms, recipe: SamplingRecipe) -> Candidates:
    """Every bond outside a ring in turn, at lengths spread evenly from `shortest` to `longest` covalent lengths.

    The smaller side moves as a whole; then all atoms are rattled.

    Raises:
        NothingToSampleError: no such bond.
    """
    bonds = all_bonds(start)
    if not bonds:
        raise NothingToSampleError("it has no bond outside a ring")

    def candidate(number: int) -> Candidate:
        round_, which = divmod(number, len(bonds))
        bond = bonds[which]
        # Rounds of different bonds are shifted against each other.
        fraction = (even_fraction(round_, recipe) + which * 0.618034) % 1.0
        covalent = covalent_length(start.numbers[bond.first], start.numbers[bond.second])
        length = covalent * (recipe.shortest + fraction * (recipe.longest - recipe.shortest))
        return _candidate(stretched(start, bond, length), number, recipe)

    return candidate


def pair_candidates(start: ase.Atoms, recipe: SamplingRecipe) -> Candidates:
    """Two atoms at distances spread evenly from `shortest` to `longest` covalent lengths, not rattled.

    Raises:
        NothingToSampleError: not two atoms.
    """
    if len(start) != 2:
        raise NothingToSampleError(f"it has {len(start)} atoms, and a pair has two")

    def candidate(number: int) -> Candidate:
        assert recipe.charge is not None and recipe.multiplicity is not None
        share = recipe.shortest + even_fraction(number, recipe) * (recipe.longest - recipe.shortest)
        atoms = start.copy()
        atoms.positions = [[0.0, 0.0, 0.0], [0.0, 0.0, share * covalent_length(*start.numbers)]]
        return Candidate(atoms, recipe.charge, recipe.multiplicity)

    return candidate


def torsion_candidates(start: ase.Atoms, recipe: SamplingRecipe) -> Candidates:
    """Every bond outside a ring whose ends have further neighbours in turn, rotated by angles spread evenly.

    Every second time around, the other bonds are rotated at random, too; then all atoms are rattled.

    Raises:
        NothingToSampleError: no such bond, or a periodic structure.
    """
    if start.pbc.any():
        raise NothingToSampleError("bonds are rotated about in isolated molecules only")
    bonds = [bond for bond in all_bonds(start) if bond.rotatable]
    if not bonds:
        raise NothingToSampleError("it has no bond to rotate about")

    def candidate(number: int) -> Candidate:
        round_, which = divmod(number, len(bonds))
        angles = np.zeros(len(bonds))
        if round_ % 2:
            angles = recipe.generator(number, 1).uniform(0, 2 * np.pi, len(bonds))
        angles[which] = 2 * np.pi * even_fraction(round_, recipe)
        atoms = start
        for index, angle in enumerate(angles):
            # Vectors of bonds rotate with what carries them.
            bond = bonds[index]
            moved = atoms.positions[bond.second] - atoms.positions[bond.first]
            atoms = twisted(atoms, replace(bond, vector=moved), angle)
        return _candidate(atoms, number, recipe)

    return candidate


def compressed_candidates(start: ase.Atoms, recipe: SamplingRecipe) -> Candidates:
    """All lengths scaled by factors spread evenly from 0.85 to 1.1, the cell of a crystal too; then rattled."""

    def candidate(number: int) -> Candidate:
        factor = PRESSED + even_fraction(number, recipe) * (STRETCHED - PRESSED)
        atoms = start.copy()
        atoms.set_cell(factor * start.cell.array)
        atoms.positions = factor * start.positions
        return _candidate(atoms, number, recipe)

    return candidate


def _candidate(atoms: ase.Atoms, number: int, recipe: SamplingRecipe) -> Candidate:
    assert recipe.charge is not None and recipe.multiplicity is not None
    return Candidate(rattled(atoms, number, recipe), recipe.charge, recipe.multiplicity)
