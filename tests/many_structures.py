"""Structures for comparing engines with Python: every kind that a model with a cutoff takes."""

from __future__ import annotations

import ase
import numpy as np

from networks import crystal
from transip_md.exporting.examples import random_structures


def many_structures() -> list[ase.Atoms]:
    """Fifty: triclinic cells smaller than the cutoff, orthogonal ones, slabs, molecules, sparse gas, atoms outside."""
    found = [crystal(seed) for seed in range(8)]
    found += [crystal(seed).repeat((2, 1, 1)) for seed in range(4)]
    rng = np.random.default_rng(1)
    for index, atoms in enumerate(random_structures((1, 6, 8), 12, seed=2)):
        found += [atoms.copy(), atoms.copy()]
        found[-2].pbc = True
        found[-1].pbc = [index % 2 == 0, False, True]
    for atoms in random_structures((1, 6, 8), 6, seed=5):
        atoms.pbc = False
        found.append(atoms)
    for size in (1, 2, 5, 9):
        found.append(ase.Atoms(rng.choice([1, 6, 8], size), rng.uniform(0, 40, (size, 3)), cell=[40] * 3, pbc=True))
    for seed in range(4):
        scattered = crystal(20 + seed)
        scattered.positions += rng.integers(-2, 3, (8, 3)) @ scattered.cell.array
        found.append(scattered)
    return found
