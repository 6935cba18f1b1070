"""``transip-md train``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from transip_md.cli.console import console
from transip_md.cli.progress import LongTask
from transip_md.common.outputs import require_folder_of


def _print_schema(wanted: bool) -> None:
    if wanted:
        import json

        from transip_md.training.config import recipe_schema

        print(json.dumps(recipe_schema(), indent=1))
        raise typer.Exit


def train(
    config: Annotated[Path, typer.Argument(help="YAML file; see recipes/ethanol/train.yaml.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint to write.")],
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key, such as objective.force_weight=5; repeats."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each process.")] = 1,
    schema: Annotated[
        bool,
        typer.Option("--schema", callback=_print_schema, is_eager=True, help="Print the JSON schema of recipes."),
    ] = False,
) -> None:
    """Train a model on labelled structures. Resumes from OUTPUT.run when interrupted; logs are in that folder."""
    require_folder_of(output)
    from transip_md.training.config import read_config

    recipe = read_config(config, override)
    from transip_md.training import require_lightning

    require_lightning()
    import torch

    from transip_md.training.callbacks import Progress
    from transip_md.training.run import TrainingRun

    torch.set_num_threads(threads)
    run = TrainingRun(recipe, output)
    if int(os.environ.get("LOCAL_RANK", "0")) or int(os.environ.get("NODE_RANK", "0")):
        # One of several processes that Lightning started: the first one speaks for all.
        run.train()
        return
    console.print(
        f"{run.model.parameter_count():,} weights; {len(run.train_rows)} frames to train on, "
        f"{len(run.validation_rows)} to watch progress, {len(run.test_frames)} held out"
    )
    if run.added:
        console.print(f"added to {recipe.start_from}: {'; '.join(run.added)}")
    if run.step:
        console.print(f"resumes from step {run.step}")

    def loss() -> str:
        value = run.loss()
        return "" if value is None else f"loss {value:.4g}"

    with LongTask("training", recipe.steps, run.step, note=loss) as bar:

        def report(progress: Progress) -> None:
            errors = progress.validation
            rotation = "" if errors.rotation is None else f", rotation error {errors.rotation.force_mae:.2f} meV/A"
            bar.report(
                f"step {progress.step}: validation force MAE {errors.force_mae:.2f} meV/A, "
                f"energy MAE {errors.energy_mae:.3f} meV/atom{rotation}, {progress.seconds:.0f} s"
            )

        test = run.train(report, bar.update)
    console.print(
        f"{output}: held-out force MAE {test.force_mae:.2f} meV/A, RMSE {test.force_rmse:.2f} meV/A, "
        f"energy MAE {test.energy_mae:.3f} meV/atom"
    )


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(train)
