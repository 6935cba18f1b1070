"""The baselines: what they are, what they are installed from, and what they can be run on.

``runners/run_NAME.py`` runs a baseline and ``runners/prepare_NAME.py``, where there is one, makes its model once; both
are run by the Python of the baseline's environment and import nothing of transip-md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ase
import numpy as np

from transip_md.data.electronic_state import state_of

#: What MACE-OFF23 knows; MACE and NequIP are built for as many.
ORGANIC = ("H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I")
RANDOM = "random; they do not change the time"


@dataclass(frozen=True)
class InstalledBaseline:
    """Another potential, and the program that it runs in; a `transip_md.bench.baselines.Baseline`.

    Attributes:
        name: as `--vs` takes it.
        settings: what the model is and what it runs in.
        dtype: of its weights and activations.
        weights: where they come from.
        requirements: what pip installs, pinned.
        megabytes: about what that takes on disk, with a CPU build of torch.
        elements: symbols that it knows; None for all.
        periodic_only: it is run on structures that are periodic in all directions only.
    """

    name: str
    settings: str
    dtype: str
    weights: str
    requirements: tuple[str, ...]
    megabytes: int
    elements: tuple[str, ...] | None = None
    periodic_only: bool = False

    def why_not(self, atoms: ase.Atoms) -> str | None:
        """Why it cannot be run on a structure, None if it can."""
        if self.elements and (unknown := sorted(set(atoms.symbols) - set(self.elements))):
            return f"it knows {', '.join(self.elements)}, the structure has {', '.join(unknown)}"
        if self.periodic_only and not atoms.pbc.all():
            return f"it runs on structures that are periodic in all directions, this one has pbc {atoms.pbc.tolist()}"
        if state_of(atoms, "the structure") != (0, 1):
            return "it runs neutral singlets here, this structure states another charge or multiplicity"
        return None

    def facts(self) -> dict[str, Any]:
        """What a reader of the table must know."""
        facts = {"settings": self.settings, "dtype": self.dtype, "weights": self.weights}
        return {**facts, "requirements": list(self.requirements)}

    def make_ready(self, say: Callable[[str], None]) -> None:
        """Make its environment unless it is there; see `baselines.environments.make_ready`."""
        from baselines.environments import make_ready

        make_ready(self, say)

    def time(self, atoms: ase.Atoms, velocities: np.ndarray, spec: dict[str, Any]) -> dict[str, Any]:
        """Time some steps; see `baselines.timing.run_baseline`."""
        from baselines.timing import run_baseline

        return run_baseline(self, atoms, velocities, spec)


BASELINES = {
    baseline.name: baseline
    for baseline in (
        InstalledBaseline(
            "mace",
            "ScaleShiftMACE with the settings of MACE-OFF23 small (96x0e, 2 layers, l_max 3, correlation 3, cutoff 4.5 "
            "A), in ase",
            "float32",
            RANDOM,
            ("torch==2.13.0", "mace-torch==0.3.16", "ase==3.29.0"),
            1450,
            elements=ORGANIC,
        ),
        InstalledBaseline(
            "deepmd",
            "compressed se_e2_a with the settings of deepmd-kit's example of water (25-50-100, 16 axes, fitting 3 x "
            "240, cutoff 6 A), TensorFlow, pair_style deepmd in LAMMPS",
            "float64",
            "of a training of 200 steps; they do not change the time",
            # The last release whose LAMMPS plugin needs no torch beside TensorFlow.
            ("deepmd-kit[cpu,lmp]==2.2.11", "tensorflow==2.16.2", "tf-keras==2.16.0", "ase==3.29.0"),
            2600,
            elements=("O", "H"),
            periodic_only=True,
        ),
        InstalledBaseline(
            "nequip",
            "3 layers, 32 features, l_max 1, both parities, cutoff 4.5 A, compiled by AOTInductor as by "
            "nequip-compile, in ase",
            "float32",
            RANDOM,
            ("torch==2.13.0", "nequip==0.19.1", "ase==3.29.0"),
            1400,
            elements=ORGANIC,
        ),
        InstalledBaseline(
            "ani",
            "ANI-2x, all 8 networks, in torchani's form for inference (to_infer_model, TorchScript), in ase",
            "float32",
            RANDOM,
            ("torch==2.13.0", "torchani==2.9.0", "ase==3.29.0"),
            1700,
            elements=("H", "C", "N", "O", "F", "S", "Cl"),
        ),
        InstalledBaseline(
            "esen",
            "the settings of esen-sm-conserving-all-omol (4 layers, l_max 2, 128 channels, cutoff 6 A, 6.3 million "
            "parameters) at fairchem-core's default inference settings, which compile, in ase",
            "float32",
            RANDOM,
            ("torch==2.13.0", "fairchem-core==2.24.0", "ase==3.29.0"),
            2500,
        ),
    )
}
