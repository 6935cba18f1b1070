"""Configuration of a training run, read from YAML; unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field, model_validator

from transip_md.common.errors import EnvironmentFaultError, UsageError, validation_message
from transip_md.model.config import DEFAULT_SHORT_RANGE_END, ModelConfig
from transip_md.model.presets import PRESETS
from transip_md.training.widening import widened_shape

#: Keys of `model` that may stand beside `start_from`.
WIDENED = (
    "species",
    "charge",
    "multiplicity",
    "short_range",
    "short_range_end",
    "charge_energies",
    "layers",
    "feedforward",
)


class Strict(BaseModel):
    """A section of the configuration: a key that is not in it is an error."""

    model_config = ConfigDict(extra="forbid")


class DataConfig(Strict):
    """Which files to train and test on, and what the model file states of them."""

    train: list[Path] = Field(
        min_length=1,
        description="labelled files (or folders of .aselmdb), relative to the configuration; * and ? match",
    )
    test: list[Path] = Field(min_length=1, description="held-out files, never seen in training")
    validation: int = Field(
        500, ge=1, description="frames of the training data, drawn by the seed, kept to watch progress"
    )
    frames: int | None = Field(None, ge=1, description="train on so many frames, drawn by the seed; null: on all")
    bootstrap: bool = Field(
        False, description="draw the frames to train on with replacement, as for the members of a committee"
    )
    charge: int = Field(0, description="total charge, e, of frames that do not give theirs")
    multiplicity: int = Field(1, ge=1, description="spin multiplicity of frames that do not give theirs")
    references: dict[str, float] | None = Field(
        None, description="energy of each element, eV; null: fitted to the training data"
    )
    workers: int = Field(0, ge=0, description="processes that read data; 0: the training process itself")
    description: str
    level_of_theory: str
    licence: str


class EquivarianceConfig(Strict):
    """L_eq: a two-layer network predicts the embedding of one rotated view from that of another and the rotation."""

    weight: float = Field(gt=0, description="w_eq")
    embedding: Literal["pooled", "atoms"] = Field(
        "pooled", description="compare the mean embedding of a structure, or each atom's"
    )
    loss: Literal["squared", "contrastive"] = Field(
        "contrastive", description="squared error, or InfoNCE over the batch"
    )
    temperature: float = Field(0.1, gt=0, description="of InfoNCE")
    hidden: int | None = Field(None, gt=0, description="width of the hidden layer; null: twice that of a token")
    ramp: int = Field(0, ge=0, description="steps over which the weight rises from zero")
    stop_gradient: bool = Field(
        False, description="take the target as given: gradients flow through the prediction only"
    )
    normalise: bool = Field(True, description="compare embeddings of zero mean and unit variance")


class ObjectiveConfig(Strict):
    """L = w_E L_E + w_F L_F + w_eq L_eq, and how far two views may disagree."""

    energy_weight: float = Field(1.0, ge=0, description="weight of |dE| / N, eV")
    force_weight: float = Field(10.0, ge=0, description="weight of the mean |dF| per atom, eV/Angstrom")
    rotations: bool = Field(True, description="rotate every structure at random, uniformly on SO(3)")
    consistency: float = Field(
        0.0,
        ge=0,
        description="add so many times w_E |dE| / N + w_F |dF| between two views of each structure; 0: one view",
    )
    equivariance: EquivarianceConfig | None = Field(None, description="the latent-equivariance loss; null: none")


class TrainConfig(Strict):
    """Everything that decides a training run."""

    data: DataConfig
    model: dict[str, Any] = Field(
        default_factory=dict, description="`preset` and fields of ModelConfig; species from the data unless given"
    )
    start_from: str | None = Field(
        None,
        description="fine-tune this checkpoint file or shipped model; elements, charges and multiplicities that the "
        "data hold are added to it",
    )
    objective: ObjectiveConfig = ObjectiveConfig()
    seed: int = 0
    steps: int = Field(gt=0)
    batch_size: int | None = Field(None, gt=0, description="structures in a batch; null: by batch_atoms")
    batch_atoms: int | None = Field(None, gt=0, description="atoms in a batch, padding counted; null: by batch_size")
    optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="muon: Muon for the matrices of linear layers, AdamW for the rest"
    )
    learning_rate: float = Field(2e-3, gt=0)
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="with start_from: factor of the learning rate from each layer to the one before it; the energy "
        "head has learning_rate, the embeddings of elements the smallest",
    )
    schedule: Literal["cosine", "constant"] = Field("cosine", description="of the learning rate, after the warm-up")
    warmup: int = Field(500, ge=0, description="steps of linear warm-up")
    weight_decay: float = Field(0.0, ge=0)
    clip_gradient: float = Field(10.0, gt=0, description="largest norm of the gradient")
    ema_decay: float = Field(0.999, ge=0, lt=1, description="exponential moving average of the weights")
    precision: Literal["float32", "tf32", "bf16"] = Field(
        "float32", description="of matrix products; positions, phases and energies stay float64, the heads float32"
    )
    compile: bool = Field(False, description="compile by torch.compile; minutes at the start, then faster steps")
    report_every: int = Field(1000, gt=0, description="steps between validations and saved states")
    patience: int | None = Field(None, gt=0, description="stop after so many validations without a better force error")
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(1, gt=0, description="processes on each node, one device each")
    nodes: int = Field(1, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.batch_size is None) == (self.batch_atoms is None):
            raise ValueError("give either batch_size or batch_atoms")
        if self.compile and self.precision == "bf16":
            raise ValueError("compile goes with precision float32 or tf32")
        if self.layer_decay != 1.0 and self.start_from is None:
            raise ValueError(
                "layer_decay goes with start_from: a network from random weights learns at one rate in all its layers"
            )
        if self.start_from is not None and (fixed := sorted(set(self.model) - set(WIDENED))):
            raise ValueError(
                f"start_from brings its own model: leave `model` out, or give {', '.join(WIDENED)} alone, which add to "
                f"what it knows; got {', '.join(fixed)}"
            )
        return self

    def model_species(self) -> tuple[int, ...] | None:
        """Atomic numbers that `model.species` allows; None if the data decide.

        Raises:
            UsageError: not a list of element symbols or atomic numbers.
        """
        species = self.model.get("species")
        return None if species is None else tuple(atomic_number(item) for item in species)

    def widened_shape(
        self, known: ModelConfig, species: tuple[int, ...], charge: tuple[int, int], multiplicity: tuple[int, int]
    ) -> ModelConfig:
        """Shape of the network that training starts from, with what the data hold and `model` adds.

        Args:
            known: shape of the network of `start_from`.
            species: atomic numbers in the data.
            charge: smallest and largest total charge in the data.
            multiplicity: the same of the spin multiplicity.

        Raises:
            UsageError: wrong values in `model`.
        """
        fields = {"charge": charge, "multiplicity": multiplicity, **self.model}
        try:
            return widened_shape(known, **{**fields, "species": (*species, *(self.model_species() or ()))})
        except pydantic.ValidationError as error:
            raise UsageError(f"model: {validation_message(error)}.") from error

    def model_shape(
        self, species: tuple[int, ...], charge: tuple[int, int] = (0, 0), multiplicity: tuple[int, int] = (1, 1)
    ) -> ModelConfig:
        """Shape of the network.

        Args:
            species: atomic numbers, unless `model.species` states otherwise.
            charge: smallest and largest total charge in the data, unless `model.charge` states otherwise.
            multiplicity: the same of the spin multiplicity.

        Raises:
            UsageError: unknown or wrong keys.
        """
        fields = dict(self.model)
        preset = fields.pop("preset", "nano")
        if preset not in PRESETS:
            raise UsageError(f"model.preset: no preset is called {preset!r}. Choose one of {', '.join(PRESETS)}.")
        if fields.get("short_range") is not None:
            fields.setdefault("short_range_end", DEFAULT_SHORT_RANGE_END)
        fields = {"charge": charge, "multiplicity": multiplicity, **PRESETS[preset], **fields}
        try:
            return ModelConfig.model_validate({**fields, "species": self.model_species() or species})
        except pydantic.ValidationError as error:
            raise UsageError(f"model: {validation_message(error)}.") from error


def recipe_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a recipe, as editors take it to check and complete YAML.

    `model` has the fields of the network and its preset; the network's species may be symbols of elements, too.
    """
    schema = TrainConfig.model_json_schema()
    network = ModelConfig.model_json_schema()
    fields = dict(network["properties"])
    fields["species"] = {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1}
    fields["preset"] = {"enum": sorted(PRESETS), "default": "nano", "description": "sizes by name"}
    schema["properties"]["model"] = {
        "type": "object",
        "properties": fields,
        "additionalProperties": False,
        "description": TrainConfig.model_fields["model"].description,
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "transip-md train"}


