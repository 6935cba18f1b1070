"""Gather the frames to train on: `python select_frames.py FOLDER OUTPUT`, FOLDER as `transip-md sample` fills it.

Left out are frames of more than 64 atoms, whose batches would hold little else, and those with a force above
40 eV/Angstrom on an atom.
"""

import sys
from pathlib import Path

import ase.io
import numpy as np

MOST_ATOMS, LARGEST_FORCE = 64, 40.0

folder, output = map(Path, sys.argv[1:3])
kept = left_out = 0
partial = output.with_name(output.name + ".part")
with partial.open("w") as file:
    for path in sorted(folder.glob("*.extxyz")):
        for atoms in ase.io.read(path, index=":"):
            if len(atoms) > MOST_ATOMS or np.linalg.norm(atoms.get_forces(), axis=1).max() > LARGEST_FORCE:
                left_out += 1
                continue
            ase.io.write(file, atoms, format="extxyz")
            kept += 1
partial.replace(output)
print(f"{output}: {kept} frames; {left_out} left out")
