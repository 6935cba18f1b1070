"""NequIP, compiled by prepare_nequip.py, through its calculator for ase."""

from __future__ import annotations

from pathlib import Path

import torch
from nequip.integrations.ase import NequIPCalculator
from steps import read_task, time_dynamics


def main() -> None:
    """Time it."""
    task = read_task()
    torch.set_num_threads(task["threads"])
    model = Path(task["home"]) / "model.nequip.pt2"
    calculator = NequIPCalculator.from_compiled_model(model, chemical_species_to_atom_type_map=True)
    time_dynamics(task, calculator, random_weights=True)


if __name__ == "__main__":
    main()
