"""Evaluations by the native kernels, on one thread and on two, and TorchScript's: `python benchmarks/kernels.py`.

Energies and forces of the shipped models and of untrained networks of the sizes `small` and `large`, float32 weights,
the search for neighbours included. Evaluators take turns; a number is the median of rounds, on one thread of processor
times, on two of the clock, for which the machine must do nothing else (`--threads 1` leaves them out). Writes
`kernels.json` and `kernels.md`.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path

import ase
import ase.build
import ase.io
import torch

import transip_md
from transip_md.cli.console import console
from transip_md.evaluators.library_model import LibraryModel
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.exporting.export import export
from transip_md.model.checkpoint import Checkpoint
from transip_md.model.config import ModelConfig
from transip_md.model.network import TransIP
from transip_md.model.presets import PRESETS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def untrained(size: str) -> Checkpoint:
    """A network of a preset's size for hydrogen and carbon, all-to-all."""
    torch.manual_seed(0)
    config = ModelConfig(species=(1, 6), cutoff=None, **PRESETS[size])
    return Checkpoint(config, TransIP(config))


def cases() -> dict[str, tuple[Checkpoint, ase.Atoms, bool]]:
    """Network, structure, and whether TorchScript is measured beside it."""
    water = ase.io.read(ROOT / "examples" / "lammps" / "water.data", format="lammps-data", Z_of_type={1: 1, 2: 8})
    ethanol = ase.io.read(ROOT / "examples" / "ethanol.xyz")
    ball = ase.build.molecule("C60")
    shipped = {name: transip_md.pretrained(name) for name in ("water", "organic")}
    return {
        "`water`, 192 atoms": (shipped["water"], water, False),
        "`water`, 1,536 atoms": (shipped["water"], water.repeat(2), False),
        "`organic`, 60 atoms": (shipped["organic"], ball, False),
        "`organic`, ethanol": (shipped["organic"], ethanol, False),
        "preset `small`, 60 atoms": (untrained("small"), ball, True),
        "preset `large`, 60 atoms": (untrained("large"), ball, True),
    }


def evaluation(model: LibraryModel | ExportedModel, atoms: ase.Atoms) -> Callable[[], object]:
    """A call that evaluates a structure."""
    box = {"cell": atoms.cell.array, "periodic": atoms.pbc} if atoms.pbc.any() else {}
    return lambda: model.evaluate(atoms.numbers, atoms.positions, **box)


def seconds_of(call: Callable[[], object], clock: Callable[[], float], least: float) -> float:
    """Seconds of one call, of as many as take `least` seconds, and one at least."""
    call()
    start, count = clock(), 0
    while count == 0 or clock() - start < least:
        call()
        count += 1
    return (clock() - start) / count


def measure(file: Path, atoms: ase.Atoms, with_torch: bool, options: Namespace) -> dict[str, float]:
    """Milliseconds by each evaluator."""
    calls = {(f"kernels, {n}", n): evaluation(LibraryModel(file, n), atoms) for n in options.threads}
    if with_torch:
        scripted = evaluation(ExportedModel(file, "cpu"), atoms)
        calls |= {(f"TorchScript, {n}", n): scripted for n in options.threads}
    times: dict[str, list[float]] = {name: [] for name, _ in calls}
    for _ in range(options.rounds):
        for (name, threads), call in calls.items():
            torch.set_num_threads(threads)
            clock = time.process_time if threads == 1 else time.perf_counter
            times[name].append(1000.0 * seconds_of(call, clock, options.seconds))
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    """Measure and write."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one evaluator in a round")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (checkpoint, atoms, with_torch) in cases().items():
            file = Path(folder) / "model.pt"
            export(checkpoint, file, "float32")
            found[name] = measure(file, atoms, with_torch, options)
            console.print(name, ", ".join(f"{which}: {ms:.3g} ms" for which, ms in found[name].items()), markup=False)
    (HERE / "kernels.json").write_text(json.dumps(found, indent=1) + "\n")
    columns = [f"{kind}, {n}" for kind in ("kernels", "TorchScript") for n in options.threads]
    lines = [["ms an evaluation", *(column + " thread" + "s" * column.endswith("2") for column in columns)]]
    lines.append(["---"] * len(lines[0]))
    lines += [[name, *(f"{row[c]:.3g}" if c in row else "" for c in columns)] for name, row in found.items()]
    (HERE / "kernels.md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


if __name__ == "__main__":
    main()
