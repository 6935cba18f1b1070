"""Time steps of one engine, each in a process of its own, so that its memory is its own too."""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import ase
import numpy as np
from ase.calculators.calculator import Calculator

from transip_md.bench.baselines import GFN2_XTB, registered
from transip_md.common.errors import EnvironmentFaultError, TransIPError
from transip_md.common.variables import environment_variables
from transip_md.engines.base import Job
from transip_md.evaluators.library_model import LibraryModel
from transip_md.modelfile.certificate import QUIET

#: Time step of all runs, fs, and temperature that they start at, K.
TIMESTEP = 0.5
TEMPERATURE = 300.0
#: For glibc: large blocks that are freed at the end of a step are not given back to the system, to be fetched again
#: page by page in the next. It halves the time of some baselines, so a comparison sets it on all sides.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(16 * 1024**3)}
LAMMPS_DECK = """units metal
boundary {boundary}
neighbor {skin} bin
timestep {timestep}
read_data start.data
pair_style transip {model} device {device} kernels {kernels} check no{state}
pair_coeff * * {symbols}
fix 1 all nve
run {warmup}
run {steps}
"""


@dataclass(frozen=True)
class Task:
    """What is to be timed.

    Attributes:
        target: "model" (the call alone, on prepared tensors), "ase", "lammps", "openmm", or a baseline, see
            `transip_md.bench.baselines`.
        model: an exported model file.
        atoms: the structure that the run starts from.
        steps: that count; registered baselines do fewer, as many as `seconds` hold, but five.
        warmup: steps before those; registered baselines likewise do fewer, but three.
        threads: of torch, and of OpenMP on each rank.
        ranks: of MPI; LAMMPS only.
        seconds: for which a registered baseline runs.
        keep_memory: whether glibc keeps freed memory for the next step; see `KEEP_MEMORY`.
        device: "cpu" or "cuda".
        kernels: what evaluates a TorchScript file in LAMMPS and OpenMM on the CPU: "auto", "native" or "torch".
    """

    target: str
    model: Path
    atoms: ase.Atoms
    steps: int
    warmup: int
    threads: int = 1
    ranks: int = 1
    seconds: float = 3.0
    keep_memory: bool = False
    device: str = "cpu"
    kernels: str = "auto"


@dataclass(frozen=True)
class Timing:
    """What a run took.

    Attributes:
        step: of a step, s.
        memory: largest resident memory of the process (of one rank), MB.
        in_model: of a step, s, in the call to libtransip; LAMMPS's pair style prints it, None elsewhere.
        around_model: of a step, s, in the rest of the pair style.
        steps: that were timed, where that is not the task's number.
        device_memory: largest memory taken of the CUDA device, MB; None on the CPU.
    """

    step: float
    memory: float
    in_model: float | None = None
    around_model: float | None = None
    steps: int | None = None
    device_memory: float | None = None


def time_task(task: Task) -> Timing:
    """Run a task in a process of its own.

    Raises:
        TransIPError: the engine failed.
        EnvironmentFaultError: the engine is not installed, or its plugin is not built.
    """
    settings = {"OMP_NUM_THREADS": str(task.threads), "TRANSIP_KERNELS": task.kernels, QUIET: "1"}
    settings |= KEEP_MEMORY if task.keep_memory else {}
    with environment_variables(settings):
        if task.target in registered:
            return _baseline(task)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(_run, task).result()


def _baseline(task: Task) -> Timing:
    spec = {
        "steps": task.steps,
        "warmup": task.warmup,
        "seconds": task.seconds,
        "timestep": TIMESTEP,
        "threads": task.threads,
    }
    answer = registered[task.target].time(task.atoms, _velocities(task.atoms), spec)
    return Timing(answer["step"], answer["memory"], steps=answer["steps"])


def _run(task: Task) -> Timing:
    if task.target == "lammps":
        return _lammps(task)
    if task.device == "cuda":
        import torch

        # Before libtransip does, so that Python's torch knows of the memory that it takes.
        torch.cuda.init()
    advance = advance_of(task)
    # What libtransip's kernels evaluate needs no torch, neither its memory nor the time of its import.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(task.threads)
    advance(task.warmup)
    start = time.perf_counter()
    advance(task.steps)
    seconds = time.perf_counter() - start
    taken = torch.cuda.max_memory_reserved() / 1024**2 if task.device == "cuda" else None
    return Timing(seconds / task.steps, _peak_memory(), device_memory=taken)


def advance_of(task: Task) -> Callable[[int], None]:
    """A function that does so many steps in this process, of all targets but LAMMPS and registered baselines.

    How many threads there are is the environment's affair, see `time_task`.
    """
    return {"model": _model, "ase": _ase, "openmm": _openmm, GFN2_XTB: _gfn2}[task.target](task)


def _peak_memory() -> float:
    """Largest resident memory of this process, MB."""
    status = Path("/proc/self/status")
    # On Linux getrusage's counts that of the process which started this one, too.
    if status.is_file() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _job(task: Task) -> Job:
    return Job(task.model, task.atoms, Path(), task.device)


