"""Frames of a model's dynamics, without labels: `python dynamics.py MODEL FOLDER OUTPUT`, with the options below.

FOLDER holds structures, which are relaxed first. A model is some twenty times as fast as GFN2-xTB, which then labels
the few frames that are kept (`transip-md label`). Where bonds break or numbers are not finite, the molecule's dynamics
ends.
"""

import argparse
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import ase
import ase.io
import numpy as np
from ase import units
from ase.md.langevin import Langevin
from ase.optimize import FIRE

from transip_md import TransIPCalculator
from transip_md.common.errors import TransIPError
from transip_md.sampling.langevin import Bonds
from transip_md.sampling.thermal import set_thermal_momenta

TIMESTEP, DAMPING = 1.0, 50.0  # fs
#: Steps before the first frame at a temperature.
SETTLE = 150
#: Relaxed well enough, eV/Angstrom, or after so many steps.
LARGEST_FORCE, MOST_STEPS = 0.1, 100


def frames_of(
    file: Path, model: Path, temperatures: Sequence[float], frames: int, stride: int, seed: int
) -> list[ase.Atoms]:
    """Frames of one molecule, K by K, every `stride` steps, until it falls apart."""
    atoms = ase.io.read(file)
    bonds = Bonds(atoms)
    atoms.calc = TransIPCalculator(model)
    rng = np.random.default_rng([seed, zlib.crc32(file.stem.encode())])
    FIRE(atoms, logfile=None).run(fmax=LARGEST_FORCE, steps=MOST_STEPS)
    kept = []
    for kelvin in temperatures:
        set_thermal_momenta(atoms, kelvin, rng)
        dynamics = Langevin(
            atoms, TIMESTEP * units.fs, temperature_K=kelvin, friction=1 / (DAMPING * units.fs), fixcm=False, rng=rng
        )
        for frame in range(frames):
            try:
                dynamics.run(stride + (0 if frame else SETTLE))
            except TransIPError:  # positions are not finite
                return kept
            if bonds.broken(atoms):
                return kept
            kept.append(ase.Atoms(atoms.numbers, atoms.positions, info={**atoms.info, "temperature_K": kelvin}))
    return kept


def main() -> None:
    """Run all molecules and write their frames."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="exported")
    parser.add_argument("folder", type=Path, help="of structures, .xyz")
    parser.add_argument("output", type=Path, help="extended XYZ")
    parser.add_argument("--temperature", type=float, nargs="+", default=[300.0, 450.0, 700.0], help="K, in this order")
    parser.add_argument("--frames", type=int, default=4, help="of each molecule at each temperature")
    parser.add_argument("--stride", type=int, default=50, help="fs between frames")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="molecules at a time")
    options = parser.parse_args()
    files = sorted(options.folder.glob("*.xyz"))
    wanted = options.frames * len(options.temperature)
    arguments = (options.model, options.temperature, options.frames, options.stride, options.seed)
    frames: list[ase.Atoms] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        waiting = [pool.submit(frames_of, file, *arguments) for file in files]
        for number, (file, future) in enumerate(zip(files, waiting, strict=True), 1):
            found = future.result()
            if len(found) < wanted:
                print(f"{file.name}: falls apart after {len(found)} frames")
            frames += found
            if number % 100 == 0:
                print(f"{number} of {len(files)} molecules", flush=True)
    ase.io.write(options.output, frames, format="extxyz")
    print(f"{options.output}: {len(frames)} frames")


if __name__ == "__main__":
    main()
