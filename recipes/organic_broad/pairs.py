"""Two neutral atoms of each pair of elements, a structure each, of the lowest spin: `python pairs.py FOLDER H C N O`.

For `transip-md sample FOLDER --dimers atoms`, which sets them at its own distances.
"""

import argparse
from itertools import combinations_with_replacement
from pathlib import Path

import ase
import ase.io
from ase.data import atomic_numbers, covalent_radii

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=Path, help="for the structures")
parser.add_argument("elements", nargs="+", help="symbols")
options = parser.parse_args()

options.folder.mkdir(parents=True, exist_ok=True)
for pair in combinations_with_replacement(sorted(options.elements, key=atomic_numbers.get), 2):
    numbers = [atomic_numbers[symbol] for symbol in pair]
    apart = float(sum(covalent_radii[numbers]))
    atoms = ase.Atoms(numbers, [[0.0, 0.0, 0.0], [0.0, 0.0, apart]])
    atoms.info.update(charge=0, multiplicity=1 + sum(numbers) % 2)
    ase.io.write(options.folder / f"{'-'.join(pair)}.xyz", atoms, format="extxyz")
