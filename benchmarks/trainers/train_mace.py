"""Train MACE as `transip-md bench --vs mace` times it; learning rate and batch of its paper's runs on molecules."""

from __future__ import annotations

from typing import Any

import ase
import torch
from labelled import answer, read_task
from loop import Recipe, train
from mace import data
from mace.tools import AtomicNumberTable, torch_geometric
from run_mace import build


def main() -> None:
    """Train it."""
    task = read_task()
    torch.set_default_dtype(torch.float32)
    model = build()
    table = AtomicNumberTable([int(number) for number in model.atomic_numbers])
    cutoff = float(model.r_max)

    def prepare(atoms: ase.Atoms) -> data.AtomicData:
        bare = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        return data.AtomicData.from_config(data.config_from_atoms(bare), z_table=table, cutoff=cutoff)

    def predict(items: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        found = model(torch_geometric.Batch.from_data_list(items).to_dict(), training=model.training)
        return found["energy"], found["forces"]

    batch = 1 if task["periodic"] else 5
    answer(train(model, Recipe(prepare, predict, learning_rate=1e-2, batch=batch, amsgrad=True), task), task)


if __name__ == "__main__":
    main()
