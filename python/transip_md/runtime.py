"""A model file in Python: load it and evaluate molecules. The Python reference for every engine."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from transip_md.errors import EnvironmentFaultError, UsageError
from transip_md.metadata import read_metadata


def choose_device(device: str) -> torch.device:
    """Turn "auto", "cpu", "cuda" or "cuda:N" into a device.

    Raises:
        UsageError: no such kind of device.
        EnvironmentFaultError: CUDA was asked for and there is none, or no device of that index.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}.") from error
    if chosen.type not in ("cpu", "cuda"):
        raise UsageError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}.")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise EnvironmentFaultError(
            f"device {device!r} was asked for, but torch {torch.__version__} sees {torch.cuda.device_count()} CUDA "
            "devices. Type `device cpu`, or install a CUDA build of torch."
        )
    return chosen


@contextlib.contextmanager
def torchscript_on_purpose() -> Iterator[None]:
    """Keep torch from warning that TorchScript is deprecated: the file format is chosen, and users cannot change it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.\w+` is deprecated")
        yield


class ExportedModel:
    """A loaded model file.

    Attributes:
        metadata: what the file says of itself.
        device: where the weights are.
    """

    def __init__(self, path: Path | str, device: str = "auto") -> None:
        """Load a file made by ``transip-md export``.

        Args:
            path: the file.
            device: "auto", "cpu", "cuda" or "cuda:N".

        Raises:
            UsageError: the file cannot be used, see `transip_md.metadata.read_metadata`.
            EnvironmentFaultError: the device does not exist.
        """
        self.metadata = read_metadata(path)
        if self.metadata.cutoff is not None:
            raise UsageError(
                f"{path} is a local model (cutoff {self.metadata.cutoff} Angstrom); this version evaluates all-to-all "
                "models."
            )
        self.device = choose_device(device)
        try:
            with torchscript_on_purpose():
                self._module = torch.jit.load(str(path), map_location=self.device)
        except RuntimeError as error:
            raise UsageError(
                f"{path} has a {self.metadata.format}-format header, but torch {torch.__version__} cannot load its "
                f"TorchScript: {error}"
            ) from error

    def check_isolated(self, periodic: np.ndarray) -> None:
        """Raise UsageError for a structure that is periodic along any of its axes, bool [3]."""
        if np.any(periodic):
            raise UsageError(
                "The structure is periodic, and this model attends all-to-all: it describes isolated molecules only. "
                "Type `atoms.pbc = False`, or use a model with a cutoff."
            )

    def evaluate(
        self, numbers: np.ndarray, positions: np.ndarray, charge: int = 0, multiplicity: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Energies and forces of an isolated molecule.

        Args:
            numbers: atomic numbers, [N].
            positions: Angstrom, [N, 3].
            charge: total charge, e.
            multiplicity: spin multiplicity.

        Returns:
            Energy of each atom, float64 [N], eV, and forces, float64 [N, 3], eV/Angstrom.

        Raises:
            UsageError: an element, charge or multiplicity that the model does not know, positions of a wrong shape or
                not finite, or a model that answers with energies or forces that are not finite.
        """
        numbers = np.asarray(numbers, dtype=np.int64)
        positions = np.asarray(positions, dtype=np.float64)
        self.metadata.check_species(numbers)
        self.metadata.check_charge(charge, multiplicity)
        if positions.shape != (len(numbers), 3):
            raise UsageError(f"positions must be [{len(numbers)}, 3], got {list(positions.shape)}.")
        if not np.isfinite(positions).all():
            raise UsageError("positions hold values that are not finite (NaN or infinity).")
        count = len(numbers)
        # Graph optimisation would specialise anew on every new number of atoms, at the cost of hundreds of steps; for
        # models of this size plain execution is as fast.
        with torch.enable_grad(), torch.jit.optimized_execution(False):
            energies, forces = self._module(
                torch.from_numpy(numbers).to(self.device),
                torch.from_numpy(positions).to(self.device),
                torch.arange(count, device=self.device),
                torch.ones(count, dtype=torch.bool, device=self.device),
                torch.empty((count, 0), dtype=torch.int64, device=self.device),
                torch.tensor(charge, device=self.device),
                torch.tensor(multiplicity, device=self.device),
            )
        energies, forces = energies.cpu().numpy(), forces.cpu().numpy()
        if not (np.isfinite(energies).all() and np.isfinite(forces).all()):
            raise UsageError(
                "The model gave an energy or a force that is not finite (NaN or infinity). Look for atoms on top of "
                "each other."
            )
        return energies, forces
