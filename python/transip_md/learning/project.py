"""The file that describes a project of active learning; unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import pydantic
from pydantic import Field, model_validator

from transip_md.common.errors import UsageError, validation_message
from transip_md.training.config import Strict, TrainConfig

#: A teacher that is no program: structures are written, and labelled files are waited for.
WAIT = "wait"


class Exploration(Strict):
    """Molecular dynamics at constant temperature, in which structures are met."""

    temperatures: list[float] = Field([300.0], min_length=1, description="K; a run of each structure at each")
    time: float = Field(5.0, gt=0, description="ps of each run")
    timestep: float = Field(0.5, gt=0, le=2.0, description="fs")
    damping: float = Field(100.0, gt=0, description="relaxation time of the Langevin thermostat, fs")
    every: int = Field(20, ge=1, description="steps between structures that are judged")


class Trust(Strict):
    """Levels of an atom's force deviation, eV/Angstrom; the highest of a structure counts."""

    lower: float = Field(gt=0, description="up to it the committee is trusted")
    upper: float = Field(gt=0, description="above it a structure is no longer physical, and the run ends")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.lower >= self.upper:
            raise ValueError(f"lower must be below upper; got {self.lower} and {self.upper}")
        return self


class Project(Strict):
    """Everything that decides what is learned."""

    structures: list[Path] = Field(min_length=1, description="where dynamics starts; relative to the project's file")
    start_from: str = Field(description="checkpoint file or shipped model")
    teacher: str = Field(
        "gfn2-xtb",
        description="gfn2-xtb, gfn1-xtb, module:function that makes an ase calculator for a structure, or wait",
    )
    members: int = Field(4, ge=2, description="models of the committee")
    seed: int = Field(0, ge=0)
    exploration: Exploration = Exploration()
    trust: Trust
    first: int = Field(50, ge=10, description="structures labelled before there is a committee")
    each: int = Field(30, ge=1, description="structures labelled in each iteration, at most")
    selection: Literal["random", "diverse"] = Field(
        "random", description="which candidates are labelled: any, or those farthest apart"
    )
    converged: float = Field(0.05, ge=0, lt=1, description="share of judged structures above trust.lower that ends it")
    iterations: int = Field(8, ge=1, description="at most, the first without a committee not counted")
    test: list[Path] = Field([], description="labelled files, never learned from, on which errors are reported")
    training: dict[str, Any] = Field(
        default_factory=dict, description="keys of a training recipe: steps, batch_size, learning_rate, objective, ..."
    )
    level_of_theory: str = Field(description="of the labels, for the model file")
    licence: str = "not given"

    def recipe(self, labelled: Path, frames: int, start_from: str, seed: int, *, drawn: bool) -> TrainConfig:
        """The training recipe of one model.

        Args:
            labelled: file of all labelled frames.
            frames: their number.
            start_from: checkpoint file or shipped model.
            seed: of the model.
            drawn: the model learns from a draw of the frames with replacement, and a tenth of them watches progress;
                otherwise it learns from all but one, which does.

        Raises:
            UsageError: `training` has keys that a recipe has not, or keys that the project decides.
        """
        decided = {
            "data": {
                "train": [labelled],
                "test": self.test or [labelled],
                "validation": max(1, frames // 10) if drawn else 1,
                "bootstrap": drawn,
                "description": "active learning from " + ", ".join(path.stem for path in self.structures),
                "level_of_theory": self.level_of_theory,
                "licence": self.licence,
            },
            "start_from": start_from,
            "seed": seed,
        }
        if both := sorted(set(decided) & set(self.training)):
            raise UsageError(f"The project itself decides {', '.join(both)}: take that out of `training`.")
        defaults = {"steps": 1500, "batch_size": 8, "optimizer": "muon", "learning_rate": 1e-3, "warmup": 100}
        if "batch_atoms" in self.training:
            del defaults["batch_size"]
        values = {**defaults, **self.training, **decided}
        values.setdefault("report_every", values["steps"])
        try:
            return TrainConfig.model_validate(values)
        except pydantic.ValidationError as error:
            raise UsageError(f"training: {validation_message(error)}.") from error


def read_project(path: Path) -> Project:
    """Read a YAML file; paths in it are relative to it.

    Raises:
        UsageError: no such file, not YAML, unknown or wrong keys, structures that are not there.
    """
    import yaml

    if not path.is_file():
        raise UsageError(f"No such project: {path}. docs/uncertainty.md has an example.")
    try:
        values = yaml.safe_load(path.read_text())
        if not isinstance(values, dict):
            raise UsageError(f"{path} holds no keys and values; docs/uncertainty.md has an example.")
        project = Project.model_validate(values)
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML: {error}") from error
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: {validation_message(error)}.") from error
    for files in (project.structures, project.test):
        files[:] = [(path.parent / file).resolve() for file in files]
        for file in files:
            if not file.is_file():
                raise UsageError(f"{path}: there is no file {file}.")
    beside = path.parent / project.start_from
    if beside.is_file():
        project.start_from = str(beside.resolve())
    # Wrong keys of the training are found now and not after the first labels.
    project.recipe(path, project.first, project.start_from, project.seed, drawn=False)
    return project
