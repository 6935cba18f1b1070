"""Train a network of a baseline for so much processor time. Run by the baseline's own Python.

The networks are the baselines' own; the loop is one for all of them: the objective is that of transip-md's own training
(mean absolute error of the energy per atom, mean length of the force error), Adam, a cosine to zero over the time that
there is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ase
import numpy as np
import torch
from labelled import Frames, errors

ENERGY_WEIGHT, FORCE_WEIGHT = 1.0, 10.0
#: Part of the time in which the learning rate rises.
WARMUP = 0.02
LARGEST_GRADIENT = 10.0
#: s of processor time between two lines of progress.
REPORT_EVERY = 60.0


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        prepare: makes of a structure what `predict` takes a list of.
        predict: energies [B] in units of its own and forces [sum of N, 3], their negative gradient; differentiable.
        learning_rate: the largest.
        batch: structures of a step.
        amsgrad: of Adam.
    """

    prepare: Callable[[ase.Atoms], Any]
    predict: Callable[[list[Any]], tuple[torch.Tensor, torch.Tensor]]
    learning_rate: float
    batch: int
    amsgrad: bool = False


def train(model: torch.nn.Module, recipe: Recipe, task: dict[str, Any]) -> dict[str, float]:
    """Train and test.

    Args:
        model: float32; its parameters are trained.
        recipe: how.
        task: "train" and "test", files; "seconds" of processor time; "seed".

    Returns:
        Errors as from `errors`; "steps" and "frames", how many were seen; "seconds" of processor time.
    """
    torch.set_num_threads(1)
    frames = Frames.read(task["train"])
    began = time.process_time()
    items = [recipe.prepare(atoms) for atoms in frames.atoms]
    mean = frames.energies.mean()
    scale = float(np.sqrt(np.mean(np.concatenate(frames.forces) ** 2)))
    # Networks start anywhere: what they say of the first structures is their zero.
    zero = float(recipe.predict(items[:1])[0].mean().detach())
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, amsgrad=recipe.amsgrad)
    rng = np.random.default_rng(task["seed"])
    model.train()
    steps, told, order = 0, 0.0, np.array([], dtype=int)
    while (used := time.process_time() - began) < task["seconds"]:
        done = used / task["seconds"]
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * min(done / WARMUP, 0.5 + 0.5 * np.cos(np.pi * done))
        if len(order) < recipe.batch:
            order = rng.permutation(len(items))
        rows, order = order[: recipe.batch], order[recipe.batch :]
        energies, forces = recipe.predict([items[row] for row in rows])
        sizes = torch.tensor([len(frames.atoms[row]) for row in rows])
        wanted = torch.tensor(frames.energies[rows] - mean, dtype=torch.float32)
        wanted_forces = torch.tensor(np.concatenate([frames.forces[row] for row in rows]), dtype=torch.float32)
        energy_error = ((scale * (energies - zero) - wanted) / sizes).abs().mean()
        force_error = (scale * forces - wanted_forces).norm(dim=1).mean()
        optimizer.zero_grad()
        (ENERGY_WEIGHT * energy_error + FORCE_WEIGHT * force_error).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        steps += 1
        if used >= told:
            print(
                f"{used:.0f} of {task['seconds']:.0f} s, step {steps}: length of the force error "
                f"{1000 * float(force_error.detach()):.1f} meV/A",
                flush=True,
            )
            told += REPORT_EVERY
    model.eval()
    seconds = time.process_time() - began

    def evaluate(atoms: ase.Atoms) -> tuple[float, np.ndarray]:
        energies, forces = recipe.predict([recipe.prepare(atoms)])
        energy = mean + scale * (float(energies.detach()[0]) - zero)
        return energy, scale * forces.detach().numpy()

    return {
        **errors(Frames.read(task["test"]), evaluate),
        "steps": steps,
        "frames": steps * recipe.batch,
        "seconds": seconds,
    }


def gradient(energies: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Forces, differentiable."""
    return -torch.autograd.grad(energies.sum(), positions, create_graph=True)[0]
