"""Frequencies of a molecule with the frame and without: `transip-md export organic -o organic.pt` first."""

import argparse
import tempfile

from ase.build import molecule
from ase.optimize import BFGS
from ase.vibrations import Vibrations

from transip_md.engines.ase import TransIPCalculator

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--model", default="organic.pt")
options.add_argument("--molecule", default="H2O", help="a name that ase.build.molecule knows; not a linear molecule")
options = options.parse_args()

for symmetry in ("none", "frame"):
    atoms = molecule(options.molecule)
    atoms.calc = TransIPCalculator(options.model, symmetry=symmetry)
    optimizer = BFGS(atoms, logfile=None)
    state = "relaxed" if optimizer.run(fmax=1e-5, steps=300) else "not relaxed"
    print(f"symmetry {symmetry}: {state} to 1e-5 eV/Angstrom in {optimizer.nsteps} steps")
    for points, step in ((2, 0.01), (4, 0.005)):
        with tempfile.TemporaryDirectory() as folder:
            vibrations = Vibrations(atoms, name=f"{folder}/vibrations", nfree=points, delta=step)
            vibrations.run()
            frequencies = sorted(vibrations.get_frequencies(), key=abs)
        shown = "  ".join(f"{f.imag:.2f}i" if f.imag else f"{f.real:.2f}" for f in frequencies[:9])
        print(f"  nfree={points}, delta={step}: {shown}")
