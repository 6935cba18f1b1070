"""``transip.json``: the metadata of a model file, and how it is read before the weights are.

The keys are those of ``docs/conventions.md``. A reader refuses what it does not understand: another format, a key
that it does not know, units other than eV and Angstrom, a value out of its range.
libtransip's metadata.cpp is the twin: what one of the two refuses, the other refuses.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field, model_validator

from transip_md.common.errors import UsageError, validation_message
from transip_md.modelfile.archive import Archive
from transip_md.modelfile.committee_file import read_model
from transip_md.modelfile.strict_json import MOST_JSON, parse_json

#: Format that is written; format 1, which has no index of the weights, is read too.
FORMAT: Literal[2] = 2
METADATA_NAME = "transip.json"
#: Beside it in the archive: one structure with the eager model's energy and forces, for engines to compare with.
REFERENCE_NAME = "reference.json"
#: The note wherever a model with a direct force head is used.
NOT_CONSERVATIVE = (
    "The model has a direct force head: its forces are not the gradient of the energy, molecular dynamics at constant "
    "energy will drift, and there is no stress."
)


class Units(BaseModel):
    """Units of the file; no others are allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    energy: Literal["eV"] = "eV"
    length: Literal["angstrom"] = "angstrom"


_Size = Annotated[int, Field(ge=0, le=2**40)]
_Charge = Annotated[int, Field(ge=-100, le=100)]
_Multiplicity = Annotated[int, Field(ge=1, le=101)]


class WeightEntry(BaseModel):
    """One tensor of the weights: where it lies in the file, and what it must be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry: str = Field(description="name in the archive")
    dtype: Literal["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "uint8", "bool"]
    shape: tuple[_Size, ...] = Field(max_length=8)
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the entry's contents")


class Network(BaseModel):
    """Network by which native kernels go."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int = Field(ge=1, le=2**20)


