"""Training data of one's own making: Langevin sampling of structures, labelled by a semi-empirical teacher.

Isolated molecules and crystals that are periodic in all three directions. The teacher samples a crystal at the Gamma
point alone, so labels come close to those of the infinite crystal only in a cell of some 10 Angstrom or more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase import units as ase_units
from ase.calculators.calculator import CalculatorError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import BFGS
from pydantic import BaseModel, ConfigDict, Field

from transip_md.electronic_state import state_of
from transip_md.errors import EnvironmentFaultError, TransIPError, UsageError
from transip_md.locks import exclusive
from transip_md.structures import read_structure
from transip_md.whole_files import naming, write_whole

#: Teachers by the name that the command line takes, and what tblite calls them.
TEACHERS = {"gfn2-xtb": "GFN2-xTB", "gfn1-xtb": "GFN1-xTB"}
#: Decimals of positions and momenta in an extended XYZ file that ase writes.
WRITTEN_DECIMALS = 8
#: Endings of the files that are taken from a folder of structures.
STRUCTURE_SUFFIXES = (
    ".xyz", ".extxyz", ".pdb", ".cif", ".vasp", ".poscar", ".sdf", ".mol", ".gro", ".gen", ".xsf", ".traj",
)  # fmt: skip


class SamplingError(TransIPError):
    """The teacher could not label a structure."""


class SamplingRecipe(BaseModel):
    """Everything that decides which frames come out; stored beside the data as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: str
    temperature: float = Field(gt=0, description="K")
    seed: int = Field(ge=0)
    timestep: float = Field(1.0, gt=0, le=2.0, description="fs")
    stride: int = Field(20, gt=0, description="steps between frames")
    friction: float = Field(0.01, gt=0, description="1/fs")
    equilibration: int = Field(1000, ge=0, description="steps before the first frame")
    charge: int | None = Field(None, description="e; None: what the structure file says, or 0")
    multiplicity: int | None = Field(None, ge=1, description="None: what the structure file says, or 1")
    structure_sha256: str = ""

    def key(self) -> dict[str, Any]:
        """The recipe as plain JSON."""
        return self.model_dump(mode="json")


def teacher_calculator(recipe: SamplingRecipe) -> Any:
    """Make the ase calculator that labels frames.

    Raises:
        UsageError: no such teacher.
        EnvironmentFaultError: tblite is not installed.
    """
    if recipe.teacher not in TEACHERS:
        raise UsageError(f"No teacher is called {recipe.teacher!r}. Choose one of {', '.join(TEACHERS)}.")
    try:
        from tblite.ase import TBLite
    except ImportError as error:
        raise EnvironmentFaultError(
            f"The teacher {recipe.teacher} needs tblite. Type `pip install 'transip-md[train]'`."
        ) from error
    # Every frame starts from a fresh density (cache_api=False on reset), so that a resumed run repeats the
    # uninterrupted one.
    return TBLite(
        method=TEACHERS[recipe.teacher],
        charge=recipe.charge,
        multiplicity=recipe.multiplicity,
        cache_api=False,
        verbosity=0,
    )


def _whole_frames(path: Path, atoms_per_frame: int) -> int:
    """Count the whole frames of an extended XYZ file and cut off a last one that was broken off."""
    lines_per_frame = atoms_per_frame + 2
    lines, end_of_frames, position = 0, 0, 0
    with path.open("rb") as file:
        for line in file:
            position += len(line)
            if line.endswith(b"\n"):
                lines += 1
                if lines % lines_per_frame == 0:
                    end_of_frames = position
    with path.open("rb+") as file:
        file.truncate(end_of_frames)
    return lines // lines_per_frame


