"""Training data of one's own making: Langevin sampling of a molecule, labelled by a semi-empirical teacher."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase import units as ase_units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import BFGS
from pydantic import BaseModel, ConfigDict, Field

from transip_md.errors import EnvironmentFaultError, UsageError
from transip_md.structures import read_structure

#: Teachers by the name that the command line takes, and what tblite calls them.
TEACHERS = {"gfn2-xtb": "GFN2-xTB", "gfn1-xtb": "GFN1-xTB"}
#: Decimals of positions and momenta in an extended XYZ file that ase writes.
WRITTEN_DECIMALS = 8


class SamplingRecipe(BaseModel):
    """Everything that decides which frames come out; stored beside the data as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: str
    temperature: float = Field(gt=0, description="K")
    seed: int = Field(ge=0)
    timestep: float = Field(1.0, gt=0, le=2.0, description="fs")
    stride: int = Field(20, gt=0, description="steps between frames")
    friction: float = Field(0.01, gt=0, description="1/fs")
    equilibration: int = Field(1000, ge=0, description="steps before the first frame")
    charge: int = 0
    multiplicity: int = Field(1, ge=1)
    structure_sha256: str = ""

    def key(self) -> dict[str, Any]:
        """The recipe as plain JSON."""
        return self.model_dump(mode="json")


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
        cache_api=False,
        verbosity=0,
    )


def _whole_frames(path: Path, atoms_per_frame: int) -> int:
    """Count the whole frames of an extended XYZ file and cut off a last one that was broken off."""
    lines_per_frame = atoms_per_frame + 2
    lines, end_of_frames, position = 0, 0, 0
    with path.open("rb") as file:
        for line in file:
            position += len(line)
            if line.endswith(b"\n"):
                lines += 1
                if lines % lines_per_frame == 0:
                    end_of_frames = position
    with path.open("rb+") as file:
        file.truncate(end_of_frames)
    return lines // lines_per_frame


def _start(structure: Path, recipe: SamplingRecipe) -> ase.Atoms:
    """Relax the structure and give it velocities."""
    atoms = read_structure(structure)
    atoms.info.clear()
    atoms.calc = teacher_calculator(recipe)
    BFGS(atoms, logfile=None).run(fmax=0.05, steps=500)
    rng = np.random.default_rng([recipe.seed, 0])
    MaxwellBoltzmannDistribution(atoms, temperature_K=recipe.temperature, rng=rng)
    return atoms


def sample(structure: Path | str, output: Path | str, frames: int, recipe: SamplingRecipe) -> Iterator[int]:
    """Sample frames by Langevin dynamics and append them to an extended XYZ file.

    The file holds positions (Angstrom), momenta (amu^(1/2) eV^(1/2), ase's), energy (eV) and forces (eV/Angstrom).
    A recipe is written beside it first; called again with the same recipe, sampling resumes behind the last whole
    frame and gives the frames that an uninterrupted run would have given.

    Args:
        structure: starting structure, an isolated molecule.
        output: extended XYZ file to write.
        frames: number of frames that the file shall hold in the end.
        recipe: teacher, temperature, seed and the rest.

    Yields:
        The number of frames in the file, after each one.

    Raises:
        UsageError: bad structure, or the file was sampled with another recipe.
        EnvironmentFaultError: the teacher is not installed.
    """
    structure, output = Path(structure), Path(output)
    first = read_structure(structure)
    recipe = recipe.model_copy(update={"structure_sha256": hashlib.sha256(structure.read_bytes()).hexdigest()})
    recipe_file = output.with_name(output.name + ".recipe.json")
    done = 0
    if output.exists():
        if not recipe_file.exists() or json.loads(recipe_file.read_text()) != recipe.key():
            raise UsageError(
                f"{output} exists and was not sampled with this recipe (see {recipe_file.name}). "
                "Remove it or choose another output file."
            )
        done = _whole_frames(output, len(first))
    recipe_file.write_text(json.dumps(recipe.key(), indent=1) + "\n")

    if done >= frames:
        return
    if done:
        atoms = ase.io.read(output, index=-1)
        atoms.calc = teacher_calculator(recipe)
    else:
        atoms = _start(structure, recipe)
    dynamics = Langevin(
        atoms,
        timestep=recipe.timestep * ase_units.fs,
        temperature_K=recipe.temperature,
        friction=recipe.friction / ase_units.fs,
        fixcm=False,
    )
    for index in range(done, frames):
        dynamics.rng = np.random.default_rng([recipe.seed, index + 1])
        dynamics.run(recipe.stride if index else recipe.equilibration + recipe.stride)
        atoms.positions -= atoms.get_center_of_mass()
        # The state goes on from what the file holds, digit for digit: a resumed run has nothing else.
        atoms.positions = np.round(atoms.positions, WRITTEN_DECIMALS)
        atoms.set_momenta(np.round(atoms.get_momenta(), WRITTEN_DECIMALS))
        atoms.calc.reset()
        frame = atoms.copy()
        frame.info = {"teacher": recipe.teacher, "temperature_K": recipe.temperature}
        frame.calc = SinglePointCalculator(frame, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
        ase.io.write(output, frame, append=True, format="extxyz")
        yield index + 1
