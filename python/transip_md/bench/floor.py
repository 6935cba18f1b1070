"""The least time that the arithmetic of a step can take on this machine."""

from __future__ import annotations

import time
from pathlib import Path

import ase
import torch
from torch.utils.flop_counter import FlopCounterMode

from transip_md.export import EngineModel
from transip_md.metadata import read_metadata
from transip_md.model.config import ModelConfig
from transip_md.model.network import TransIP
from transip_md.runtime import inputs_of, neighbourhood_of

#: Edge of the square float32 matrices whose product is timed, by device, and how often.
SIZES, REPEATS = {"cpu": 1024, "cuda": 8192}, 12


def count_flop(model: Path, atoms: ase.Atoms) -> int | None:
    """Floating-point operations of all matrix products in one evaluation of energy and forces.

    Counted by torch while the network, with the file's shape and random weights, runs on the structure; padding of the
    neighbour table counts, because the model computes it.

    Args:
        model: an exported model file.
        atoms: the structure.

    Returns:
        The number; None if the file holds no network of ours (an analytic model).
    """
    metadata = read_metadata(model)
    if metadata.architecture.get("name") != "TransIP":
        return None
    config = ModelConfig.model_validate({key: value for key, value in metadata.architecture.items() if key != "name"})
    neighbourhood = neighbourhood_of(metadata, atoms.positions, atoms.cell.array, atoms.pbc)
    inputs = inputs_of(atoms.numbers, atoms.positions, neighbourhood, 0, 1)
    network = EngineModel(TransIP(config)).eval().requires_grad_(False)
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        network(*inputs)
    return counter.get_total_flops()


def matmul_rate(threads: int, device: str = "cpu") -> float:
    """Best rate of a float32 matrix product, FLOP/s; on CUDA without TF32, as models run.

    Args:
        threads: of torch.
        device: "cpu" or "cuda".
    """
    size = SIZES[device]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        one, other = torch.randn(2, size, size, device=device)
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            # Reading one number waits for the product.
            (one @ other)[0, 0].item()
            seconds.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return 2 * size**3 / min(seconds)
