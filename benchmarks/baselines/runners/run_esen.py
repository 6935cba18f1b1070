"""eSEN small, written by prepare_esen.py, through fairchem-core's calculator for ase."""

from __future__ import annotations

import os
from pathlib import Path

from steps import read_task, time_dynamics


def main() -> None:
    """Time it."""
    task = read_task()
    home = Path(task["home"])
    # Compiled code of one run serves the next. Before torch is imported.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(home / "inductor")
    import torch
    from fairchem.core import FAIRChemCalculator

    torch.set_num_threads(task["threads"])
    # With fairchem-core's default settings, which compile.
    calculator = FAIRChemCalculator.from_model_checkpoint(str(home / "esen.pt"), task_name="omol", device="cpu")
    time_dynamics(task, calculator, random_weights=True)


if __name__ == "__main__":
    main()
