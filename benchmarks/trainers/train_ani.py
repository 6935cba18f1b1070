"""Train ANI-2x's architecture, all 8 networks and the mean of them, as it is timed by `transip-md bench --vs ani`."""

from __future__ import annotations

import ase
import torch
from labelled import answer, read_task
from loop import Recipe, gradient, train
from run_ani import build

#: eV, CODATA 2018.
HARTREE = 27.211386245988


def main() -> None:
    """Train it."""
    task = read_task()
    model = build("all_pairs").requires_grad_(True)

    def prepare(atoms: ase.Atoms) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor(atoms.numbers), torch.tensor(atoms.positions, dtype=torch.float32)

    def predict(items: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        species = torch.stack([item[0] for item in items])
        positions = torch.stack([item[1] for item in items]).requires_grad_(True)
        energies = HARTREE * model((species, positions)).energies
        return energies.float(), gradient(energies, positions).reshape(-1, 3)

    answer(train(model, Recipe(prepare, predict, learning_rate=1e-3, batch=32), task), task)


if __name__ == "__main__":
    main()
