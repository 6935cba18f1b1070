"""Frames with one bond pressed, without labels: `python pressed.py FRAMES OUTPUT`, with the options below.

Of each molecule the first frame gives structures with a bond of another kind each, at 0.48 to 0.72 covalent lengths,
the smaller side moved as a whole. Scans of bonds for training hold few of these, and none with large forces.
"""

import argparse
from pathlib import Path

import ase.io
import numpy as np

from transip_md.data.bonds import covalent_length, stretched, unique_bonds

SHORTEST, LONGEST = 0.48, 0.72  # covalent lengths

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("frames", type=Path, help="extended XYZ, of which frames of a molecule follow one another")
parser.add_argument("output", type=Path, help="extended XYZ")
parser.add_argument("--bonds", type=int, default=3, help="of each molecule")
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()

rng = np.random.default_rng(options.seed)
made, before = [], []
for atoms in ase.io.iread(options.frames):
    if atoms.numbers.tolist() == before:
        continue
    before = atoms.numbers.tolist()
    bonds = unique_bonds(atoms)
    atoms.calc = None
    for which in rng.permutation(len(bonds))[: options.bonds]:
        bond = bonds[which]
        length = rng.uniform(SHORTEST, LONGEST) * covalent_length(*atoms.numbers[[bond.first, bond.second]])
        made.append(stretched(atoms, bond, length))
ase.io.write(options.output, made, format="extxyz")
print(f"{options.output}: {len(made)} frames")
