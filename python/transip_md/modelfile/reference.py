"""``reference.json``: a structure with the eager model's numbers, which engines compare themselves with.

The twin of libtransip's reference.cpp.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import numpy as np
import pydantic
from pydantic import BaseModel, ConfigDict, Field, model_validator

from transip_md.common.errors import CheckFailedError, UsageError, validation_message
from transip_md.common.tolerances import PARITY
from transip_md.modelfile.metadata import REFERENCE_NAME, Metadata
from transip_md.modelfile.strict_json import parse_json

MOST_STATES = 64
#: Multiple of a model's own rounding by which two evaluations of a structure may differ: either side has some, and on a
#: single structure up to twice the largest of the few that were looked at when it was measured.
OF_ROUNDING = 4.0
_Number = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]


class ReferenceState(BaseModel):
    """Energy and forces of the structure in one state.

    Attributes:
        charge: total charge, e.
        multiplicity: spin multiplicity.
        energy: eV.
        forces: eV/Angstrom, [I * 3].
        energy_rounding: eV, what the weights' precision does to the energy, measured at export; 0 in format 1.
        force_rounding: eV/Angstrom, the same of the worst force component.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    charge: int
    multiplicity: int
    energy: _Number
    forces: tuple[_Number, ...]
    energy_rounding: float = Field(0.0, ge=0, le=1, allow_inf_nan=False)
    force_rounding: float = Field(0.0, ge=0, le=1, allow_inf_nan=False)


class Reference(BaseModel):
    """A structure, flat as it is stored, and what the exported model gives for it.

    Attributes:
        species: atomic numbers, [T].
        positions: Angstrom, [I * 3].
        owner: the token of each row, [I].
        neighbours: rows, padded with -1, [T * K].
        states: at least one.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    species: tuple[int, ...] = Field(min_length=1)
    positions: tuple[_Number, ...] = Field(min_length=3)
    owner: tuple[int, ...]
    neighbours: tuple[int, ...]
    states: tuple[ReferenceState, ...] = Field(min_length=1, max_length=MOST_STATES)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        tokens, rows = len(self.species), len(self.owner)
        if len(self.positions) != 3 * rows or rows < tokens:
            raise ValueError(f"positions must be three numbers for each of {rows} rows, got {len(self.positions)}")
        if self.owner[:tokens] != tuple(range(tokens)) or not all(0 <= token < tokens for token in self.owner):
            raise ValueError("owner must be tokens, and each token its own")
        if len(self.neighbours) % tokens or not all(-1 <= row < rows for row in self.neighbours):
            raise ValueError("neighbours must be rows or -1, as many slots for each token")
        if any(len(state.forces) != 3 * rows for state in self.states):
            raise ValueError("forces must be as many as positions")
        return self

    def check_known(self, metadata: Metadata, path: Path | str) -> None:
        """Raise UsageError unless the model knows the elements and states."""
        try:
            metadata.check_species(self.species)
            for state in self.states:
                metadata.check_charge(state.charge, state.multiplicity)
        except UsageError as error:
            raise UsageError(f"{path}: its {REFERENCE_NAME} cannot be used: {error}") from error
        if metadata.cutoff is None and self.neighbours:
            raise UsageError(f"{path}: its {REFERENCE_NAME} has neighbours, and an all-to-all model takes none.")


def parse_reference(text: bytes, metadata: Metadata, path: Path | str) -> Reference:
    """Check the text of a ``reference.json`` that goes with the metadata of its file.

    Raises:
        UsageError: not JSON, a key missing, arrays that do not fit together, elements or states that the model does not
            know.
    """
    values = parse_json(text, path, REFERENCE_NAME)
    if metadata.format == 1 and isinstance(values, dict):
        state = {key: values[key] for key in ("charge", "multiplicity", "energy", "forces") if key in values}
        values = {**values, "states": [state]}
    try:
        reference = Reference.model_validate_json(json.dumps(values), strict=True)
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: its {REFERENCE_NAME} cannot be used: {validation_message(error)}.") from error
    reference.check_known(metadata, path)
    return reference


class Numbers(NamedTuple):
    """What an evaluation gave.

    Attributes:
        energy: eV.
        forces: eV/Angstrom, [I, 3].
    """

    energy: float
    forces: np.ndarray


def compare(state: ReferenceState, got: Numbers, dtype: str, path: Path | str) -> None:
    """Raise CheckFailedError if an evaluation differs from the reference by more than the parity of its dtype.

    Where the weights' precision does more than a quarter of that to the numbers (measured at export), four times of it
    are allowed.
    """
    energy_allowed = max(PARITY[dtype].energy, OF_ROUNDING * state.energy_rounding)
    force_allowed = max(PARITY[dtype].force, OF_ROUNDING * state.force_rounding)
    energy = abs(got.energy - state.energy)
    force = float(np.abs(got.forces.ravel() - np.array(state.forces)).max(initial=0.0))
    if not (energy <= energy_allowed and force <= force_allowed):
        raise CheckFailedError(
            f"{path} does not give the numbers here that it gave where it was exported: the energy of its reference "
            f"structure differs by {energy:.3g} eV (allowed {energy_allowed:.3g}), forces by {force:.3g} eV/A (allowed "
            f"{force_allowed:.3g}). Export the model again on this machine."
        )
