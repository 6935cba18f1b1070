"""torch-sim: a model file as its ModelInterface."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch_sim.models.interface import ModelInterface

from transip_md.common.errors import UsageError
from transip_md.data.electronic_state import agreed, whole_number
from transip_md.evaluators.choose import load_evaluator
from transip_md.evaluators.evaluation import Evaluation
from transip_md.evaluators.library_model import LibraryModel
from transip_md.symmetry.request import SymmetryRequest

if TYPE_CHECKING:
    from torch_sim.state import SimState


class _Batch(NamedTuple):
    """Systems of a state, where its tensors are.

    Attributes:
        numbers: atomic numbers, int64 [atoms].
        positions: Angstrom, float64 [atoms, 3].
        members: atoms of each system.
        cells: rows are cell vectors, Angstrom, float64 [systems, 3, 3].
        periodic: along each cell vector of all systems.
        charges: total charge of each system, e.
        multiplicities: spin multiplicity of each.
    """

    numbers: torch.Tensor
    positions: torch.Tensor
    members: list[torch.Tensor]
    cells: torch.Tensor
    periodic: tuple[bool, bool, bool]
    charges: list[int]
    multiplicities: list[int]

    @classmethod
    def of(cls, values: dict[str, Any], charge: int | None, multiplicity: int | None) -> _Batch:
        """The systems of a state's attributes, of a charge and multiplicity if those are asked for."""
        positions = values["positions"].detach().to(torch.float64)
        numbers = values["atomic_numbers"].to(torch.int64)
        cells = values["cell"].detach().to(torch.float64).reshape(-1, 3, 3).mT.contiguous()
        system = values.get("system_idx")
        if system is None or len(cells) == 1:
            members = [torch.arange(len(numbers), device=numbers.device)]
        else:
            members = [torch.nonzero(system == index).squeeze(1) for index in range(len(cells))]
        x, y, z = torch.as_tensor(values["pbc"]).expand(3).tolist()
        charges = _numbers(values, "charge", len(members), charge, 0)
        multiplicities = _numbers(values, "spin", len(members), multiplicity, 1)
        return cls(numbers, positions, members, cells, (bool(x), bool(y), bool(z)), charges, multiplicities)


def _numbers(values: dict[str, Any], name: str, systems: int, asked: int | None, default: int) -> list[int]:
    """What a caller asks for, else what the state has for each system, else a default.

    By torch-sim's version the state has it as attribute or extra; zeros stand for none.

    Raises:
        UsageError: a number that is not whole, or the caller asks for another than the state has.
    """
    found = values.get(name)
    if found is None:
        found = (values.get("_system_extras") or {}).get(name)
    stated = [0] * systems if found is None else torch.as_tensor(found).reshape(-1).expand(systems).tolist()
    numbers = []
    for index, value in enumerate(stated):
        where = f"System {index} (counted from 0)"
        numbers.append(agreed(name, asked, whole_number(value, name, where) or None, default, where))
    return numbers


class _Results(NamedTuple):
    """What a model gives for a batch: energies [systems], forces [atoms, 3] and virials [systems, 3, 3] in eV and A."""

    energies: torch.Tensor
    forces: torch.Tensor
    virials: torch.Tensor