def _model(task: Task) -> Callable[[int], None]:
    from transip_md.evaluators.choose import load_evaluator

    model = load_evaluator(task.model, device=task.device, kernels=task.kernels)
    atoms = task.atoms
    if isinstance(model, LibraryModel):
        return _library(task, model)
    neighbourhood = model.neighbourhood(atoms.positions, atoms.cell.array, atoms.pbc)
    inputs = model.inputs(atoms.numbers, atoms.positions, neighbourhood, *_job(task).state)

    def advance(steps: int) -> None:
        for _ in range(steps):
            energies, _ = model.run(inputs)
        # On CUDA a call returns before its kernels have run.
        energies.cpu()

    return advance


def _library(task: Task, model: LibraryModel) -> Callable[[int], None]:
    """The call of libtransip, its neighbour list included."""
    atoms, state = task.atoms, _job(task).state

    def advance(steps: int) -> None:
        for _ in range(steps):
            model.evaluate(atoms.numbers, atoms.positions, *state, cell=atoms.cell.array, periodic=atoms.pbc)

    return advance


def _ase(task: Task) -> Callable[[int], None]:
    from transip_md.engines.ase import TransIPCalculator

    return _ase_dynamics(task, TransIPCalculator(task.model, device=task.device, kernels=task.kernels))


def _gfn2(task: Task) -> Callable[[int], None]:
    try:
        from tblite.ase import TBLite
    except ImportError as error:
        raise EnvironmentFaultError("GFN2-xTB needs tblite. Type `pip install 'transip-md[train]'`.") from error
    # The density of a step starts the next one, as users run it.
    charge, multiplicity = _job(task).state
    return _ase_dynamics(task, TBLite(method="GFN2-xTB", verbosity=0, charge=charge, multiplicity=multiplicity))


def _ase_dynamics(task: Task, calculator: Calculator) -> Callable[[int], None]:
    import ase.units
    from ase.md.verlet import VelocityVerlet

    atoms = task.atoms.copy()
    atoms.set_velocities(_velocities(atoms) / ase.units.fs)
    atoms.calc = calculator
    return VelocityVerlet(atoms, TIMESTEP * ase.units.fs).run


def _openmm(task: Task) -> Callable[[int], None]:
    import openmm

    from transip_md.common import units
    from transip_md.engines.openmm.engine import FEMTOSECOND, OpenMMEngine

    os.environ["OPENMM_CPU_THREADS"] = str(task.threads)
    # OpenMM's own integrator, as in users' scripts.
    integrator = openmm.VerletIntegrator(TIMESTEP * FEMTOSECOND)
    context = OpenMMEngine(_openmm_platform(task.device)).context(_job(task), integrator)
    context.setVelocities(_velocities(task.atoms) / units.ANGSTROM_PER_NM / FEMTOSECOND)

    def advance(steps: int) -> None:
        context.getIntegrator().step(steps)
        # A step may still be under way; positions are there when it is done.
        context.getState(positions=True)

    return advance


def _openmm_platform(device: str) -> str:
    """Where OpenMM keeps the particles: on the model's device if it has a platform there."""
    import openmm

    names = [openmm.Platform.getPlatform(index).getName() for index in range(openmm.Platform.getNumPlatforms())]
    return "CUDA" if device == "cuda" and "CUDA" in names else "CPU"


def _velocities(atoms: ase.Atoms) -> np.ndarray:
    """Of `TEMPERATURE`, Angstrom/fs."""
    from transip_md.common.thermal import thermal_velocities

    return thermal_velocities(atoms, TEMPERATURE, seed=0)


def _lammps(task: Task) -> Timing:
    from transip_md.engines.lammps.engine import boundary_of, device_word, model_beside, state_words, write_data
    from transip_md.plugins.build import find_tool
    from transip_md.plugins.kinds import KINDS, plugin_library

    plugin_library(KINDS["lammps"])
    atoms = task.atoms
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        symbols = write_data(folder / "start.data", atoms, _velocities(atoms))
        deck = LAMMPS_DECK.format(
            boundary=boundary_of(atoms),
            skin=2.0 if atoms.pbc.any() else 0.5,
            timestep=TIMESTEP / 1000.0,
            model=model_beside(task.model, folder),
            device=device_word(task.device),
            kernels=task.kernels,
            state=state_words(_job(task).state),
            symbols=" ".join(symbols),
            warmup=task.warmup,
            steps=task.steps,
        )
        (folder / "in.bench").write_text(deck)
        command = [str(find_tool("lmp")), "-in", "in.bench", "-log", "none"]
        if task.ranks > 1:
            command = [str(find_tool("mpiexec")), "-n", str(task.ranks), *command]
        environment = {**os.environ, "LAMMPS_PLUGIN_PATH": ""}
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    loops = re.findall(r"Loop time of (\S+) on", result.stdout)
    if result.returncode or len(loops) != 2:
        output = "\n".join((result.stdout + result.stderr).strip().splitlines()[-8:])
        raise TransIPError(f"LAMMPS stopped with exit {result.returncode}:\n{output}")
    printed = re.search(r"TransIP: (\S+) ms a step in the model, (\S+) ms around it", result.stdout)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    parts = (float(printed[1]) / 1000, float(printed[2]) / 1000) if printed else (None, None)
    return Timing(float(loops[-1]) / task.steps, memory, *parts)
