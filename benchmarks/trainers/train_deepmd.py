"""Train DeePMD as `transip-md bench --vs deepmd` times it, by its own trainer and with the settings of its example.

A first run of a few steps says how many the time holds; the learning rate falls over those as its example's does over
a million.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import ase
import numpy as np
from labelled import Frames, answer, errors, read_task
from prepare_deepmd import INPUT

FIRST, SECOND = 100, 400
#: Steps between two lines of its learning curve. It saves at such steps only, and the last must be one.
TELL = 50
#: The learning rate falls so often, as in the example (a million steps, 5,000 each), to this.
FALLS, LAST_RATE = 200, 3.51e-8


def write_data(frames: Frames, folder: Path) -> None:
    """In deepmd-kit's format; all frames have the same atoms in the same order."""
    types = [INPUT["model"]["type_map"].index(symbol) for symbol in frames.atoms[0].symbols]
    (folder / "set.000").mkdir(parents=True)
    (folder / "type.raw").write_text("\n".join(map(str, types)) + "\n")
    (folder / "type_map.raw").write_text("\n".join(INPUT["model"]["type_map"]) + "\n")
    arrays = {
        "coord": [atoms.positions.reshape(-1) for atoms in frames.atoms],
        "box": [atoms.cell.array.reshape(-1) for atoms in frames.atoms],
        "energy": frames.energies,
        "force": [forces.reshape(-1) for forces in frames.forces],
    }
    for name, values in arrays.items():
        np.save(folder / "set.000" / f"{name}.npy", np.array(values))


def train(steps: int, work: Path, seed: int) -> float:
    """Run its trainer in a folder that it makes, so that no checkpoint of another run can be taken for its own.

    Args:
        steps: a multiple of `TELL`.
        work: the folder; the data lie beside it.
        seed: of the order of frames.

    Returns:
        Processor time, s.
    """
    settings = json.loads(json.dumps(INPUT))
    settings["learning_rate"] |= {"decay_steps": max(1, steps // FALLS), "stop_lr": LAST_RATE}
    settings["training"] |= {"numb_steps": steps, "save_freq": steps, "disp_freq": TELL, "seed": seed}
    settings["training"]["training_data"]["systems"] = ["../data"]
    work.mkdir(parents=True)
    (work / "input.json").write_text(json.dumps(settings, indent=1))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    dp(["train", "input.json"], work)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def dp(arguments: list[str], work: Path) -> None:
    """Run deepmd-kit on one thread."""
    threads = {
        f"{kind}_{order}_PARALLELISM_THREADS": "1" for kind in ("DP", "TF") for order in ("INTRA_OP", "INTER_OP")
    }
    command = [str(Path(sys.executable).parent / "dp"), *arguments]
    subprocess.run(command, cwd=work, env={**os.environ, **threads}, check=True)


def main() -> None:
    """Train it."""
    task = read_task()
    write_data(Frames.read(task["train"]), Path("data"))
    short, long = (train(steps, Path(f"trial_{steps}"), task["seed"]) for steps in (FIRST, SECOND))
    step = (long - short) / (SECOND - FIRST)
    steps = TELL * max(1, round(((task["seconds"] - short) / step + FIRST) / TELL))
    print(f"{step:.3f} s a step: {steps} steps", flush=True)
    work = Path("training").resolve()
    seconds = train(steps, work, task["seed"])
    if not (work / f"model.ckpt-{steps}.index").is_file():
        raise SystemExit(f"dp train left no checkpoint of step {steps}; there are {sorted(work.glob('*.index'))}.")
    dp(["freeze", "-o", "model.pb"], work)
    from deepmd.infer import DeepPot

    potential = DeepPot(str(work / "model.pb"))

    def evaluate(atoms: ase.Atoms) -> tuple[float, np.ndarray]:
        types = [INPUT["model"]["type_map"].index(symbol) for symbol in atoms.symbols]
        energy, forces, _ = potential.eval(atoms.positions.reshape(1, -1), atoms.cell.array.reshape(1, -1), types)
        return float(energy.item()), forces[0]

    found = errors(Frames.read(task["test"]), evaluate)
    answer({**found, "steps": steps, "frames": steps, "seconds": seconds}, task)


if __name__ == "__main__":
    main()
