"""What OpenMM's step costs beyond the model call: `python benchmarks/openmm_overhead.py`.

Each backend that works here makes steps of velocity Verlet (Reference platform, 0.5 fs) on ethanol and on 192 atoms of
water; after each step a call of libtransip evaluates the same positions, by the same kernels: the project's own or
torch's, neighbours included. CPU time is counted, one thread, so that other programs take nothing away, and steps are
summed over blocks; the table has medians over blocks. Results of other versions of torch and OpenMM stay in
benchmarks/openmm_overhead.json, from which the table is made: run the command again with the Python of `make
test-torchforce` for TorchForce.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import ase
import ase.io
import numpy as np
import openmm
import torch
from rich.table import Table

from transip_md.cli.console import console
from transip_md.cli.progress import LongTask
from transip_md.common import units
from transip_md.common.errors import TransIPError
from transip_md.common.thermal import thermal_velocities
from transip_md.common.tolerances import PARITY
from transip_md.engines.openmm import BACKENDS, create_force
from transip_md.engines.openmm.engine import velocity_verlet
from transip_md.evaluators import binding
from transip_md.exporting.export import export
from transip_md.model.checkpoint import load_shipped

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "openmm_overhead.json"
TIMESTEP = 0.5  # fs
#: Most that native may cost beside the model: a part of the call, and seconds.
ALLOWED = (0.10, 1e-4)
STRUCTURES = {"ethanol": ROOT / "examples/ethanol.xyz", "water": ROOT / "examples/openmm/water.pdb"}
#: What is measured: structure, kernels, dtype of the weights.
CASES = (
    ("ethanol", "native", "float64"),
    ("ethanol", "native", "float32"),
    ("ethanol", "torch", "float64"),
    ("water", "native", "float64"),
    ("water", "native", "float32"),
    ("water", "torch", "float64"),
)


@dataclass(frozen=True)
class Cell:
    """Milliseconds of CPU time a step: of the model call alone, and of the whole step, medians over blocks."""

    torch: str
    openmm: str
    structure: str
    kernels: str
    dtype: str
    backend: str
    steps: int
    model_ms: float
    step_ms: float
    overhead_ms: float

    @property
    def within(self) -> bool:
        """Whether the overhead is within what native is allowed."""
        return self.overhead_ms <= ALLOWED[0] * self.model_ms + 1e3 * ALLOWED[1]


class ModelCall:
    """The call of libtransip by its C API, its search for neighbours included."""

    def __init__(self, file: Path, kernels: str, atoms: ase.Atoms) -> None:
        self._library, self._handle = binding.library(), ctypes.c_void_p()
        options = binding.Options(b"cpu", kernels.encode(), 1, 1)
        binding.check(self._library.transip_load(os.fsencode(file), ctypes.byref(options), ctypes.byref(self._handle)))
        self._numbers = np.ascontiguousarray(atoms.numbers, dtype=np.int64)
        self._cell = np.ascontiguousarray(atoms.cell.array)
        self._energy, self._forces, self._virial = np.empty(1), np.empty((len(atoms), 3)), np.empty((3, 3))
        self._periodic = (ctypes.c_int * 3)(*map(int, atoms.pbc))
        arrays = (self._energy, None, self._forces, self._virial, None)
        self._result = binding.Result(*(None if array is None else array.ctypes.data for array in arrays))

    def __call__(self, positions: np.ndarray) -> tuple[float, float]:
        """Seconds of CPU time and energy in eV; positions in Angstrom."""
        positions = np.ascontiguousarray(positions)
        structure = binding.Atoms(
            len(self._numbers), self._numbers.ctypes.data, positions.ctypes.data, self._cell.ctypes.data,
            self._periodic, 0, 1, 0,
        )  # fmt: skip
        given = self._handle, ctypes.byref(structure), ctypes.byref(self._result), None
        start = time.process_time()
        status = self._library.transip_evaluate_with_distances(*given)
        seconds = time.process_time() - start
        binding.check(status)
        return seconds, float(self._energy[0])


def context_of(force: openmm.Force, atoms: ase.Atoms) -> openmm.Context:
    """A Context on the Reference platform that starts at 300 K."""
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    if atoms.pbc.all():
        system.setDefaultPeriodicBoxVectors(*atoms.cell.array / units.ANGSTROM_PER_NM)
    system.addForce(force)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, velocity_verlet(TIMESTEP), platform)
    context.setPositions(atoms.positions / units.ANGSTROM_PER_NM)
    context.setVelocities(thermal_velocities(atoms, 300.0, 1) * 1000.0 / units.ANGSTROM_PER_NM)
    return context


def contexts_of(file: Path, atoms: ase.Atoms, kernels: str) -> dict[str, openmm.Context]:
    """One for each backend that has these kernels and works here; why the others do not is printed."""
    found = {}
    for backend in BACKENDS if kernels == "torch" else ("native", "python"):
        device = "auto" if backend == "torchforce" else "cpu"
        try:
            # By default native kernels take all cores, whose waiting for each other would be counted.
            force = create_force(
                file, atoms.numbers, backend=backend, device=device, threads=1, periodic=bool(atoms.pbc.all())
            )
        except TransIPError as error:
            console.print(f"not {backend}: {error}", markup=False)
        else:
            found[backend] = context_of(force, atoms)
    return found


def timed_step(context: openmm.Context) -> float:
    """Seconds of CPU time of one step."""
    start = time.process_time()
    context.getIntegrator().step(1)
    return time.process_time() - start


def check_energy(context: openmm.Context, energy: float, dtype: str, atoms: int) -> None:
    """Exits unless the call evaluates what the backend does."""
    state = context.getState(energy=True).getPotentialEnergy().value_in_unit(openmm.unit.kilojoule_per_mole)
    apart = abs(state / units.KJ_PER_MOL_PER_EV - energy)
    if apart > PARITY[dtype].energy_of(atoms):
        raise SystemExit(f"The call of libtransip gives another energy than OpenMM, by {apart:.1e} eV.")


def measure(file: Path, structure: str, atoms: ase.Atoms, key: tuple[str, str], blocks: int, length: int) -> list[Cell]:
    """Blocks of steps, backends in turn."""
    os.environ["TRANSIP_KERNELS"] = key[0]
    contexts = contexts_of(file, atoms, key[0])
    # One for each, so that it finds as little in the caches as its backend.
    calls = {backend: ModelCall(file, key[0], atoms) for backend in contexts}
    times = {backend: np.zeros((blocks, 2)) for backend in contexts}
    with LongTask(f"{structure} {key[0]} {key[1]}", (blocks + 1) * length) as progress:
        # One block more, for warming up, is not counted.
        for step in range(-length, blocks * length):
            progress.update(step + length + 1)
            for backend, context in contexts.items():
                seconds = timed_step(context)
                state = context.getState(positions=True)
                positions = state.getPositions(asNumpy=True).value_in_unit(openmm.unit.angstrom)
                alone, energy = calls[backend](positions)
                if step >= 0:
                    times[backend][step // length] += (seconds, alone)
                elif step == -length:
                    check_energy(context, energy, key[1], len(atoms))
    cells = []
    for backend, table in times.items():
        steps, alone = 1000.0 * table.T / length
        middle = [float(np.median(values)) for values in (alone, steps, steps - alone)]
        cells.append(
            Cell(torch.__version__, openmm.version.version, structure, *key, backend, blocks * length, *middle)
        )
    return cells


def case_of(text: str) -> tuple[str, ...]:
    """One of `CASES`, with commas between."""
    if (case := tuple(text.split(","))) not in CASES:
        raise argparse.ArgumentTypeError(f"must be one of {' '.join(','.join(known) for known in CASES)}")
    return case


def merge(cells: list[Cell]) -> list[Cell]:
    """These, and what other versions of torch and OpenMM gave."""

    def key(cell: Cell) -> tuple[str, ...]:
        return (cell.torch, cell.openmm, cell.structure, cell.kernels, cell.dtype)

    here = {key(cell) for cell in cells}
    old = [Cell(**row) for row in json.loads(RESULTS.read_text())["cells"]] if RESULTS.exists() else []
    return sorted([cell for cell in old if key(cell) not in here] + cells, key=key)


TITLE = "CPU time of a step, one thread, Reference platform"
HEADINGS = (
    "torch", "OpenMM", "structure", "kernels, weights", "backend", "model (ms)", "step (ms)", "beside the model (ms)",
    "beside the model (%)", "within 10 % + 0.1 ms",
)  # fmt: skip


def rows_of(cells: list[Cell]) -> list[tuple[str, ...]]:
    """Lines of the table."""
    return [
        (
            cell.torch,
            cell.openmm,
            cell.structure,
            f"{cell.kernels}, {cell.dtype}",
            cell.backend,
            f"{cell.model_ms:.3f}",
            f"{cell.step_ms:.3f}",
            f"{cell.overhead_ms:.3f}",
            f"{100 * cell.overhead_ms / cell.model_ms:.1f}",
            "yes" if cell.within else "no",
        )
        for cell in cells
    ]


def write(cells: list[Cell]) -> None:
    """Both files."""
    RESULTS.write_text(json.dumps({"cells": [asdict(cell) for cell in cells]}, indent=1) + "\n")
    lines = [HEADINGS, ("---",) * len(HEADINGS), *rows_of(cells)]
    text = f"# {TITLE}\n\nWritten by `benchmarks/openmm_overhead.py`; see its head for what is measured.\n\n"
    RESULTS.with_suffix(".md").write_text(text + "".join(f"| {' | '.join(line)} |\n" for line in lines))


def main() -> int:
    """Measure, write and print the table; 1 if native costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument(
        "--case",
        action="append",
        type=case_of,
        help="such as ethanol,native,float64; may be repeated; default: all",
    )
    parser.add_argument("--length", type=int, default=50, help="steps of a block")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for structure, kernels, dtype in options.case or CASES:
            file = folder / f"{structure}.pt"
            export(load_shipped(structure), file, dtype)
            atoms = ase.io.read(STRUCTURES[structure])
            cells = merge(measure(file, structure, atoms, (kernels, dtype), options.blocks, options.length))
            # After every case: what is done stays if the rest is interrupted.
            write(cells)
    table = Table(*HEADINGS, title=TITLE)
    for row in rows_of(cells):
        table.add_row(*row)
    console.print(table)
    return int(any(cell.backend == "native" and not cell.within for cell in cells))


if __name__ == "__main__":
    raise SystemExit(main())
