"""Random structures: examples to trace a model with, and to compare what was written with what it was made of."""

from __future__ import annotations

from collections.abc import Iterator

import ase
import numpy as np
from torch import Tensor

from transip_md.evaluators.torch_model import inputs_of, neighbourhood_of
from transip_md.modelfile.metadata import Metadata

#: Random structures that a fresh file is compared on.
CHECK_STRUCTURES = 5
#: Atoms of the first of them.
SMALLEST_STRUCTURE = 4


def random_structures(species: tuple[int, ...], count: int, seed: int = 0) -> Iterator[ase.Atoms]:
    """Random molecules without overlapping atoms, each in a cell in which it may be taken as periodic.

    Args:
        species: atomic numbers to draw from.
        count: how many molecules, of growing size.
        seed: of the random numbers.

    Yields:
        Structures, no two atoms closer than 0.9 Angstrom, through the periodic boundary neither; pbc is off.
    """
    rng = np.random.default_rng(seed)
    for size in range(SMALLEST_STRUCTURE, SMALLEST_STRUCTURE + 3 * count, 3):
        positions = np.empty((0, 3))
        side = 2.0 * size ** (1 / 3)
        while len(positions) < size:
            candidate = rng.uniform(0, side, 3)
            if len(positions) == 0 or np.linalg.norm(positions - candidate, axis=1).min() > 0.9:
                positions = np.vstack([positions, candidate])
        yield ase.Atoms(rng.choice(species, size), positions, cell=(side + 0.9) * np.eye(3))


def example_inputs(metadata: Metadata) -> tuple[Tensor, ...]:
    """Arguments of the forward for a random structure of all elements that the model knows.

    All sizes are above one and different from one another.
    """
    larger = -(-(len(metadata.species) - SMALLEST_STRUCTURE) // 3) + 1
    *_, atoms = random_structures(metadata.species, max(CHECK_STRUCTURES, larger))
    atoms.numbers[: len(metadata.species)] = metadata.species
    atoms.pbc = metadata.cutoff is not None
    neighbourhood = neighbourhood_of(metadata, atoms.positions, atoms.cell.array, atoms.pbc)
    return inputs_of(atoms.numbers, atoms.positions, neighbourhood, metadata.charge[0], metadata.multiplicity[0])