def _require_boundaries(atoms: ase.Atoms, structure: Path) -> None:
    """Raise UsageError for what is neither isolated nor periodic in all directions."""
    if not atoms.pbc.any() or (atoms.pbc.all() and atoms.cell.rank == 3):
        return
    # tblite takes a cell that is periodic along some of its vectors for one that is periodic along all three.
    raise UsageError(
        f"{structure} has {atoms.cell.rank} cell vectors and is periodic in {atoms.pbc.sum()} directions. Expected an "
        'isolated molecule or a cell that is periodic in all three: set pbc="F F F", or pbc="T T T" with three vectors '
        "(and vacuum on the open sides)."
    )


def _require_electrons(atoms: ase.Atoms, charge: int, multiplicity: int, structure: Path) -> None:
    """Raise UsageError unless this many electrons can have this multiplicity."""
    electrons = int(atoms.numbers.sum()) - charge
    if multiplicity < 1 or (electrons - multiplicity + 1) % 2:
        # tblite quietly computes multiplicity 2 where 1 is asked for, so that the label would be another state's.
        raise UsageError(
            f"{structure} has {electrons} electrons at charge {charge}, which cannot have multiplicity {multiplicity}. "
            f"Expected an {'even' if electrons % 2 else 'odd'} number: give --charge or --multiplicity, or write "
            "charge= and multiplicity= into the file."
        )


def _recipe_of(atoms: ase.Atoms, structure: Path, recipe: SamplingRecipe) -> SamplingRecipe:
    """The recipe with everything in it that the structure decides."""
    stated = state_of(atoms, str(structure))
    charge = stated.charge if recipe.charge is None else recipe.charge
    multiplicity = stated.multiplicity if recipe.multiplicity is None else recipe.multiplicity
    _require_boundaries(atoms, structure)
    _require_electrons(atoms, charge, multiplicity, structure)
    digest = hashlib.sha256(structure.read_bytes()).hexdigest()
    return recipe.model_copy(update={"charge": charge, "multiplicity": multiplicity, "structure_sha256": digest})


def _bare(atoms: ase.Atoms) -> ase.Atoms:
    """The structure without what else its file holds: constraints would zero labels, columns end up in every frame."""
    masses = np.round(atoms.get_masses(), WRITTEN_DECIMALS) if atoms.has("masses") else None
    return ase.Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc, masses=masses)


def _start(structure: ase.Atoms, recipe: SamplingRecipe) -> ase.Atoms:
    """Relax the structure in its cell and give it velocities."""
    atoms = _bare(structure)
    atoms.calc = teacher_calculator(recipe)
    BFGS(atoms, logfile=None).run(fmax=0.05, steps=500)
    rng = np.random.default_rng([recipe.seed, 0])
    MaxwellBoltzmannDistribution(atoms, temperature_K=recipe.temperature, rng=rng)
    return atoms


