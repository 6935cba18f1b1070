"""``transip-md sample``."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
import typer

from transip_md.cli.console import console
from transip_md.cli.progress import LongTask
from transip_md.cli.summary import add_command, record
from transip_md.common.errors import CheckFailedError, UsageError, validation_message
from transip_md.common.outputs import make_folder, require_folder_of
from transip_md.common.whole_files import write_whole

if TYPE_CHECKING:
    from transip_md.sampling import SamplingRecipe, SamplingTask

#: An output that ends so is one file; any other is a folder.
FILE_SUFFIXES = (".extxyz", ".xyz")
#: Files with fewer frames than asked for that are listed one by one.
MOST_TOLD = 5
#: Fields of a recipe that only dynamics has.
OF_DYNAMICS = ("timestep", "stride", "equilibration", "stop_at_dissociation")
#: Fields of a recipe that only pressed and stretched bonds have.
OF_BONDS = ("shortest", "longest")


class Scan(StrEnum):
    """Bonds that are scanned."""

    BONDS = "bonds"
    TORSIONS = "torsions"


class Dimers(StrEnum):
    """Pairs that are made."""

    ATOMS = "atoms"
    MOLECULES = "molecules"


def sample(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder to write into, or, for one structure in one mode, an .extxyz file."
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
    conformers: Annotated[
        int, typer.Option(min=1, help="Starting structures of each SMILES, at most, that differ by 0.3 A RMSD.")
    ] = 1,
    teacher: Annotated[str, typer.Option(help="What labels the frames: gfn2-xtb or gfn1-xtb.")] = "gfn2-xtb",
    temperature: Annotated[
        list[float] | None,
        typer.Option(
            help="Langevin dynamics, K; may be repeated.", show_default="300, unless another mode is asked for"
        ),
    ] = None,
    normal_modes: Annotated[
        list[float] | None, typer.Option(help="Displacements along normal modes, K; may be repeated.")
    ] = None,
    scan: Annotated[list[Scan] | None, typer.Option(help="Bonds stretched or rotated about; may be repeated.")] = None,
    shortest: Annotated[
        float, typer.Option(help="Covalent lengths; what a bond is pressed to where bonds are scanned.")
    ] = 0.6,
    longest: Annotated[
        float, typer.Option(help="Covalent lengths; what a bond is stretched to where bonds are scanned.")
    ] = 1.8,
    dimers: Annotated[
        list[Dimers] | None, typer.Option(help="Pairs of bare atoms, or of the molecules; may be repeated.")
    ] = None,
    compress: Annotated[bool, typer.Option("--compress", help="All lengths scaled by 0.85 to 1.1.")] = False,
    stop_at_dissociation: Annotated[
        bool, typer.Option("--stop-at-dissociation", help="Start dynamics anew when a bond of the structure breaks.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of everything that is random.")] = 0,
    timestep: Annotated[float, typer.Option(help="fs.")] = 1.0,
    stride: Annotated[int, typer.Option(help="Steps between frames.")] = 20,
    equilibration: Annotated[int, typer.Option(help="Steps before the first frame, and after each new start.")] = 1000,
    charge: Annotated[
        list[int] | None,
        typer.Option(help="Total charge, e; may be repeated.", show_default="what the structure gives, or 0"),
    ] = None,
    multiplicity: Annotated[
        int | None,
        typer.Option(help="Spin multiplicity; 0: the lowest.", show_default="what the structure gives, or 1"),
    ] = None,
    electronic_temperature: Annotated[
        float | None,
        typer.Option(help="K, of the teacher's electrons.", show_default="3000 where bonds are scanned, else 300"),
    ] = None,
    largest_force: Annotated[float, typer.Option(help="eV/A; a label with a larger force is dropped.")] = 100.0,
    jobs: Annotated[int, typer.Option(min=1, help="Files sampled at a time.")] = 1,
) -> None:
    """Sample structures, labelled with energies and forces, by one mode or several. Resumes when interrupted.

    Several structures or modes go into OUTPUT/NAME_MODE.extxyz each; those from SMILES are kept in OUTPUT/structures.
    Duplicates and unconverged or absurd labels are dropped, counted and listed in NAME_MODE.extxyz.dropped.
    """
    as_file = output.suffix in FILE_SUFFIXES
    if as_file:
        require_folder_of(output)
    from transip_md.sampling import find_structures, plan, teacher_calculator
    from transip_md.sampling.smiles import read_entries, write_structures

    modes = _modes(temperature, normal_modes, scan, dimers, compress)
    charges = charge or [None]
    same = {
        "teacher": teacher, "seed": seed, "timestep": timestep, "stride": stride, "equilibration": equilibration,
        "multiplicity": multiplicity, "stop_at_dissociation": stop_at_dissociation, "largest_force": largest_force,
        "shortest": shortest, "longest": longest,
    }  # fmt: skip
    recipes = [
        _recipe(mode, kelvin, electronic_temperature, charge=value, **same)
        for mode, kelvin in modes
        for value in charges
    ]
    pairs = Dimers.ATOMS in (dimers or [])
    if pairs:
        pair_recipe = _pair_recipe(electronic_temperature, **same)
    # Without it every structure would fail.
    teacher_calculator((recipes or [pair_recipe])[0])
    files, entries = find_structures(structures or []), read_entries(smiles or [])
    if not files and not entries:
        raise UsageError("There is nothing to sample. Give structure files, folders of them, or --smiles.")
    if as_file:
        if entries or pairs or len(files) * len(recipes) != 1:
            count = len(recipes) + pairs
            what = (
                "temperatures" if {mode for mode, _ in modes} == {"langevin"} and not pairs else "modes or temperatures"
            )
            raise UsageError(
                f"{output} is one file, for one structure file in one mode at one temperature. Expected a folder for "
                f"{len(files) + len(entries)} structures at {count} {what}: "
                f"type `-o {output.with_suffix('')}`."
            )
        _sample_one(files[0], output, frames, recipes[0])
        return
    if output.resolve() in [path.resolve() for path in structures or []]:
        raise UsageError(
            f"What is written into {output} would be taken for more structures next time. Choose another output folder."
        )
    kept = output / "structures"
    if conformers == 1:
        # Names are compared before anything is made.
        plan([*files, *(kept / f"{entry.name}.xyz" for entry in entries)], output, recipes)
    if entries:
        files += write_structures(entries, kept, seed, conformers)
    tasks = plan(files, output, recipes)
    make_folder(output)
    if pairs:
        tasks += plan(_write_pairs(files, kept, charge or [0]), output, [pair_recipe])
    held = _sample_several(tasks, frames, jobs)
    console.print(f"{output}: {len(tasks)} files of {held}, labelled with {teacher}{_dropped(tasks)}")


def _modes(
    temperature: list[float] | None,
    normal_modes: list[float] | None,
    scan: list[Scan] | None,
    dimers: list[Dimers] | None,
    compress: bool,
) -> list[tuple[str, float]]:
    """Modes that are asked for, each with its temperature in K; dynamics at 300 K if there is none."""
    others = [("normal-modes", kelvin) for kelvin in normal_modes or []]
    others += [(str(kind), 300.0) for kind in scan or []]
    others += [("dimers", 300.0)] if Dimers.MOLECULES in (dimers or []) else []
    others += [("compress", 300.0)] if compress else []
    fallback = [] if others or dimers else [300.0]
    return [("langevin", kelvin) for kelvin in temperature or fallback] + others


def _recipe(mode: str, temperature: float, electronic_temperature: float | None, **same: Any) -> SamplingRecipe:
    """The recipe of a mode. Raises UsageError."""
    from transip_md.sampling.recipe import COLD_ELECTRONS, WARM_ELECTRONS, SamplingRecipe

    electrons = electronic_temperature or (WARM_ELECTRONS if mode in ("bonds", "pair") else COLD_ELECTRONS)
    # What only dynamics or bonds ask for does not concern the others.
    foreign = (*(OF_DYNAMICS if mode != "langevin" else ()), *(OF_BONDS if mode not in ("bonds", "pair") else ()))
    same = {name: value for name, value in same.items() if name not in foreign}
    try:
        return SamplingRecipe(mode=mode, temperature=temperature, electronic_temperature=electrons, **same)
    except pydantic.ValidationError as error:
        raise UsageError(f"The sampling cannot be done as asked: {validation_message(error)}.") from error


def _pair_recipe(electronic_temperature: float | None, **same: Any) -> SamplingRecipe:
    """The recipe of pairs of atoms, whose files state their charge and multiplicity."""
    same |= {"multiplicity": None, "shortest": 0.4, "longest": 3.0}
    return _recipe("pair", 300.0, electronic_temperature, **same)


def _write_pairs(files: list[Path], folder: Path, charges: list[int]) -> list[Path]:
    """Structure files of all pairs of elements that the structures hold."""
    from transip_md.data.structures import read_structure
    from transip_md.sampling import atom_pairs
    from transip_md.sampling.smiles import as_extended_xyz

    make_folder(folder)
    paths = []
    for name, atoms in atom_pairs((read_structure(path) for path in files), charges).items():
        paths.append(folder / f"{name}.xyz")
        write_whole(paths[-1], as_extended_xyz(atoms))
    return paths


def _dropped(tasks: list[SamplingTask]) -> str:
    """What was dropped from files, in words; the summary has it in numbers."""
    from transip_md.sampling import dropped

    counts = sum((dropped(task.output) for task in tasks), Counter())
    record().numbers |= {f"dropped, {reason}": count for reason, count in counts.items()}
    return f"; dropped: {', '.join(f'{counts[reason]} {reason}' for reason in sorted(counts))}" if counts else ""


def _sample_one(structure: Path, output: Path, frames: int, recipe: SamplingRecipe) -> None:
    from transip_md.sampling import SamplingTask
    from transip_md.sampling import sample as run

    # Alone, it makes dimers with itself.
    task = SamplingTask(structure, output, recipe, (structure,) if recipe.mode == "dimers" else ())
    noted = record()
    noted.files.append(output)
    with LongTask(f"sampling {structure.stem}", frames, unit="frames") as progress:
        for done in run(structure, output, frames, recipe, task.partners):
            progress.update(done)
            noted.numbers["frames"] = done
    how = f"at {recipe.temperature:g} K" if recipe.mode in ("langevin", "normal-modes") else f"({recipe.mode})"
    console.print(f"{output}: {frames} frames {how}, labelled with {recipe.teacher}{_dropped([task])}")


def _sample_several(tasks: list[SamplingTask], frames: int, jobs: int) -> str:
    """Sample every file and report how many frames they hold; CheckFailedError names those that failed."""
    from transip_md.sampling import sample_all

    done: dict[Path, int] = {task.output: 0 for task in tasks}
    failures: dict[Path, str] = {}
    shortfalls: dict[Path, str] = {}
    shown = LongTask(f"sampling {len(tasks)} files", frames * len(tasks), unit="frames")
    with shown, closing(sample_all(tasks, frames, jobs)) as progress:
        for step in progress:
            output = step.task.output
            if step.failure:
                failures[output] = step.failure
            else:
                done[output] = step.frames
            if step.shortfall:
                shortfalls[output] = step.shortfall
            expected = sum(done[path] if path in failures or path in shortfalls else frames for path in done)
            shown.update(sum(done.values()), total=expected)
    noted = record()
    noted.numbers |= {"frames": sum(done.values()), "files": len(tasks), "files_failed": len(failures)}
    noted.files += [path for path in done if path not in failures]
    for shortfall in list(shortfalls.values())[:MOST_TOLD]:
        console.print(shortfall)
    if len(shortfalls) > MOST_TOLD:
        console.print(f"and so do {len(shortfalls) - MOST_TOLD} more.")
    if failures:
        report = "".join(f"\n{output}: {failure}" for output, failure in failures.items())
        raise CheckFailedError(f"{len(failures)} of {len(tasks)} files could not be sampled:{report}")
    if not any(done.values()):
        raise CheckFailedError("No file has a frame: none of the structures has what the modes change.")
    return f"{frames} frames, {len(shortfalls)} of them with fewer" if shortfalls else f"{frames} frames"


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(app, sample)
