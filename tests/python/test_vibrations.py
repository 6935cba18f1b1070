"""Frequencies by ase: a molecule's rotations have none in its frame."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.optimize import BFGS
from ase.vibrations import Vibrations

from transip_md.engines.ase import TransIPCalculator

#: Largest accepted frequency of a rotation or translation, cm^-1.
ZERO = 1.0
#: How far the shown frequencies of vibrations may be off on another machine, cm^-1.
SAME = 0.1


def frequencies_of(atoms: ase.Atoms, calculator: TransIPCalculator, folder: Path) -> np.ndarray:
    """Magnitudes of all frequencies, cm^-1, imaginary ones too, smallest first."""
    atoms.calc = calculator
    vibrations = Vibrations(atoms, name=str(folder), nfree=4, delta=0.005)
    vibrations.run()
    return np.sort(np.abs(vibrations.get_frequencies()))


def test_rotations_have_no_frequency_in_the_frame(ethanol_file, ethanol, bent, tmp_path):
    """The reference is another structure in another orientation: the superposition's derivative is in the Hessian."""
    frame = TransIPCalculator(ethanol_file, symmetry="frame", reference=bent)
    ethanol.calc = frame
    assert BFGS(ethanol, logfile=None).run(fmax=1e-5, steps=200)
    found = frequencies_of(ethanol, frame, tmp_path / "frame")
    assert found[:6].max() < ZERO
    assert found[6] > 100
    # The model by itself has rotations that cost energy: the test can fail.
    assert frequencies_of(ethanol, TransIPCalculator(ethanol_file), tmp_path / "none")[:6].max() > 3 * ZERO


def shown(text: str) -> dict[tuple[str, str], np.ndarray]:
    """Magnitudes of the frequencies in the example's output, cm^-1, by symmetry and differences."""
    found, symmetry = {}, ""
    for line in text.splitlines():
        if match := re.match(r"symmetry (\w+):", line):
            symmetry = match[1]
        elif match := re.match(r"  (nfree=.*): (.*)", line):
            found[symmetry, match[1]] = np.array([float(value.rstrip("i")) for value in match[2].split()])
    return found


@pytest.fixture(scope="module")
def output(tmp_path_factory, repository) -> str:
    """What examples/ase/vibrations.py prints."""
    import transip_md
    from transip_md.exporting.export import export

    folder = tmp_path_factory.mktemp("vibrations")
    export(transip_md.pretrained("organic"), folder / "organic.pt")
    command = [sys.executable, str(repository / "examples/ase/vibrations.py")]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_example_shows_zeros_with_the_frame_only(output):
    found = shown(output)
    assert found["frame", "nfree=4, delta=0.005"][:6].max() < ZERO
    assert found["none", "nfree=4, delta=0.005"][:6].max() > 10 * ZERO
    # Differences of ase's default are too coarse, which the documentation says.
    assert found["frame", "nfree=2, delta=0.01"][:6].max() > 10 * ZERO


def test_the_documentation_shows_what_the_example_prints(output, repository):
    section = (repository / "docs/symmetry.md").read_text().split("## Vibrations and Hessians")[1].split("\n## ")[0]
    documented, printed = shown(section), shown(output)
    assert documented.keys() == printed.keys() and len(printed) == 4
    # Without the frame, the orientation that relaxation ends in may depend on the machine's rounding.
    for kind, values in documented.items():
        if kind[0] == "frame":
            assert printed[kind][6:] == pytest.approx(values[6:], abs=SAME), kind
