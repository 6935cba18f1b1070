"""The least time that the arithmetic of a step can take on this machine."""

from __future__ import annotations

import time
from pathlib import Path

import ase
import torch

from transip_md.data.neighbours import find_neighbours
from transip_md.model.config import ModelConfig
from transip_md.modelfile.metadata import read_metadata

#: Edge of the square float32 matrices whose product is timed, by device, and how often.
SIZES, REPEATS = {"cpu": 1024, "cuda": 8192}, 12


def count_flop(model: Path, atoms: ase.Atoms) -> int | None:
    """Floating-point operations of all matrix products that an evaluation of energy and forces cannot do without.

    A dense layer of n inputs and m outputs takes 2 n m a token, and as many again for the gradient by its inputs; the
    first layer's queries, keys and values have none, since the embedding does not depend on positions. Attention takes
    4 d for an edge (a token's one with itself among them) and 12 d backward: the products of both passes, the logits
    formed anew. Radial biases come from tables and do not count, nor does padding of neighbour lists.

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
    tokens, dim = len(atoms), config.dim
    edges = tokens * tokens
    if metadata.cutoff is not None:
        found = find_neighbours(atoms.positions, atoms.cell.array, atoms.pbc, metadata.cutoff)
        edges = tokens + int((found.neighbours >= 0).sum())
    queries_keys_values = 2 * dim * 3 * dim
    layer = queries_keys_values + 2 * dim * dim + 2 * dim * 3 * config.feedforward
    dense = 2 * (config.layers * layer + 2 * dim * dim + 2 * dim)
    if not config.coordinates:
        dense -= queries_keys_values
    return tokens * dense + config.layers * edges * 16 * dim


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