class TransIPModel(ModelInterface):
    """Energies (eV), forces (eV/Angstrom) and stresses (eV/Angstrom^3) of a batch of systems.

    Native CUDA kernels evaluate a batch in one step of the device. Tensors that are on it they take as they are, by
    DLPack: of all systems of a model with a cutoff, or of one molecule of a model without. Several molecules of a model
    without a cutoff go there by way of the host; so do tensors that are elsewhere, all of a model under a symmetry, and
    what torch evaluates.

    Stress is -virial / volume, as in ase; models with a cutoff have it. A model without takes isolated molecules only.

    A state's own `charge` and `spin` (2S + 1, as fairchem has it; 0: not given) are those of its systems.
    """

    def __init__(
        self,
        model: Path | str,
        *,
        device: str = "auto",
        kernels: str = "auto",
        threads: int = 0,
        symmetry: str = "none",
        charge: int | None = None,
        multiplicity: int | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Load the model.

        Args:
            model: a file made by ``transip-md export``.
            device: "auto", "cpu", "cuda" or "cuda:N": where the model runs.
            kernels: "auto", "native" or "torch".
            threads: CPU threads of one evaluation; 0: OMP_NUM_THREADS, or all cores.
            symmetry: "none" or "average N"; see docs/symmetry.md.
            charge: total charge of every system, e; None: what the state has, else 0.
            multiplicity: spin multiplicity of every system; None: what the state has, else 1.
            dtype: of the states and results; the model itself takes float64 positions.

        Raises:
            UsageError: the file cannot be used, the model does not know the charge or multiplicity, another symmetry.
        """
        super().__init__()
        loaded = load_evaluator(model, device=device, kernels=kernels, threads=threads)
        loaded.check_reference()
        loaded.metadata.check_charge(charge or 0, 1 if multiplicity is None else multiplicity)
        request = SymmetryRequest.parse(symmetry)
        if request.mode not in ("none", "average"):
            raise UsageError(f"torch-sim's systems take symmetry none or average N; got {symmetry!r}.")
        self.metadata = loaded.metadata
        self.model = loaded.with_symmetry(request)
        self._symmetric = request.mode != "none"
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
            UsageError: elements, charges or multiplicities that the model does not know or that the caller asked for
                otherwise, a periodic state for an all-to-all model, values that are not finite.
        """
        values = state if isinstance(state, dict) else state.__dict__
        device, dtype = values["positions"].device, values["positions"].dtype
        batch = _Batch.of(values, self.charge, self.multiplicity)
        found = self._on_device(batch) if self._takes_tensors(batch) else self._on_host(batch)
        results = {"energy": found.energies, "forces": found.forces}
        if self.compute_stress:
            volumes = torch.linalg.det(batch.cells).abs()[:, None, None].to(found.virials.device)
            stress = -0.5 * (found.virials + found.virials.mT) / volumes
            results["stress"] = stress if all(batch.periodic) else torch.zeros_like(stress)
        return {name: tensor.to(device, dtype) for name, tensor in results.items()}

    def _takes_tensors(self, batch: _Batch) -> bool:
        """Whether the model evaluates the batch's tensors where they are, on its CUDA device."""
        if self._symmetric or not isinstance(self.model, LibraryModel) or not batch.positions.is_cuda:
            return False
        if len(set(zip(batch.charges, batch.multiplicities, strict=True))) > 1:
            return False
        return self.model.device == f"cuda:{batch.positions.device.index}" and (
            self.metadata.cutoff is not None or len(batch.members) == 1
        )

    def _on_device(self, batch: _Batch) -> _Results:
        """Evaluate tensors on the model's CUDA device, in one step."""
        stream = torch.cuda.current_stream(batch.positions.device).cuda_stream
        state = {"periodic": batch.periodic, "stream": stream}
        charge, multiplicity = batch.charges[0], batch.multiplicities[0]
        if len(batch.members) == 1:
            found = self.model.evaluate_on_device(
                batch.numbers, batch.positions, charge, multiplicity, cell=batch.cells[0], **state
            )
            energies = torch.from_dlpack(found.energies).sum(dim=0, keepdim=True)
            virials = torch.from_dlpack(found.virial)[None]
            return _Results(energies, torch.from_dlpack(found.forces), virials)
        # The atoms of a system need not follow one another in a state.
        order = torch.cat(batch.members)
        found = self.model.evaluate_many_on_device(
            [len(atoms) for atoms in batch.members], batch.numbers[order], batch.positions[order], charge,
            multiplicity, cells=batch.cells, **state,
        )  # fmt: skip
        forces = torch.zeros_like(batch.positions)
        forces[order] = torch.from_dlpack(found.forces)
        return _Results(torch.from_dlpack(found.structure_energies), forces, torch.from_dlpack(found.virial))

    def _on_host(self, batch: _Batch) -> _Results:
        """Evaluate copies on the host."""
        numbers, positions, cells = (one.cpu().numpy() for one in (batch.numbers, batch.positions, batch.cells))
        members, periodic = [atoms.cpu().numpy() for atoms in batch.members], np.array(batch.periodic)
        energies, forces, virials = np.zeros(len(cells)), np.zeros_like(positions), np.zeros_like(cells)
        evaluations = self._evaluate(
            [numbers[atoms] for atoms in members], [positions[atoms] for atoms in members], cells, periodic,
            batch.charges, batch.multiplicities,
        )  # fmt: skip
        for index, (atoms, found) in enumerate(zip(members, evaluations, strict=True)):
            energies[index], forces[atoms] = found.energies.sum(), found.forces
            virials[index] = 0.0 if found.virial is None else found.virial
        return _Results(*map(torch.from_numpy, (energies, forces, virials)))

    def _evaluate(
        self,
        numbers: list[np.ndarray],
        positions: list[np.ndarray],
        cells: np.ndarray,
        periodic: np.ndarray,
        charges: list[int],
        multiplicities: list[int],
    ) -> list[Evaluation]:
        """What the model gives for each system; cells [systems, 3, 3] have vectors as rows."""
        if isinstance(self.model, LibraryModel):
            return self.model.evaluate_many(numbers, positions, charges, multiplicities, cells=cells, periodic=periodic)
        return [
            self.model.evaluate(*one, cell=cell, periodic=periodic)
            for *one, cell in zip(numbers, positions, charges, multiplicities, cells, strict=True)
        ]
