"""``transip.json``: what a model file says of itself, and how it is read before the weights are.

The keys are those of ``docs/conventions.md``. A reader refuses what it does not understand: another format, a key
that it does not know, units other than eV and Angstrom.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from transip_md.errors import UsageError, validation_message

FORMAT = 1
METADATA_NAME = "transip.json"
#: Beside it in the archive: one structure with the eager model's energy and forces, for engines to compare with.
REFERENCE_NAME = "reference.json"
#: Said wherever a model with a direct force head is used.
NOT_CONSERVATIVE = (
    "The model has a direct force head: its forces are not the gradient of the energy, molecular dynamics at constant "
    "energy will drift, and there is no stress."
)


class Units(BaseModel):
    """Units of the file; no others are allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    energy: Literal["eV"] = "eV"
    length: Literal["angstrom"] = "angstrom"


class Metadata(BaseModel):
    """Everything that an engine needs to know before it evaluates a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    species: tuple[int, ...] = Field(min_length=1, description="atomic numbers, in order")
    cutoff: float | None = Field(description="Angstrom; null for all-to-all attention")
    interaction_range: float | None = Field(description="Angstrom; layers x cutoff; null for all-to-all")
    dtype: Literal["float32", "float64"]
    units: Units = Units()
    conservative: bool = Field(description="true if forces are -dE/dr")
    charge: tuple[int, int] = Field(description="smallest and largest total charge, e")
    multiplicity: tuple[int, int] = Field(description="smallest and largest spin multiplicity")
    symmetry: tuple[str, ...] = Field((), description="exact symmetries that the file offers")
    architecture: dict[str, Any]
    training: dict[str, Any]
    certificate: dict[str, Any] | None = None
    made_with: dict[str, str]
    source_sha256: str

    def to_json(self) -> str:
        """The text that is stored in the file."""
        return json.dumps(self.model_dump(mode="json"), indent=1)

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
        path: a file made by ``transip-md export``.

    Returns:
        The checked metadata.

    Raises:
        UsageError: no such file, not a TorchScript file, no ``transip.json`` in it, another format, bad keys.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"No such model file: {path}. Make one with `transip-md export NAME -o {path.name}`.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            text = next((archive.read(n) for n in names if n.split("/", 1)[-1] == f"extra/{METADATA_NAME}"), None)
    except (zipfile.BadZipFile, OSError) as error:
        raise UsageError(
            f"{path} is not a TorchScript file (not an archive at all). Expected a file made by `transip-md export`."
        ) from error
    if text is None:
        form = _form(names)
        what = f"is a {form} file without" if form else "is not a TorchScript file: it has no"
        raise UsageError(
            f"{path} {what} {METADATA_NAME}, so its species, cutoff and units are unknown. "
            "Make the file with `transip-md export CHECKPOINT -o model.pt`."
        )
    return parse_metadata(text, path)


def form_of(path: Path | str) -> Literal["TorchScript", "compiled"] | None:
    """What a model file is; None if it is neither. The file is an archive."""
    with zipfile.ZipFile(path) as archive:
        return _form(archive.namelist())


def _form(names: Iterable[str]) -> Literal["TorchScript", "compiled"] | None:
    inside = {name.split("/", 1)[-1] for name in names}
    if "constants.pkl" in inside:
        return "TorchScript"
    return "compiled" if any(name.startswith("data/aotinductor/") for name in inside) else None


def parse_metadata(text: str | bytes, path: Path | str) -> Metadata:
    """Check the text of a ``transip.json``; `path` is named in errors. Raises UsageError."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{path}: its {METADATA_NAME} is not JSON: {error}.") from error
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise UsageError(
            f"{path} has model format {found}; this version of transip-md reads format {FORMAT}. "
            "Export the checkpoint again with this version, or type `pip install --upgrade transip-md`."
        )
    try:
        return Metadata.model_validate(values)
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: its {METADATA_NAME} cannot be used: {validation_message(error)}.") from error
