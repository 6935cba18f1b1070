"""Reference values of a file: a structure with the numbers that the model gave where it was exported."""

from __future__ import annotations

import copy
import json

import numpy as np
import torch
from torch import Tensor, nn

from transip_md.modelfile.metadata import Metadata
from transip_md.modelfile.reference import MOST_STATES
from transip_md.symmetry.numbered import numbered_rotation

#: Rotated copies of the reference structure on which the rounding of float32 is measured.
ROUNDING_ROTATIONS = 8


def reference_states(metadata: Metadata) -> list[tuple[int, int]]:
    """Charges (e) and multiplicities that cover every one that the model knows, 64 at most."""
    charges = range(metadata.charge[0], metadata.charge[1] + 1)
    multiplicities = range(metadata.multiplicity[0], metadata.multiplicity[1] + 1)
    states = [(charge, multiplicities[0]) for charge in charges]
    states += [(charges[0], multiplicity) for multiplicity in multiplicities[1:]]
    step = -(-len(states) // MOST_STATES)
    return states[::step]


def reference_of(eager: nn.Module, inputs: tuple[Tensor, ...], metadata: Metadata) -> str:
    """``reference.json``: a forward's arguments, flat, with the energy (eV) and forces (eV/Angstrom) of every state.

    What the precision of the weights does to these numbers is measured against the same weights in float64, as the
    worst of several rotated copies; for the energy by the sum over atoms, in which errors do not cancel.
    """
    species, positions, owner, owned, neighbours, _, _ = inputs
    exact = copy.deepcopy(eager).to(torch.float64)
    rotations = [np.eye(3)] + [numbered_rotation(0, number) for number in range(ROUNDING_ROTATIONS)]
    rotated = [positions @ torch.from_numpy(rotation.T) for rotation in rotations]
    states = []
    for charge, multiplicity in reference_states(metadata):
        state = (owner, owned, neighbours, torch.tensor(charge), torch.tensor(multiplicity))
        energies, forces = eager(species, positions, *state)
        energy_rounding = force_rounding = 0.0
        for copied in rotated if metadata.dtype == "float32" else []:
            here, there = eager(species, copied, *state), exact(species, copied, *state)
            energy_rounding = max(energy_rounding, float((here[0] - there[0]).abs().sum()))
            force_rounding = max(force_rounding, float((here[1] - there[1]).abs().max()))
        states.append(
            {
                "charge": charge,
                "multiplicity": multiplicity,
                "energy": float(energies.sum()),
                "forces": forces.flatten().tolist(),
                "energy_rounding": energy_rounding,
                "force_rounding": force_rounding,
            }
        )
    flat = {"species": species, "positions": positions, "owner": owner, "neighbours": neighbours}
    return json.dumps({**{name: tensor.flatten().tolist() for name, tensor in flat.items()}, "states": states})
