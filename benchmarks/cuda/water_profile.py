"""What a step of 12,288 atoms of water spends its time on, on a CUDA device: `python benchmarks/cuda/water_profile.py`.

The bare model, float32, from Python: wall time and peak memory of an evaluation, then the kernels that take most.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import ase.io
import torch
from torch.profiler import ProfilerActivity, profile

from transip_md.evaluators.torch_model import ExportedModel
from transip_md.exporting.export import export
from transip_md.model.checkpoint import load_shipped

ROOT = Path(__file__).resolve().parents[2]
CALLS = 5


def main() -> None:
    """Print it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "water.pt"
        export(load_shipped("water"), file, "float32")
        model = ExportedModel(file, "cuda")
    atoms = ase.io.read(ROOT / "examples" / "openmm" / "water.pdb").repeat(4)
    neighbourhood = model.neighbourhood(atoms.positions, atoms.cell.array, atoms.pbc)
    inputs = model.inputs(atoms.numbers, atoms.positions, neighbourhood, 0, 1)
    for _ in range(2):
        model.run(inputs)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(CALLS):
        model.run(inputs)
    torch.cuda.synchronize()
    milliseconds = 1000 * (time.perf_counter() - start) / CALLS
    memory = torch.cuda.max_memory_allocated() / 1e6
    rows, slots = len(inputs[1]), inputs[4].shape[1]
    print(f"{len(atoms)} atoms, {rows} rows, {slots} slots: {milliseconds:.1f} ms, peak {memory:.0f} MB")
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(CALLS):
            model.run(inputs)
        torch.cuda.synchronize()
    print(profiled.key_averages().table(sort_by="cuda_time_total", row_limit=16, max_name_column_width=90))


if __name__ == "__main__":
    main()
