"""Make DeePMD's model of water: a short training, frozen and compressed.

The network and its descriptor are those of deepmd-kit's own example of water (examples/water/se_e2_a). It learns from
random water at the density of the liquid, labelled with no forces at all: that brings the weights to where forces are
small, and the time of a step does not depend on them. Run in DeePMD's environment: prepare_deepmd.py FOLDER writes
FOLDER/model.pb.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

FRAMES, STEPS = 16, 200
#: Molecules along an edge, and their distance in Angstrom: 1 g/cm3.
EDGE, SPACING = 4, 3.104
#: A molecule: O, H, H, Angstrom.
WATER = np.array([[0.0, 0.0, 0.0], [0.757, 0.586, 0.0], [-0.757, 0.586, 0.0]])
INPUT = {
    "model": {
        "type_map": ["O", "H"],
        "descriptor": {
            "type": "se_e2_a",
            "sel": [46, 92],
            "rcut_smth": 0.5,
            "rcut": 6.0,
            "neuron": [25, 50, 100],
            "resnet_dt": False,
            "axis_neuron": 16,
            "seed": 1,
        },
        "fitting_net": {"neuron": [240, 240, 240], "resnet_dt": True, "seed": 1},
    },
    "learning_rate": {"type": "exp", "decay_steps": 50, "start_lr": 0.001, "stop_lr": 1e-5},
    "loss": {
        "type": "ener",
        "start_pref_e": 0.02,
        "limit_pref_e": 1,
        "start_pref_f": 1000,
        "limit_pref_f": 1,
        "start_pref_v": 0,
        "limit_pref_v": 0,
    },
    "training": {
        "training_data": {"systems": ["data"], "batch_size": 1},
        "numb_steps": STEPS,
        "seed": 1,
        "disp_freq": 100,
        "save_freq": STEPS,
    },
}


def write_data(folder: Path) -> None:
    """Write frames of water in deepmd-kit's format: molecules on a lattice, rotated and shaken."""
    rng = np.random.default_rng(0)
    sites = SPACING * np.stack(np.meshgrid(*[np.arange(EDGE)] * 3), axis=-1).reshape(-1, 1, 3)
    frames = []
    for _ in range(FRAMES):
        turns = np.linalg.qr(rng.normal(size=(len(sites), 3, 3)))[0]
        molecules = sites + WATER @ turns
        frames.append((molecules + rng.normal(scale=0.05, size=molecules.shape)).reshape(-1))
    (folder / "set.000").mkdir(parents=True)
    (folder / "type.raw").write_text("\n".join(["0", "1", "1"] * len(sites)) + "\n")
    (folder / "type_map.raw").write_text("O\nH\n")
    np.save(folder / "set.000" / "coord.npy", np.array(frames))
    np.save(folder / "set.000" / "box.npy", np.tile((EDGE * SPACING * np.eye(3)).reshape(-1), (FRAMES, 1)))
    np.save(folder / "set.000" / "energy.npy", np.zeros(FRAMES))
    np.save(folder / "set.000" / "force.npy", np.zeros((FRAMES, frames[0].size)))


def main() -> None:
    """Train, freeze and compress."""
    folder = Path(sys.argv[1]).resolve()
    work = folder / "training"
    work.mkdir(exist_ok=True)
    write_data(work / "data")
    (work / "input.json").write_text(json.dumps(INPUT, indent=1))
    dp = str(folder / "bin" / "dp")
    for command in (
        ["train", "input.json"],
        ["freeze", "-o", "frozen.pb"],
        ["compress", "-i", "frozen.pb", "-o", str(folder / "model.pb"), "-t", "input.json"],
    ):
        subprocess.run([dp, *command], cwd=work, check=True)


if __name__ == "__main__":
    main()
