"""ANI-2x, all eight networks of its ensemble, with random weights, through its calculator for ase."""

from __future__ import annotations

import torch
from steps import read_task, time_dynamics
from torchani.arch import ANI, Assembler
from torchani.models import SYMBOLS_2X


def build(neighborlist: str = "adaptive") -> ANI:
    """As torchani.models.ANI2x does it, but for the weights, which that downloads.

    Args:
        neighborlist: by torchani's name; "adaptive", its own choice, takes one molecule at a time.
    """
    torch.manual_seed(0)
    assembler = Assembler(periodic_table_index=True)
    assembler.set_symbols(SYMBOLS_2X)
    assembler.set_global_cutoff_fn("cosine")
    assembler.set_aev_computer(radial="ani2x", angular="ani2x", strategy="pyaev")
    assembler.set_atomic_networks(ctor="ani2x")
    assembler.set_neighborlist(neighborlist)
    assembler.set_gsaes_as_self_energies("wb97x-631gd")
    return assembler.assemble(8).requires_grad_(False)


def main() -> None:
    """Time it."""
    task = read_task()
    torch.set_num_threads(task["threads"])
    # Its fastest form on a CPU.
    calculator = build().to_infer_model().ase(jit=True)
    time_dynamics(task, calculator, random_weights=True)


if __name__ == "__main__":
    main()
