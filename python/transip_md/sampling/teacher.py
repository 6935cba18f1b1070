"""The semi-empirical teacher: its calculator, a structure at rest, and the frame that is written."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.optimize import BFGS

from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.data.structures import read_structure
from transip_md.sampling.recipe import COLD_ELECTRONS, SamplingRecipe

#: Teachers by the name that the command line takes, and what tblite calls them.
TEACHERS = {"gfn2-xtb": "GFN2-xTB", "gfn1-xtb": "GFN1-xTB"}
#: Decimals of positions and momenta in an extended XYZ file that ase writes.
WRITTEN_DECIMALS = 8


def teacher_calculator(recipe: SamplingRecipe) -> Any:
    """Make the ase calculator that labels frames.

    Raises:
        UsageError: no such teacher.
        EnvironmentFaultError: tblite is not installed.
    """
    if recipe.teacher not in TEACHERS:
        raise UsageError(f"No teacher is called {recipe.teacher!r}. Choose one of {', '.join(TEACHERS)}.")
    try:
        from tblite.ase import TBLite
    except ImportError as error:
        raise EnvironmentFaultError(
            f"The teacher {recipe.teacher} needs tblite. Type `pip install 'transip-md[train]'`."
        ) from error
    # Every frame starts from a fresh density (cache_api=False on reset), so that a resumed run repeats the
    # uninterrupted one.
    return TBLite(
        method=TEACHERS[recipe.teacher],
        charge=recipe.charge,
        multiplicity=recipe.multiplicity,
        electronic_temperature=recipe.electronic_temperature,
        cache_api=False,
        verbosity=0,
    )


def bare(atoms: ase.Atoms) -> ase.Atoms:
    """The structure without what else its file holds: constraints would zero labels, columns end up in every frame."""
    masses = np.round(atoms.get_masses(), WRITTEN_DECIMALS) if atoms.has("masses") else None
    return ase.Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc, masses=masses)


def relaxed(structure: ase.Atoms, recipe: SamplingRecipe) -> ase.Atoms:
    """The structure at rest in its cell, to 0.05 eV/Angstrom or as far as 500 steps come, with its calculator.

    Args:
        structure: positions in Angstrom.
        recipe: the teacher and the electronic state.

    Raises:
        CalculatorError: the teacher fails.
    """
    atoms = bare(structure)
    atoms.calc = teacher_calculator(recipe)
    BFGS(atoms, logfile=None).run(fmax=0.05, steps=500)
    return atoms


@lru_cache(maxsize=10000)
def at_rest(structure: Path, state: SamplingRecipe) -> ase.Atoms:
    """The structure of a file at rest, without calculator; made once for all modes, and for dimers with others.

    Args:
        structure: the file.
        state: from `SamplingRecipe.state`, with the hash of the file in it.

    Raises:
        CalculatorError: the teacher fails.
    """
    return bare(relaxed(read_structure(structure), state))


def as_written(atoms: ase.Atoms, recipe: SamplingRecipe, info: dict[str, object]) -> ase.Atoms:
    """A frame with the labels of its calculator, and with more in its info."""
    frame = atoms.copy()
    frame.info = {"teacher": recipe.teacher, **info}
    if recipe.electronic_temperature != COLD_ELECTRONS:
        frame.info["electronic_temperature_K"] = recipe.electronic_temperature
    if recipe.charge:
        frame.info["charge"] = recipe.charge
    if recipe.multiplicity != 1:
        frame.info["multiplicity"] = recipe.multiplicity
    frame.calc = SinglePointCalculator(frame, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
    return frame
