"""The table of which key of a foreign state dict becomes which weight; see ``docs/import.md``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, model_validator

from transip_md.common.errors import EnvironmentFaultError, UsageError, validation_message
from transip_md.model.config import ModelConfig

#: Group of a rule's regular expression that distinguishes the keys that are concatenated.
PART = "part"

Text = Annotated[str, Field(min_length=1)]


class Concatenate(BaseModel):
    """Join weights that are stored apart, such as those of queries, keys and values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: NonNegativeInt = Field(0, description="dimension along which they are joined")
    order: tuple[str, ...] = Field(min_length=2, description="values of the group `part`, first to last")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.order)) != len(self.order):
            raise ValueError(f"order names a part twice: {list(self.order)}")
        return self


class Rule(BaseModel):
    """What becomes of the keys that a regular expression matches as a whole.

    Each tensor is transposed, its rows are chosen, it is multiplied; then tensors are concatenated, then reshaped.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pattern: str = Field(alias="from", description="regular expression for keys of the source")
    to: str | None = Field(None, description=r"name of our weight; \1 and \g<name> stand for groups")
    transpose: bool = Field(False, description="matrices are stored [in, out]")
    rows: tuple[NonNegativeInt, ...] | None = Field(None, min_length=1, description="rows to take, in our order")
    multiply: FiniteFloat | None = Field(None, description="factor, for other units")
    concatenate: Concatenate | None = None
    reshape: bool = Field(False, description="same numbers in the same order, in the shape of our weight")
    ignore: bool = Field(False, description="the model does not need these keys")
    reason: Text | None = Field(None, description="why they may be ignored")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        groups = _compiled(self.pattern).groupindex
        if self.ignore:
            if self.reason is None:
                raise ValueError("ignore needs a reason")
            if self.model_fields_set - {"pattern", "ignore", "reason"}:
                raise ValueError("ignore goes with `from` and `reason` only")
            return self
        if self.to is None:
            raise ValueError("needs `to: NAME`, or `ignore: true` with a reason")
        try:
            _compiled(self.pattern).sub(self.to, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"to: {self.to!r} does not go with the groups of `from`: {error}") from error
        if (self.concatenate is not None) != (PART in groups):
            raise ValueError(f"concatenate and a group (?P<{PART}>...) in `from` go together")
        return self


class Fill(BaseModel):
    """Values of our weights that the source does not hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: str = Field(description="regular expression for names of our weights")
    value: FiniteFloat | tuple[FiniteFloat, ...] | None = Field(None, description="one number for all, or one for each")
    from_config: bool = Field(False, description="what the configuration alone decides; no trained weight")
    reason: Text

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _compiled(self.weights)
        if (self.value is not None) == self.from_config:
            raise ValueError("needs either `value` or `from_config: true`")
        return self


class Training(BaseModel):
    """What every file made from the model states of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Text
    level_of_theory: Text
    licence: Text
    description: Text


class Table(BaseModel):
    """How a foreign state dict becomes a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights_at: list[str] | None = Field(None, description="keys that lead to the state dict; null: there is one only")
    rules: list[Rule] = Field(min_length=1, description="a key goes to the first rule that matches it")
    fill: list[Fill] = Field(default_factory=list)
    config: dict[str, Any] | None = Field(None, description="fields of ModelConfig")
    training: Training

    def record(self) -> dict[str, Any]:
        """The table as JSON-like values, for the record of a checkpoint."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error


def read_table(path: Path) -> Table:
    """Read a table from a YAML file.

    Raises:
        UsageError: no such file, not YAML, unknown or wrong keys.
        EnvironmentFaultError: PyYAML is not installed.
    """
    try:
        return Table.model_validate(_read_yaml(path, "table"))
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: {validation_message(error)}.") from error


def model_config_of(table: Table, path: Path | None) -> ModelConfig:
    """Shape of the network, from a YAML file if there is one, else from the table.

    Raises:
        UsageError: given in neither or in both, not YAML, unknown or wrong keys.
        EnvironmentFaultError: PyYAML is not installed.
    """
    if (path is None) == (table.config is None):
        how = "is not given" if path is None else "is given twice"
        raise UsageError(f"The shape of the model {how}. Give it by `--config model.yaml` or by the table's `config:`.")
    values = table.config if path is None else _read_yaml(path, "configuration of a model")
    try:
        return ModelConfig.model_validate(values)
    except pydantic.ValidationError as error:
        raise UsageError(f"{path or 'config'}: {validation_message(error)}.") from error


def _read_yaml(path: Path, what: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise EnvironmentFaultError("Tables are YAML. Type `pip install pyyaml`.") from error
    if not path.is_file():
        raise UsageError(f"No such {what}: {path}.")
    try:
        return yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {error}") from error