def _labelled(atoms: ase.Atoms, recipe: SamplingRecipe) -> ase.Atoms:
    """A frame as it is written."""
    frame = atoms.copy()
    frame.info = {"teacher": recipe.teacher, "temperature_K": recipe.temperature}
    if recipe.charge:
        frame.info["charge"] = recipe.charge
    if recipe.multiplicity != 1:
        frame.info["multiplicity"] = recipe.multiplicity
    frame.calc = SinglePointCalculator(frame, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
    return frame


def _new_frames(first: ase.Atoms, output: Path, done: int, frames: int, recipe: SamplingRecipe) -> Iterator[int]:
    """Append frames to a file that holds `done` of them; see `sample`."""
    if done:
        atoms = ase.io.read(output, index=-1)
        atoms.calc = teacher_calculator(recipe)
    else:
        atoms = _start(first, recipe)
    dynamics = Langevin(
        atoms,
        timestep=recipe.timestep * ase_units.fs,
        temperature_K=recipe.temperature,
        friction=recipe.friction / ase_units.fs,
        fixcm=False,
    )
    for index in range(done, frames):
        dynamics.rng = np.random.default_rng([recipe.seed, index + 1])
        dynamics.run(recipe.stride if index else recipe.equilibration + recipe.stride)
        if not atoms.pbc.any():
            atoms.positions -= atoms.get_center_of_mass()
        # The state goes on from what the file holds, digit for digit: a resumed run has nothing else.
        atoms.positions = np.round(atoms.positions, WRITTEN_DECIMALS)
        atoms.set_momenta(np.round(atoms.get_momenta(), WRITTEN_DECIMALS))
        atoms.calc.reset()
        ase.io.write(output, _labelled(atoms, recipe), append=True, format="extxyz")
        yield index + 1


def sample(structure: Path | str, output: Path | str, frames: int, recipe: SamplingRecipe) -> Iterator[int]:
    """Sample frames by Langevin dynamics and append them to an extended XYZ file.

    The file holds positions (Angstrom), momenta (amu^(1/2) eV^(1/2), ase's), energy (eV) and forces (eV/Angstrom), the
    cell (Angstrom) of a crystal, and charge (e) and multiplicity where they are not 0 and 1. A molecule's centre of
    mass stays at the origin; a crystal keeps its cell, and its atoms are not wrapped into it. Of the structure's own
    columns only masses (amu) count; constraints are dropped.
    A recipe is written beside it first; called again with the same recipe, sampling resumes behind the last whole
    frame and gives the frames that an uninterrupted run would have given.

    Args:
        structure: starting structure, an isolated molecule or a crystal that is periodic in all three directions.
        output: extended XYZ file to write.
        frames: number of frames that the file shall hold in the end.
        recipe: teacher, temperature, seed and the rest.

    Yields:
        The number of frames in the file, after each one.

    Raises:
        UsageError: bad structure, or the file was sampled with another recipe.
        EnvironmentFaultError: the teacher is not installed, or another process samples into the file.
        SamplingError: the teacher fails on the structure, as when its self-consistent field does not converge.
    """
    structure, output = Path(structure), Path(output)
    first = read_structure(structure)
    recipe = _recipe_of(first, structure, recipe)
    recipe_file = output.with_name(output.name + ".recipe.json")
    with naming(output), exclusive(output):
        yield from _sample(structure, output, first, frames, recipe, recipe_file)


def _sample(
    structure: Path, output: Path, first: ase.Atoms, frames: int, recipe: SamplingRecipe, recipe_file: Path
) -> Iterator[int]:
    """The frames that are missing in a file that this process holds; see `sample`."""
    done = 0
    if output.exists():
        if not recipe_file.exists() or json.loads(recipe_file.read_text()) != recipe.key():
            raise UsageError(
                f"{output} exists and was not sampled with this recipe (see {recipe_file.name}). "
                "Remove it or choose another output file."
            )
        done = _whole_frames(output, len(first))
    write_whole(recipe_file, json.dumps(recipe.key(), indent=1) + "\n")
    if done >= frames:
        return
    try:
        for frame in _new_frames(first, output, done, frames, recipe):
            done = frame
            yield done
    except CalculatorError as error:
        raise SamplingError(
            f"{recipe.teacher} fails on {structure} after frame {done}: {str(error).rstrip('.')}. Check the "
            "geometry, charge and multiplicity, or sample it at a lower temperature or with the other teacher."
        ) from error


@dataclass(frozen=True)
class SamplingTask:
    """One file to sample."""

    structure: Path
    output: Path
    recipe: SamplingRecipe


@dataclass(frozen=True)
class SamplingProgress:
    """How far a task has come."""

    task: SamplingTask
    #: Frames in its file.
    frames: int
    #: Why it has come to an end before its last frame; empty while it goes on and when it is done.
    failure: str = ""


def find_structures(paths: Iterable[Path]) -> list[Path]:
    """List the structure files among files and folders.

    Args:
        paths: structure files, and folders of which every file with a known ending is taken, in the order of the names.

    Returns:
        The files.

    Raises:
        UsageError: nothing is there, or a folder holds no structure.
    """
    files = []
    for path in paths:
        if not path.is_dir():
            if not path.is_file():
                raise UsageError(f"No such structure file or folder: {path}. Give a file that ase reads, or a folder.")
            files.append(path)
            continue
        inside = sorted(file for file in path.iterdir() if file.is_file() and file.suffix.lower() in STRUCTURE_SUFFIXES)
        if not inside:
            raise UsageError(
                f"{path} holds no structure file. Expected files that end in {', '.join(STRUCTURE_SUFFIXES)}."
            )
        files += inside
    return files


def plan(structures: Iterable[Path], folder: Path, recipes: Iterable[SamplingRecipe]) -> list[SamplingTask]:
    """Name the files of several structures at several temperatures: ``<stem>_<temperature>K.extxyz``.

    Args:
        structures: structure files.
        folder: where the files shall be.
        recipes: one for each temperature.

    Returns:
        One task for each structure and recipe, structure by structure.

    Raises:
        UsageError: two of them would have the same file.
    """
    recipes = list(recipes)
    tasks: dict[Path, SamplingTask] = {}
    for structure in structures:
        for recipe in recipes:
            output = folder / f"{structure.stem}_{recipe.temperature:g}K.extxyz"
            if output in tasks:
                other = tasks[output]
                raise UsageError(
                    f"{other.structure} at {other.recipe.temperature} K and {structure} at {recipe.temperature} K "
                    f"would both be sampled into {output}. Expected names and temperatures that differ: "
                    "rename a file, or leave one out."
                )
            tasks[output] = SamplingTask(structure, output, recipe)
    return list(tasks.values())


def _run_task(task: SamplingTask, frames: int) -> Iterator[SamplingProgress]:
    """Carry out one task; whatever it ends in, the others are not lost."""
    done = 0
    try:
        for done in sample(task.structure, task.output, frames, task.recipe):
            yield SamplingProgress(task, done)
    except Exception as error:
        yield SamplingProgress(task, done, str(error) or type(error).__name__)
    else:
        yield SamplingProgress(task, frames)


def _work(task: SamplingTask, frames: int, reports: Connection) -> None:
    """Carry out one task in a process of its own."""
    # Read when the teacher is loaded; the processes themselves use the cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    # Without a caller there is nobody to wait for the rest.
    with contextlib.suppress(BrokenPipeError):
        for progress in _run_task(task, frames):
            reports.send(progress)


def _start_worker(task: SamplingTask, frames: int) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, frames, writer), daemon=True)
    # Ctrl-C reaches every process of a terminal, but is for the caller alone, who then ends the workers. They inherit a
    # signal that is blocked when they start; multiprocessing's own helper would unblock it if it were started later.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    # The worker's end is its own now: when it ends, so does the pipe.
    writer.close()
    return reader, process


