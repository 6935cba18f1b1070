"""Vibrations of a molecule: with the exact frame, rotations cost nothing and their frequencies are zero."""

from __future__ import annotations

import numpy as np
import pytest
from ase.optimize import BFGS
from ase.vibrations import Vibrations

from transip_md.ase import TransIPCalculator


def lowest_frequencies(calculator, atoms, folder) -> np.ndarray:
    """The six of translations and rotations, 1/cm; imaginary ones count by their size."""
    atoms = atoms.copy()
    atoms.calc = calculator
    BFGS(atoms, logfile=None).run(fmax=1e-5, steps=500)
    vibrations = Vibrations(atoms, name=str(folder / "vib"), delta=0.002, nfree=4)
    vibrations.run()
    return np.sort(np.abs(vibrations.get_frequencies()))[:6]


@pytest.mark.parametrize(("symmetry", "bound"), [("frame", 1.0), ("none", None)])
def test_rotations_have_no_frequency(ethanol_file, ethanol, tmp_path, symmetry, bound):
    reference = ethanol if symmetry == "frame" else None
    calculator = TransIPCalculator(ethanol_file, device="cpu", symmetry=symmetry, reference=reference)
    found = lowest_frequencies(calculator, ethanol, tmp_path)
    if bound is None:
        assert found.max() > 1.0, "a learned symmetry alone is what the frame is there to mend"
    else:
        assert found.max() < bound
