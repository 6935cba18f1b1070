"""Write a checkpoint of eSEN with random weights, in the form in which fairchem-core keeps its trained ones.

Run in eSEN's environment: prepare_esen.py FOLDER writes FOLDER/esen.pt. The trained checkpoints are behind a licence
that each user has to accept; the settings are those of esen-sm-conserving-all-omol (6.3 million parameters).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
import torch
from fairchem.core.units.mlip_unit.api.inference import MLIPInferenceCheckpoint

BACKBONE = {
    "model": "fairchem.core.models.uma.escn_md.eSCNMDBackbone",
    "max_num_elements": 100,
    "sphere_channels": 128,
    "hidden_channels": 128,
    "edge_channels": 128,
    "num_layers": 4,
    "lmax": 2,
    "mmax": 2,
    "cutoff": 6.0,
    "max_neighbors": 300,
    "otf_graph": True,
    "always_use_pbc": False,
    "distance_function": "gaussian",
    "num_distance_basis": 64,
    "norm_type": "rms_norm_sh",
    "act_type": "gate",
    "ff_type": "spectral",
    "chg_spin_emb_type": "pos_emb",
    "dataset_mapping": {"omol": "omol"},
    "direct_forces": False,
    "regress_forces": True,
    "regress_stress": False,
}
HEAD = {"module": "fairchem.core.models.uma.escn_md.MLP_EFS_Head", "prefix": "omol", "wrap_property": True}
UNIT = "fairchem.core.units.mlip_unit.mlip_unit"
NORMALIZER = "fairchem.core.modules.normalization.normalizer.Normalizer"


def task(quantity: str, level: str, dim: int) -> dict[str, Any]:
    """Configuration of one output."""
    return {
        "_target_": f"{UNIT}.Task",
        "name": f"omol_{quantity}",
        "level": level,
        "property": quantity,
        "out_spec": {"_target_": f"{UNIT}.OutputSpec", "dim": [dim], "dtype": "float32"},
        "normalizer": {"_target_": NORMALIZER, "mean": 0.0, "rmsd": 1.0},
        "datasets": ["omol"],
    }


def main() -> None:
    """Build the network and write it."""
    config = {
        "_target_": "fairchem.core.models.base.HydraModel",
        "pass_through_head_outputs": True,
        "backbone": BACKBONE,
        "heads": {"energyandforcehead": HEAD},
    }
    torch.manual_seed(0)
    model = hydra.utils.instantiate(config)
    average = torch.optim.swa_utils.AveragedModel(model)
    tasks = [task("energy", "system", 1), task("forces", "atom", 3)]
    checkpoint = MLIPInferenceCheckpoint(config, model.state_dict(), average.state_dict(), tasks)
    torch.save(checkpoint, Path(sys.argv[1]) / "esen.pt")


if __name__ == "__main__":
    main()
