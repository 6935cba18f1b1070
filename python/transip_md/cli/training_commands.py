"""``transip-md sample`` and ``transip-md train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pydantic
import typer

from transip_md.cli.console import console, progress_bar
from transip_md.errors import UsageError, validation_message
from transip_md.outputs import require_folder_of


def sample(
    structure: Annotated[Path, typer.Argument(help="Starting structure: an isolated molecule.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Extended XYZ file to write, or to go on with.")],
    frames: Annotated[int, typer.Option("--frames", min=1, help="Number of frames in the end.")],
    teacher: Annotated[str, typer.Option(help="What labels the frames: gfn2-xtb or gfn1-xtb.")] = "gfn2-xtb",
    temperature: Annotated[float, typer.Option(help="K.")] = 300.0,
    seed: Annotated[int, typer.Option(help="Of velocities and noise.")] = 0,
    timestep: Annotated[float, typer.Option(help="fs.")] = 1.0,
    stride: Annotated[int, typer.Option(help="Steps between frames.")] = 20,
    charge: Annotated[int, typer.Option(help="Total charge, e.")] = 0,
    multiplicity: Annotated[int, typer.Option(help="Spin multiplicity.")] = 1,
) -> None:
    """Sample a molecule by Langevin dynamics, labelled with energies and forces. Resumes when interrupted."""
    require_folder_of(output)
    from transip_md.sampling import SamplingRecipe
    from transip_md.sampling import sample as run

    try:
        recipe = SamplingRecipe(
            teacher=teacher,
            temperature=temperature,
            seed=seed,
            timestep=timestep,
            stride=stride,
            charge=charge,
            multiplicity=multiplicity,
        )
    except pydantic.ValidationError as error:
        raise UsageError(f"The sampling cannot be done as asked: {validation_message(error)}.") from error
    with progress_bar() as bar:
        task = bar.add_task(f"sampling {structure.stem}", total=frames)
        for done in run(structure, output, frames, recipe):
            bar.update(task, completed=done)
    console.print(f"{output}: {frames} frames at {temperature:g} K, labelled with {teacher}")


def train(
    config: Annotated[Path, typer.Argument(help="YAML file; see recipes/ethanol/train.yaml.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint to write.")],
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Train a model on labelled structures. Resumes from OUTPUT.state when interrupted."""
    require_folder_of(output)
    import torch

    from transip_md.training.config import read_config
    from transip_md.training.loop import Progress, Trainer

    torch.set_num_threads(threads)
    trainer = Trainer(read_config(config), output)
    if trainer.step:
        console.print(f"going on from step {trainer.step}")
    with progress_bar() as bar:
        task = bar.add_task("training", total=trainer.config.steps, completed=trainer.step)

        def report(progress: Progress) -> None:
            bar.console.print(
                f"step {progress.step}: validation force MAE {progress.validation.force_mae:.2f} meV/A, "
                f"energy MAE {progress.validation.energy_mae:.3f} meV/atom, {progress.seconds:.0f} s"
            )

        test = trainer.run(report, lambda step: bar.update(task, completed=step))
    console.print(
        f"{output}: held-out force MAE {test.force_mae:.2f} meV/A, RMSE {test.force_rmse:.2f} meV/A, "
        f"energy MAE {test.energy_mae:.3f} meV/atom"
    )


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(sample)
    app.command()(train)
