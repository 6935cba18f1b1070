"""MACE with the settings of MACE-OFF23 small and random weights, through its calculator for ase."""

from __future__ import annotations

import ase.data
import numpy as np
import torch
from mace.calculators import MACECalculator
from mace.modules import ScaleShiftMACE, gate_dict, interaction_classes
from steps import read_task, time_dynamics

ELEMENTS = ("H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I")


def build() -> torch.nn.Module:
    """The network."""
    # Not before mace, which makes e3nn's files loadable.
    from e3nn import o3

    torch.manual_seed(0)
    interaction = interaction_classes["RealAgnosticResidualInteractionBlock"]
    return ScaleShiftMACE(
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
        r_max=4.5,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls_first=interaction_classes["RealAgnosticInteractionBlock"],
        interaction_cls=interaction,
        num_interactions=2,
        num_elements=len(ELEMENTS),
        hidden_irreps=o3.Irreps("96x0e"),
        MLP_irreps=o3.Irreps("16x0e"),
        gate=gate_dict["silu"],
        atomic_energies=np.zeros(len(ELEMENTS)),
        avg_num_neighbors=15.0,
        atomic_numbers=[ase.data.atomic_numbers[symbol] for symbol in ELEMENTS],
        correlation=3,
        radial_MLP=[64, 64, 64],
    )


def main() -> None:
    """Time it."""
    task = read_task()
    torch.set_num_threads(task["threads"])
    torch.set_default_dtype(torch.float32)
    calculator = MACECalculator(models=[build()], device="cpu", default_dtype="float32")
    time_dynamics(task, calculator, random_weights=True)


if __name__ == "__main__":
    main()
