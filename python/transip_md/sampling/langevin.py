"""Frames of Langevin dynamics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ase
import ase.io
import numpy as np
from ase import units as ase_units
from ase.calculators.calculator import CalculatorError
from ase.md.langevin import Langevin

from transip_md.data.bonds import bonded_pairs, covalent_length
from transip_md.sampling.errors import FewerFramesError
from transip_md.sampling.frame_files import Dropped
from transip_md.sampling.labels import NOT_CONVERGED, Refusal
from transip_md.sampling.recipe import SamplingRecipe
from transip_md.sampling.teacher import WRITTEN_DECIMALS, as_written, relaxed, teacher_calculator
from transip_md.sampling.thermal import set_thermal_momenta

#: A bond of the relaxed structure is broken when it is longer than this times its covalent length.
BROKEN = 1.5
#: Times that a frame is tried anew after a bond broke.
MOST_BREAKS = 20


def dynamics_frames(first: ase.Atoms, output: Path, done: int, frames: int, recipe: SamplingRecipe) -> Iterator[int]:
    """Append frames to a file that holds `done` of them; see `transip_md.sampling.sample`.

    With `stop_at_dissociation`, dynamics that has broken a bond of the relaxed structure stops, what it came to is
    listed as dropped, and it starts anew from the relaxed structure with other velocities.

    Raises:
        CalculatorError: the teacher fails.
        FewerFramesError: bonds break whenever dynamics starts.
    """
    dropped = Dropped(output, done - 1)
    bonds = Bonds(relaxed(first, recipe)) if recipe.stop_at_dissociation else None
    atoms = None
    for index in range(done, frames):
        breaks = dropped.numbers.count(index)
        while True:
            fresh = breaks > 0 or index == 0
            if fresh:
                atoms = _start(first, recipe, index, breaks)
            elif atoms is None:
                atoms = ase.io.read(output, index=-1)
                atoms.calc = teacher_calculator(recipe)
            steps = recipe.stride + (recipe.equilibration if fresh else 0)
            frame = _next_frame(atoms, recipe, bonds, (index, breaks), steps)
            if not isinstance(frame, Refusal):
                break
            dropped.add(index, *frame)
            breaks += 1
            if breaks >= MOST_BREAKS:
                often = f"stops each of {breaks} times that it starts"
                raise FewerFramesError(f"dynamics at {recipe.temperature:g} K {often} ({frame.detail})")
        ase.io.write(output, frame, append=True, format="extxyz")
        yield index + 1


def _next_frame(
    atoms: ase.Atoms, recipe: SamplingRecipe, bonds: Bonds | None, draw: tuple[int, int], steps: int
) -> ase.Atoms | Refusal:
    """The frame that dynamics comes to, or why it stops; `draw` is as of `_advance`.

    Raises:
        CalculatorError: the teacher fails, unless it does not converge where bonds are watched.
    """
    try:
        _advance(atoms, recipe, draw, steps)
        frame = as_written(atoms, recipe, {"temperature_K": recipe.temperature})
    except CalculatorError as error:
        if bonds is None or NOT_CONVERGED not in str(error):
            raise
        return Refusal("unconverged", str(error))
    broken = bonds.broken(atoms) if bonds else None
    return frame if broken is None else Refusal("dissociated", broken)


class Bonds:
    """The bonds that dynamics must not break."""

    def __init__(self, atoms: ase.Atoms) -> None:
        self.pairs = bonded_pairs(atoms)

    def broken(self, atoms: ase.Atoms) -> str | None:
        """What broke, as it is listed; None if nothing did."""
        for first, second in self.pairs:
            length = atoms.get_distance(first, second, mic=bool(atoms.pbc.any()))
            if length > BROKEN * covalent_length(atoms.numbers[first], atoms.numbers[second]):
                symbols = atoms.get_chemical_symbols()
                return f"{symbols[first]}{first}-{symbols[second]}{second} is {length:.2f} Angstrom long"
        return None


def _start(structure: ase.Atoms, recipe: SamplingRecipe, index: int, breaks: int) -> ase.Atoms:
    """The structure at rest in its cell, with velocities."""
    atoms = relaxed(structure, recipe)
    rng = np.random.default_rng([recipe.seed, 0, *((index, breaks) if breaks else ())])
    set_thermal_momenta(atoms, recipe.temperature, rng)
    return atoms


def _advance(atoms: ase.Atoms, recipe: SamplingRecipe, draw: tuple[int, int], steps: int) -> None:
    """Run dynamics to the next frame; its random numbers are those of `draw`: the frame, and starts before."""
    index, breaks = draw
    dynamics = Langevin(
        atoms,
        timestep=recipe.timestep * ase_units.fs,
        temperature_K=recipe.temperature,
        friction=recipe.friction / ase_units.fs,
        fixcm=False,
        rng=np.random.default_rng([recipe.seed, index + 1, *((breaks,) if breaks else ())]),
    )
    dynamics.run(steps)
    if not atoms.pbc.any():
        atoms.positions -= atoms.get_center_of_mass()
    # The state continues from what the file holds, digit for digit: a resumed run has nothing else.
    atoms.positions = np.round(atoms.positions, WRITTEN_DECIMALS)
    atoms.set_momenta(np.round(atoms.get_momenta(), WRITTEN_DECIMALS))
    atoms.calc.reset()