class Metadata(BaseModel):
    """Everything that an engine needs to know before it evaluates a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1, 2] = FORMAT
    species: tuple[Annotated[int, Field(ge=1, le=118)], ...] = Field(
        min_length=1, description="distinct atomic numbers, in order"
    )
    cutoff: float | None = Field(
        gt=0, le=100, allow_inf_nan=False, description="Angstrom; null for all-to-all attention"
    )
    interaction_range: float | None = Field(
        gt=0, le=10000, allow_inf_nan=False, description="Angstrom; layers x cutoff; null for all-to-all"
    )
    dtype: Literal["float32", "float64"]
    units: Units = Units()
    conservative: bool = Field(description="true if forces are -dE/dr")
    charge: tuple[_Charge, _Charge] = Field(description="smallest and largest total charge, e")
    multiplicity: tuple[_Multiplicity, _Multiplicity] = Field(description="smallest and largest spin multiplicity")
    symmetry: tuple[Literal["average", "frame", "random"], ...] = Field(
        (), description="exact symmetries that the file offers"
    )
    architecture: dict[str, Any]
    training: dict[str, Any]
    certificate: dict[str, Any] | None = None
    made_with: dict[str, str]
    source_sha256: str
    weights: dict[str, WeightEntry] | None = Field(None, description="format 2: name of a tensor -> where it lies")
    network: Network | None = Field(None, description="format 2: what native kernels go by")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.species)) != len(self.species):
            raise ValueError(f"species must be distinct atomic numbers, got {list(self.species)}")
        if len(set(self.symmetry)) != len(self.symmetry):
            raise ValueError(f"symmetry must be distinct names, got {list(self.symmetry)}")
        for name in ("charge", "multiplicity"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be (smallest, largest), got {[low, high]}")
        reach = self.interaction_range
        if (self.cutoff is None) != (reach is None) or (self.cutoff is not None and (reach or 0.0) < self.cutoff):
            raise ValueError(
                f"interaction_range must be null beside a cutoff of null, else the cutoff or more; got {reach}"
            )
        return self

    def to_json(self) -> str:
        """The text that is stored in the file."""
        indexed = set() if self.format > 1 else {"weights", "network"}
        return json.dumps(self.model_dump(mode="json", exclude=indexed), indent=1)

    @property
    def has_sample(self) -> bool:
        """Whether the file brings a sample of its training set, from which distances are measured."""
        return "latent_sample.atoms" in (self.weights or {})

    def check_species(self, numbers: Iterable[int]) -> None:
        """Raise UsageError unless the model knows all of these atomic numbers."""
        unknown = sorted({int(z) for z in numbers} - set(self.species))
        if unknown:
            known = ", ".join(_symbol(z) for z in self.species)
            raise UsageError(
                f"The model does not know {', '.join(_symbol(z) for z in unknown)}; it was trained on {known}."
            )

    def check_charge(self, charge: int, multiplicity: int) -> None:
        """Raise UsageError unless the model knows this total charge (e) and spin multiplicity."""
        for name, value, (low, high) in (
            ("charge", charge, self.charge),
            ("multiplicity", multiplicity, self.multiplicity),
        ):
            if not low <= value <= high:
                allowed = f"{low}" if low == high else f"{low} to {high}"
                raise UsageError(f"The model knows {name} {allowed}; got {name} {value}.")


def _symbol(number: int) -> str:
    from ase.data import chemical_symbols

    return chemical_symbols[number] if 0 < number < len(chemical_symbols) else f"Z={number}"


def read_metadata(path: Path | str) -> Metadata:
    """Read ``transip.json`` out of a model file without touching its weights.

    Args:
        path: a file made by ``transip-md export``; of a committee's file the first model's metadata are read.

    Returns:
        The checked metadata.

    Raises:
        UsageError: no such file, not a TorchScript file, no ``transip.json`` in it, another format, bad keys.
    """
    with Archive(path, read_model(path)) as archive:
        return metadata_of(archive)


def metadata_of(archive: Archive) -> Metadata:
    """The metadata of an archive; errors as of `read_metadata`."""
    name = f"extra/{METADATA_NAME}"
    if name not in archive:
        form = form_of(archive)
        what = f"is a {form} file without" if form else "is not a TorchScript file: it has no"
        raise UsageError(
            f"{archive.path} {what} {METADATA_NAME}, so its species, cutoff and units are unknown. "
            "Make the file with `transip-md export CHECKPOINT -o model.pt`."
        )
    return parse_metadata(archive.read(name, MOST_JSON), archive.path)


def form_of(archive: Archive) -> Literal["TorchScript", "compiled"] | None:
    """What a model file is; None if it is neither."""
    if "constants.pkl" in archive:
        return "TorchScript"
    return "compiled" if any(name.startswith("data/aotinductor/") for name in archive.entries) else None


def parse_metadata(text: str | bytes, path: Path | str) -> Metadata:
    """Check the text of a ``transip.json``; `path` is named in errors. Raises UsageError."""
    values = parse_json(text, path, METADATA_NAME)
    if not isinstance(values, dict):
        raise UsageError(
            f"{path}: its {METADATA_NAME} cannot be used: expected an object, got {json.dumps(values)[:60]}."
        )
    found = values.get("format")
    if type(found) is not int or found not in (1, FORMAT):
        raise UsageError(
            f"{path} has model format {found}; this version of transip-md reads formats 1 and {FORMAT}. "
            "Export the checkpoint again with this version, or type `pip install --upgrade transip-md`."
        )
    # Files of format 1 may be older than the symmetries.
    optional = {"symmetry"} | ({"weights", "network"} if found == 1 else set())
    missing = [name for name in Metadata.model_fields if name not in values and name not in optional]
    if missing:
        raise UsageError(f"{path}: its {METADATA_NAME} cannot be used: {', '.join(missing)} is missing.")
    try:
        metadata = Metadata.model_validate_json(json.dumps(values), strict=True)
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: its {METADATA_NAME} cannot be used: {validation_message(error)}.") from error
    if found == 1 and (unknown := {"weights", "network"} & set(values)):
        raise UsageError(f"{path}: its {METADATA_NAME} has a key that format 1 has not: {', '.join(sorted(unknown))}.")
    if found > 1 and metadata.weights is None:
        raise UsageError(f"{path}: its {METADATA_NAME} cannot be used: weights: expected an object, got null.")
    return metadata
