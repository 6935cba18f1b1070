"""What decides which frames come out."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any, Literal, Self

import ase
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from transip_md.common.errors import UsageError
from transip_md.data.electronic_state import state_of

#: Ways to come from a structure to frames.
Mode = Literal["langevin", "normal-modes", "bonds", "torsions", "compress", "dimers", "pair"]
#: Temperature of the electrons that tblite takes of itself, K.
COLD_ELECTRONS = 300.0
#: Temperature of the electrons, K, where bonds break: fractional occupation keeps the self-consistent field from
#: jumping between states there, and moves a molecule at rest by less than 1 meV.
WARM_ELECTRONS = 3000.0


class SamplingRecipe(BaseModel):
    """Everything that decides which frames come out; stored beside the data as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: str
    temperature: float = Field(gt=0, description="K; of Langevin dynamics and of normal modes")
    seed: int = Field(ge=0)
    timestep: float = Field(1.0, gt=0, le=2.0, description="fs")
    stride: int = Field(20, gt=0, description="steps between frames")
    friction: float = Field(0.01, gt=0, description="1/fs")
    equilibration: int = Field(1000, ge=0, description="steps before the first frame")
    charge: int | None = Field(None, description="e; None: what the structure file gives, or 0")
    multiplicity: int | None = Field(
        None, ge=0, description="0: the lowest that the electrons allow; None: what the structure file gives, or 1"
    )
    structure_sha256: str = ""
    mode: Mode = "langevin"
    electronic_temperature: float = Field(COLD_ELECTRONS, gt=0, le=50000, description="K, of the teacher's electrons")
    stop_at_dissociation: bool = Field(False, description="start dynamics anew when a bond of the structure breaks")
    shortest: float = Field(0.6, gt=0.1, description="of a bond that is scanned, covalent lengths")
    longest: float = Field(1.8, lt=10, description="of a bond that is scanned, covalent lengths")
    rattle: float = Field(0.03, ge=0, le=0.3, description="Angstrom, of every coordinate on top of a scan")
    largest_force: float = Field(100.0, gt=0, description="eV/Angstrom; a label with a larger one is dropped")
    partners_sha256: str = Field("", description="of the structures that dimers are made with")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.shortest >= self.longest:
            raise ValueError(f"shortest must be below longest, got {self.shortest} and {self.longest}")
        return self

    def key(self) -> dict[str, Any]:
        """The recipe as plain JSON, without what is as it was before there were modes: older files resume."""
        before = set(_BEFORE_MODES)
        default = {name for name, field in SamplingRecipe.model_fields.items() if getattr(self, name) == field.default}
        return self.model_dump(mode="json", exclude=default - before)

    def state(self) -> SamplingRecipe:
        """What decides the structure at rest, which all modes of a structure share: its electrons are cold."""
        shared = ("teacher", "charge", "multiplicity", "structure_sha256")
        return SamplingRecipe(temperature=COLD_ELECTRONS, seed=0, **{name: getattr(self, name) for name in shared})

    def generator(self, *numbers: int) -> np.random.Generator:
        """Random numbers of one step of this mode; equal numbers give equal ones."""
        return np.random.default_rng([self.seed, zlib.crc32(self.mode.encode()), *numbers])


_BEFORE_MODES = (
    "teacher", "temperature", "seed", "timestep", "stride", "friction", "equilibration", "charge", "multiplicity",
    "structure_sha256",
)  # fmt: skip


def completed(recipe: SamplingRecipe, atoms: ase.Atoms, structure: Path, partners: tuple[Path, ...]) -> SamplingRecipe:
    """The recipe with everything in it that the structures decide.

    Raises:
        UsageError: neither isolated nor periodic in all directions, or these electrons cannot have this multiplicity.
    """
    _require_boundaries(atoms, structure)
    charge, multiplicity = electrons_of(recipe, atoms, structure)
    together = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in partners))
    return recipe.model_copy(
        update={
            "charge": charge,
            "multiplicity": multiplicity,
            "structure_sha256": hashlib.sha256(structure.read_bytes()).hexdigest(),
            "partners_sha256": together.hexdigest() if partners else "",
        }
    )


def electrons_of(recipe: SamplingRecipe, atoms: ase.Atoms, structure: Path) -> tuple[int, int]:
    """Charge (e) and multiplicity that a structure is sampled with.

    Raises:
        UsageError: its electrons cannot have this multiplicity.
    """
    stated = state_of(atoms, str(structure))
    charge = stated.charge if recipe.charge is None else recipe.charge
    multiplicity = stated.multiplicity if recipe.multiplicity is None else recipe.multiplicity
    if multiplicity == 0:
        multiplicity = lowest_multiplicity(atoms.numbers, charge)
    _require_electrons(atoms, charge, multiplicity, structure)
    return charge, multiplicity


def lowest_multiplicity(numbers: np.ndarray, charge: int) -> int:
    """1 for an even number of electrons, 2 for an odd one."""
    return 1 + (int(np.sum(numbers)) - charge) % 2


def _require_boundaries(atoms: ase.Atoms, structure: Path) -> None:
    """Raise UsageError for what is neither isolated nor periodic in all directions."""
    if not atoms.pbc.any() or (atoms.pbc.all() and atoms.cell.rank == 3):
        return
    # tblite takes a cell that is periodic along some of its vectors for one that is periodic along all three.
    raise UsageError(
        f"{structure} has {atoms.cell.rank} cell vectors and is periodic in {atoms.pbc.sum()} directions. Expected an "
        'isolated molecule or a cell that is periodic in all three: set pbc="F F F", or pbc="T T T" with three vectors '
        "(and vacuum on the open sides)."
    )


def _require_electrons(atoms: ase.Atoms, charge: int, multiplicity: int, structure: Path) -> None:
    """Raise UsageError unless this many electrons can have this multiplicity."""
    electrons = int(atoms.numbers.sum()) - charge
    if electrons < 0 or multiplicity < 1 or (electrons - multiplicity + 1) % 2:
        # tblite quietly computes multiplicity 2 where 1 is asked for, so that the label would be another state's.
        raise UsageError(
            f"{structure} has {electrons} electrons at charge {charge}, which cannot have multiplicity {multiplicity}. "
            f"Expected an {'even' if electrons % 2 else 'odd'} number: give --charge or --multiplicity, or write "
            "charge= and multiplicity= into the file."
        )
