"""Train NequIP as it is timed by `transip-md bench --vs nequip`; learning rate and batch of its own tutorials."""

from __future__ import annotations

from typing import Any

import ase
import torch
from labelled import answer, read_task
from loop import Recipe, train
from nequip.data import AtomicDataDict, from_ase
from nequip.integrations.utils import basic_transforms, handle_chemical_species_map
from nequip.utils.global_state import set_global_state
from prepare_nequip import CUTOFF, ELEMENTS, build


def main() -> None:
    """Train it."""
    task = read_task()
    set_global_state(allow_tf32=False)
    model = build()
    species = handle_chemical_species_map(True, ELEMENTS)
    transforms = basic_transforms(dict(model.metadata), CUTOFF, ELEMENTS, species)

    def prepare(atoms: ase.Atoms) -> dict[str, torch.Tensor]:
        item = from_ase(ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc))
        for transform in transforms:
            item = transform(item)
        return item

    def predict(items: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        found = model(AtomicDataDict.batched_from_list(items))
        energies, forces = found[AtomicDataDict.TOTAL_ENERGY_KEY], found[AtomicDataDict.FORCE_KEY]
        return energies.reshape(-1).float(), forces.float()

    answer(train(model, Recipe(prepare, predict, learning_rate=1e-2, batch=5), task), task)


if __name__ == "__main__":
    main()
