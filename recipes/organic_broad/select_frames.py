"""Select frames of a labelled file: `python select_frames.py FILE OUTPUT`, with the options below."""

import argparse
from pathlib import Path

import ase.io
import numpy as np

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("file", type=Path, help="labelled frames, extended XYZ")
parser.add_argument("output", type=Path, help="for those that are kept")
parser.add_argument("--most-atoms", type=int, default=None, help="leave larger frames out")
parser.add_argument("--largest-force", type=float, default=np.inf, help="of an atom, eV/Angstrom")
parser.add_argument("--elements", nargs="+", default=None, help="leave out frames with other elements")
parser.add_argument("--neutral", action="store_true", help="leave out frames that state a charge")
parser.add_argument("--no-spin", action="store_true", help="do not keep the spin multiplicity that frames state")
options = parser.parse_args()


def is_kept(atoms: ase.Atoms) -> bool:
    """Whether a frame is kept."""
    small = options.most_atoms is None or len(atoms) <= options.most_atoms
    known = options.elements is None or set(atoms.symbols) <= set(options.elements)
    neutral = not options.neutral or atoms.info.get("charge", 0) == 0
    return small and known and neutral and np.linalg.norm(atoms.get_forces(), axis=1).max() <= options.largest_force


frames = ase.io.read(options.file, index=":")
kept = [atoms for atoms in frames if is_kept(atoms)]
if options.no_spin:
    for atoms in kept:
        atoms.info.pop("multiplicity", None)
ase.io.write(options.output, kept, format="extxyz")
print(f"{options.output}: {len(kept)} of {len(frames)} frames")
