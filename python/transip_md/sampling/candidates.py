"""What all modes but dynamics share: candidates by number, and how a number becomes a fraction of a range."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import ase
import numpy as np

from transip_md.sampling.recipe import SamplingRecipe


class Candidate(NamedTuple):
    """A structure that may become a frame.

    Attributes:
        atoms: positions in Angstrom.
        charge: e.
        multiplicity: 2S + 1.
    """

    atoms: ase.Atoms
    charge: int
    multiplicity: int


#: Candidate of a number, counted from 0; equal numbers give equal candidates.
Candidates = Callable[[int], Candidate]


def even_fraction(number: int, recipe: SamplingRecipe) -> float:
    """Fraction of a number in [0, 1): numbers in a row spread evenly, from a start that the seed draws.

    Van der Corput's sequence of base 2, shifted (Niederreiter, Random Number Generation and Quasi-Monte Carlo Methods,
    SIAM 1992, chapter 3).
    """
    fraction, share = 0.0, 0.5
    while number:
        fraction += share * (number & 1)
        number >>= 1
        share /= 2
    return (fraction + float(recipe.generator().random())) % 1.0


def rattled(atoms: ase.Atoms, number: int, recipe: SamplingRecipe) -> ase.Atoms:
    """The structure with every coordinate moved at random by the recipe's `rattle`, Angstrom."""
    copy = atoms.copy()
    copy.positions += recipe.generator(number).normal(scale=recipe.rattle, size=copy.positions.shape)
    return copy


def random_rotation(generator: np.random.Generator) -> np.ndarray:
    """A rotation matrix [3, 3], uniform on SO(3) (Shoemake, Graphics Gems III, 1992, p. 124)."""
    from scipy.spatial.transform import Rotation

    return Rotation.random(rng=generator).as_matrix()
