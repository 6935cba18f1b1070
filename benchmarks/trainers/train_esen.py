"""Train eSEN as it is timed by `transip-md bench --vs esen`, but not compiled."""

from __future__ import annotations

import ase
import hydra
import torch
from fairchem.core.datasets.atomic_data import AtomicData, atomicdata_list_to_batch
from labelled import answer, read_task
from loop import Recipe, train
from prepare_esen import BACKBONE, HEAD


def main() -> None:
    """Train it."""
    task = read_task()
    torch.manual_seed(0)
    model = hydra.utils.instantiate(
        {
            "_target_": "fairchem.core.models.base.HydraModel",
            "pass_through_head_outputs": True,
            "backbone": BACKBONE,
            "heads": {"energyandforcehead": HEAD},
        }
    )

    def prepare(atoms: ase.Atoms) -> AtomicData:
        bare = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        bare.info.update(charge=0, spin=1)
        return AtomicData.from_ase(bare, task_name="omol", r_data_keys=["charge", "spin"])

    def predict(items: list[AtomicData]) -> tuple[torch.Tensor, torch.Tensor]:
        found = model(atomicdata_list_to_batch(items))
        return found["omol_energy"]["energy"].reshape(-1), found["omol_forces"]["forces"]

    answer(train(model, Recipe(prepare, predict, learning_rate=5e-4, batch=5), task), task)


if __name__ == "__main__":
    main()
