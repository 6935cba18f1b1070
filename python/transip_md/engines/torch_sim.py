"""torch-sim: a model file as its ModelInterface."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch_sim.models.interface import ModelInterface

from transip_md.common.errors import UsageError
from transip_md.evaluators.choose import load_evaluator
from transip_md.evaluators.evaluation import Evaluation
from transip_md.evaluators.library_model import LibraryModel
from transip_md.symmetry.request import SymmetryRequest

if TYPE_CHECKING:
    from torch_sim.state import SimState


class TransIPModel(ModelInterface):
    """Energies (eV), forces (eV/Angstrom) and stresses (eV/Angstrom^3) of a batch of systems.

    Native CUDA kernels evaluate the molecules of a model without a cutoff in one step of the device; all else is
    evaluated one system after another.

    Stress is -virial / volume, as in ase; models with a cutoff have it. A model without takes isolated molecules only.
    """

    def __init__(
        self,
        model: Path | str,
        *,
        device: str = "auto",
        kernels: str = "auto",
        threads: int = 0,
        symmetry: str = "none",
        charge: int = 0,
        multiplicity: int = 1,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Load the model.

        Args:
            model: a file made by ``transip-md export``.
            device: "auto", "cpu", "cuda" or "cuda:N": where the model runs.
            kernels: "auto", "native" or "torch".
            threads: CPU threads of one evaluation; 0: OMP_NUM_THREADS, or all cores.
            symmetry: "none" or "average N"; see docs/symmetry.md.
            charge: total charge of every system, e.
            multiplicity: spin multiplicity of every system.
            dtype: of the states and results; the model itself takes float64 positions.

        Raises:
            UsageError: the file cannot be used, the model does not know the charge or multiplicity, another symmetry.
        """
        super().__init__()
        loaded = load_evaluator(model, device=device, kernels=kernels, threads=threads)
        loaded.check_reference()
        loaded.metadata.check_charge(charge, multiplicity)
        request = SymmetryRequest.parse(symmetry)
        if request.mode not in ("none", "average"):
            raise UsageError(f"torch-sim's systems take symmetry none or average N; got {symmetry!r}.")
        self.metadata = loaded.metadata
        self.model = loaded.with_symmetry(request)
        self.charge, self.multiplicity = charge, multiplicity
        self._device = torch.device("cpu" if device == "auto" else device)
        self._dtype = dtype
        self._compute_forces = True
        self._compute_stress = loaded.metadata.cutoff is not None and loaded.metadata.conservative
        self._memory_scales_with = "n_atoms"

    def forward(self, state: SimState | dict[str, Any], **kwargs: Any) -> dict[str, torch.Tensor]:
        """Evaluate all systems of a state.

        Args:
            state: torch-sim's, or a dictionary of its attributes. Lengths in Angstrom; `cell` has vectors as columns.
            **kwargs: not looked at.

        Returns:
            "energy" [systems], "forces" [atoms, 3] and, of models with a cutoff, "stress" [systems, 3, 3]; zeros for
            systems without a box.

        Raises:
            UsageError: elements that the model does not know, a periodic state for an all-to-all model, values that are
                not finite.
        """
        values = state if isinstance(state, dict) else state.__dict__
        device, dtype = values["positions"].device, values["positions"].dtype
        positions = values["positions"].detach().to("cpu", torch.float64).numpy()
        numbers = values["atomic_numbers"].cpu().numpy()
        given = values.get("system_idx")
        system = np.zeros(len(numbers), dtype=int) if given is None else given.cpu().numpy()
        cells = values["cell"].detach().to("cpu", torch.float64).numpy().reshape(-1, 3, 3).swapaxes(1, 2)
        periodic = np.broadcast_to(np.asarray(torch.as_tensor(values["pbc"]).cpu()), 3).astype(bool)
        energy, forces, stress = np.zeros(len(cells)), np.zeros_like(positions), np.zeros((len(cells), 3, 3))
        members = [np.flatnonzero(system == index) for index in range(len(cells))]
        evaluations = self._evaluate(
            [numbers[atoms] for atoms in members], [positions[atoms] for atoms in members], cells, periodic
        )
        for index, (atoms, found) in enumerate(zip(members, evaluations, strict=True)):
            energy[index], forces[atoms] = found.energies.sum(), found.forces
            if self.compute_stress and periodic.all() and found.virial is not None:
                stress[index] = -0.5 * (found.virial + found.virial.T) / abs(np.linalg.det(cells[index]))
        results = {"energy": energy, "forces": forces} | ({"stress": stress} if self.compute_stress else {})
        return {name: torch.from_numpy(array).to(device, dtype) for name, array in results.items()}

    def _evaluate(
        self, numbers: list[np.ndarray], positions: list[np.ndarray], cells: np.ndarray, periodic: np.ndarray
    ) -> list[Evaluation]:
        """What the model gives for each system; cells [systems, 3, 3] have vectors as rows."""
        state = (self.charge, self.multiplicity)
        if isinstance(self.model, LibraryModel):
            return self.model.evaluate_many(numbers, positions, *state, cells=cells, periodic=periodic)
        return [
            self.model.evaluate(*one, *state, cell=cell, periodic=periodic)
            for *one, cell in zip(numbers, positions, cells, strict=True)
        ]
