"""Energy and forces on numpy arrays, without ASE, OpenMM or torch: python energy.py model.pt structure.xyz."""

import sys
from pathlib import Path

import numpy as np

import transip_md

NUMBERS = {"H": 1, "C": 6, "O": 8}

lines = Path(sys.argv[2]).read_text().splitlines()
atoms = [line.split() for line in lines[2 : 2 + int(lines[0])]]
numbers = np.array([NUMBERS[atom[0]] for atom in atoms])
positions = np.array([[float(value) for value in atom[1:4]] for atom in atoms])  # Angstrom

model = transip_md.load_model(sys.argv[1])
energies, forces, virial = model.evaluate(numbers, positions)
print(f"energy {energies.sum():.10f} eV by {model.runs_by}")
print(f"largest force {np.abs(forces).max():.8f} eV/Angstrom, virial's trace {np.trace(virial):.8f} eV")
