"""``transip-md sample``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
import typer

from transip_md.cli.console import console
from transip_md.cli.progress import LongTask
from transip_md.errors import CheckFailedError, UsageError, validation_message
from transip_md.outputs import make_folder, require_folder_of

if TYPE_CHECKING:
    from transip_md.sampling import SamplingRecipe, SamplingTask

#: An output that ends so is one file; any other is a folder.
FILE_SUFFIXES = (".extxyz", ".xyz")


def sample(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder to write into, or, for one structure and temperature, an .extxyz file."
        ),
    ],
    frames: Annotated[int, typer.Option("--frames", min=1, help="Number of frames in the end, in each file.")],
    structures: Annotated[
        list[Path] | None,
        typer.Argument(help="Starting structures, molecules or 3D-periodic crystals: files, or folders of them."),
    ] = None,
    smiles: Annotated[
        list[str] | None, typer.Option(help="A SMILES, or an .smi file of `SMILES name` lines; may be repeated.")
    ] = None,
    teacher: Annotated[str, typer.Option(help="What labels the frames: gfn2-xtb or gfn1-xtb.")] = "gfn2-xtb",
    temperature: Annotated[list[float] | None, typer.Option(help="K; may be repeated.", show_default="300")] = None,
    seed: Annotated[int, typer.Option(help="Of velocities, noise and embedding.")] = 0,
    timestep: Annotated[float, typer.Option(help="fs.")] = 1.0,
    stride: Annotated[int, typer.Option(help="Steps between frames.")] = 20,
    charge: Annotated[
        int | None, typer.Option(help="Total charge, e.", show_default="what the structure says, or 0")
    ] = None,
    multiplicity: Annotated[
        int | None, typer.Option(help="Spin multiplicity.", show_default="what the structure says, or 1")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Files sampled at a time.")] = 1,
) -> None:
    """Sample structures by Langevin dynamics, labelled with energies and forces. Resumes when interrupted.

    Several structures or temperatures go into OUTPUT/NAME_TEMPERATUREK.extxyz each; those from SMILES are kept in
    OUTPUT/structures.
    """
    as_file = output.suffix in FILE_SUFFIXES
    if as_file:
        require_folder_of(output)
    from transip_md.sampling import find_structures, plan, teacher_calculator
    from transip_md.smiles import read_entries, write_structures

    recipes = _recipes(
        temperature or [300.0],
        teacher=teacher, seed=seed, timestep=timestep, stride=stride, charge=charge, multiplicity=multiplicity,
    )  # fmt: skip
    # Without it every structure would fail.
    teacher_calculator(recipes[0])
    files, entries = find_structures(structures or []), read_entries(smiles or [])
    if not files and not entries:
        raise UsageError("There is nothing to sample. Give structure files, folders of them, or --smiles.")
    if as_file:
        if entries or len(files) * len(recipes) != 1:
            raise UsageError(
                f"{output} is one file, for one structure file at one temperature. Expected a folder for "
                f"{len(files) + len(entries)} structures at {len(recipes)} temperatures: "
                f"type `-o {output.with_suffix('')}`."
            )
        _sample_one(files[0], output, frames, recipes[0])
        return
    if output.resolve() in [path.resolve() for path in structures or []]:
        raise UsageError(
            f"What is written into {output} would be taken for more structures next time. Choose another output folder."
        )
    files += [output / "structures" / f"{entry.name}.xyz" for entry in entries]
    tasks = plan(files, output, recipes)
    if entries:
        write_structures(entries, output / "structures", seed)
    make_folder(output)
    _sample_several(tasks, frames, jobs)
    console.print(f"{output}: {len(tasks)} files of {frames} frames, labelled with {teacher}")


def _recipes(temperatures: list[float], **same: Any) -> list[SamplingRecipe]:
    """One recipe for each temperature."""
    from transip_md.sampling import SamplingRecipe

    try:
        return [SamplingRecipe(temperature=temperature, **same) for temperature in temperatures]
    except pydantic.ValidationError as error:
        raise UsageError(f"The sampling cannot be done as asked: {validation_message(error)}.") from error


def _sample_one(structure: Path, output: Path, frames: int, recipe: SamplingRecipe) -> None:
    from transip_md.sampling import sample as run

    with LongTask(f"sampling {structure.stem}", frames, unit="frames") as progress:
        for done in run(structure, output, frames, recipe):
            progress.update(done)
    console.print(f"{output}: {frames} frames at {recipe.temperature:g} K, labelled with {recipe.teacher}")


def _sample_several(tasks: list[SamplingTask], frames: int, jobs: int) -> None:
    """Sample every file; CheckFailedError names those that failed."""
    from transip_md.sampling import sample_all

    done: dict[Path, int] = {task.output: 0 for task in tasks}
    failures: dict[Path, str] = {}
    shown = LongTask(f"sampling {len(tasks)} files", frames * len(tasks), unit="frames")
    with shown, closing(sample_all(tasks, frames, jobs)) as progress:
        for step in progress:
            output = step.task.output
            if step.failure:
                failures[output] = step.failure
            else:
                done[output] = step.frames
            expected = sum(done[path] if path in failures else frames for path in done)
            shown.update(sum(done.values()), total=expected)
    if failures:
        report = "".join(f"\n{output}: {failure}" for output, failure in failures.items())
        raise CheckFailedError(f"{len(failures)} of {len(tasks)} files could not be sampled:{report}")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(sample)
