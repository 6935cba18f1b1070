"""Compile NequIP with random weights, as ``nequip-compile --mode aotinductor --target ase`` does for a trained one.

Run in NequIP's environment: prepare_nequip.py FOLDER writes FOLDER/model.nequip.pt2. nequip-compile itself starts from
a checkpoint of a training or a package made of one; what it calls is called here on a network that was just built.
"""

from __future__ import annotations

import sys
from pathlib import Path

import ase
import numpy as np
import torch
from nequip.data import from_ase
from nequip.integrations.utils import basic_transforms, handle_chemical_species_map
from nequip.model import NequIPGNNModel
from nequip.scripts._compile_utils import COMPILE_TARGET_DICT
from nequip.scripts._workflow_utils import set_workflow_state
from nequip.utils.aot import aot_export_model
from nequip.utils.aoti_metadata import NEQUIP_AOTI_INPUTS_KEY, NEQUIP_AOTI_OUTPUTS_KEY, serialize_aoti_keys
from nequip.utils.global_state import get_latest_global_state, set_global_state

ELEMENTS = ["H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I"]
CUTOFF = 4.5


def example() -> ase.Atoms:
    """Something periodic to trace the network on: 60 atoms at the density of water."""
    places = np.random.default_rng(0).random((60, 3)) * 8.4
    return ase.Atoms("OH2" * 20, places, cell=[8.4] * 3, pbc=True)


def build() -> torch.nn.Module:
    """The network."""
    return NequIPGNNModel(
        seed=0,
        model_dtype="float32",
        type_names=ELEMENTS,
        r_max=CUTOFF,
        num_layers=3,
        l_max=1,
        parity=True,
        num_features=32,
        avg_num_neighbors=20.0,
    )


def main() -> None:
    """Build, trace and compile."""
    set_workflow_state("compile")
    set_global_state(allow_tf32=False)
    model = build().eval()
    facts = dict(model.metadata)
    data = from_ase(example())
    for transform in basic_transforms(facts, CUTOFF, ELEMENTS, handle_chemical_species_map(True, ELEMENTS)):
        data = transform(data)
    target = COMPILE_TARGET_DICT["ase"]
    names = {"graph": "num_frames", "node": "num_nodes", "edge": "num_edges"}
    sizes = {kind: torch.export.Dim(name, min=2, max=torch.inf) for kind, name in names.items()}
    facts |= get_latest_global_state(only_metadata_related=True)
    facts = {key: str(int(value) if isinstance(value, bool) else value) for key, value in facts.items()}
    facts[NEQUIP_AOTI_INPUTS_KEY] = serialize_aoti_keys(target["input"])
    facts[NEQUIP_AOTI_OUTPUTS_KEY] = serialize_aoti_keys(target["output"])
    aot_export_model(
        model=model,
        device="cpu",
        input_fields=target["input"],
        output_fields=target["output"],
        data=target["data_settings"](data),
        batch_map=target["batch_map_settings"](sizes),
        output_path=str(Path(sys.argv[1]).resolve() / "model.nequip.pt2"),
        # As many threads as it is run with, not as many as it was compiled with.
        inductor_configs={"aot_inductor.metadata": facts, "cpp.dynamic_threads": True},
    )


if __name__ == "__main__":
    main()
