"""Configuration of a training run, read from YAML; unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from transip_md.errors import EnvironmentFaultError, UsageError, validation_message
from transip_md.model.config import ModelConfig


class DataConfig(BaseModel):
    """Which files to train and test on, and what is to be said of them in the model file."""

    model_config = ConfigDict(extra="forbid")

    train: list[Path] = Field(min_length=1, description="labelled files, relative to the configuration file")
    test: list[Path] = Field(min_length=1, description="held-out files, never seen in training")
    validation: int = Field(500, ge=1, description="last frames of the training data, kept to watch progress")
    description: str
    level_of_theory: str
    licence: str


class TrainConfig(BaseModel):
    """Everything that decides a training run."""

    model_config = ConfigDict(extra="forbid")

    data: DataConfig
    model: dict[str, Any] = Field(default_factory=dict, description="fields of ModelConfig; species from the data")
    seed: int = 0
    steps: int = Field(gt=0)
    batch_size: int = Field(16, gt=0)
    learning_rate: float = Field(2e-3, gt=0)
    warmup: int = Field(500, ge=0, description="steps of linear warm-up; a cosine to zero follows")
    weight_decay: float = Field(0.0, ge=0)
    clip_gradient: float = Field(10.0, gt=0, description="largest norm of the gradient")
    ema_decay: float = Field(0.999, ge=0, lt=1, description="exponential moving average of the weights")
    energy_weight: float = Field(1.0, ge=0, description="weight of |dE| / N, eV")
    force_weight: float = Field(10.0, ge=0, description="weight of the mean |dF| per atom, eV/Angstrom")
    report_every: int = Field(1000, gt=0, description="steps between validations and saved states")

    def model_shape(self, species: tuple[int, ...]) -> ModelConfig:
        """Shape of the network for the species that occur in the data.

        Raises:
            UsageError: unknown or wrong keys.
        """
        try:
            return ModelConfig.model_validate({"species": species, **self.model})
        except pydantic.ValidationError as error:
            raise UsageError(f"model: {validation_message(error)}.") from error


def read_config(path: Path) -> TrainConfig:
    """Read a YAML file; data paths in it are relative to it.

    Raises:
        UsageError: no such file, not YAML, unknown or wrong keys.
        EnvironmentFaultError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise EnvironmentFaultError("Training needs PyYAML. Type `pip install 'transip-md[train]'`.") from error

    if not path.is_file():
        raise UsageError(f"No such training configuration: {path}.")
    try:
        config = TrainConfig.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML: {error}") from error
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: {validation_message(error)}.") from error
    for files in (config.data.train, config.data.test):
        files[:] = [path.parent / file for file in files]
    return config