def _run_parallel(tasks: list[SamplingTask], frames: int, jobs: int) -> Iterator[SamplingProgress]:
    """Carry out tasks in processes, `jobs` at a time."""
    waiting = list(reversed(tasks))
    running: dict[Connection, tuple[SamplingTask, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop()
                reader, process = _start_worker(task, frames)
                running[reader] = task, process
            for reader in wait(list(running)):
                try:
                    yield reader.recv()
                except EOFError:
                    task, process = running.pop(reader)
                    reader.close()
                    process.join()
                    if process.exitcode:
                        yield SamplingProgress(task, 0, f"its process ended with exit code {process.exitcode}")
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def sample_all(tasks: Iterable[SamplingTask], frames: int, jobs: int = 1) -> Iterator[SamplingProgress]:
    """Carry out several tasks; one that fails does not keep the others from being done.

    Each file is what `sample` alone writes, whatever the number of jobs, and resumes as it does.

    Args:
        tasks: from `plan`.
        frames: number of frames that each file shall hold in the end.
        jobs: tasks carried out at a time; each in a process of its own if more than one.

    Yields:
        Progress after each frame, and once at the end of each task.
    """
    tasks = list(tasks)
    if jobs > 1:
        yield from _run_parallel(tasks, frames, jobs)
    else:
        for task in tasks:
            yield from _run_task(task, frames)