def atomic_number(element: str | int) -> int:
    """Atomic number of a symbol or a number. Raises UsageError for anything else."""
    from ase.data import atomic_numbers

    if isinstance(element, int) and not isinstance(element, bool):
        return element
    if element in atomic_numbers:
        return atomic_numbers[element]
    raise UsageError(f'{element!r} is no element. Give symbols such as H, C, O; quote "N" and "No" in YAML if need be.')


def read_config(path: Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a YAML file; data paths in it are relative to it, and patterns are expanded.

    Args:
        path: the file.
        overrides: ``key=value`` with dots between keys, each value YAML; they win over the file.

    Raises:
        UsageError: no such file, not YAML, unknown or wrong keys, a pattern that matches nothing.
        EnvironmentFaultError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise EnvironmentFaultError("Training needs PyYAML. Type `pip install 'transip-md[train]'`.") from error

    if not path.is_file():
        raise UsageError(f"No such training configuration: {path}.")
    try:
        values = yaml.safe_load(path.read_text())
        if not isinstance(values, dict):
            raise UsageError(f"{path} holds no keys and values; see recipes/ethanol/train.yaml.")
        for override in overrides or []:
            _override(values, override, yaml.safe_load)
        config = TrainConfig.model_validate(values)
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML: {error}") from error
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: {validation_message(error)}.") from error
    for files in (config.data.train, config.data.test):
        files[:] = [found for file in files for found in _expand(path.parent / file)]
    return config


def _override(values: dict[str, Any], override: str, parse: Any) -> None:
    """Set one ``a.b=value`` in nested mappings."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UsageError(f"--set takes key=value, such as --set objective.force_weight=5; got {override!r}.")
    *parents, last = key.split(".")
    section = values
    for parent in parents:
        if section.get(parent) is None:
            section[parent] = {}
        section = section[parent]
        if not isinstance(section, dict):
            raise UsageError(f"--set {override}: {parent} is not a section.")
    section[last] = parse(text)


def _expand(path: Path) -> list[Path]:
    """Files that a path with * and ? matches, sorted; the path itself if it has none."""
    if not any(letter in str(path) for letter in "*?["):
        return [path]
    anchor = Path(path.anchor) if path.is_absolute() else Path()
    found = sorted(anchor.glob(str(path.relative_to(path.anchor) if path.is_absolute() else path)))
    if not found:
        raise UsageError(f"No file matches {path}.")
    return found
