"""A symmetry that was asked for, made ready for one model file and one structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from transip_md.common.errors import UsageError
from transip_md.symmetry.numbered import numbered_rotation
from transip_md.symmetry.request import SymmetryRequest

if TYPE_CHECKING:
    from transip_md.evaluators.evaluation import Evaluation
    from transip_md.evaluators.torch_model import ExportedModel


def essence(error: Exception) -> str:
    """The line of an error from inside TorchScript that a user needs."""
    return str(error).strip().splitlines()[-1].removeprefix("builtins.").removeprefix("RuntimeError: ")


class SymmetrisedForward:
    """Runs a model file's forward with a symmetry.

    Attributes:
        request: what was asked for.
        step: random rotations are numbered by it; counts evaluations unless it is set before each.
    """

    def __init__(
        self,
        exported: ExportedModel,
        request: SymmetryRequest,
        numbers: np.ndarray | None = None,
        reference: np.ndarray | None = None,
    ) -> None:
        """Make it ready.

        Args:
            exported: the model.
            request: what is asked for.
            numbers: atomic numbers of the frame's reference structure, [N].
            reference: its positions, Angstrom, [N, 3].

        Raises:
            UsageError: the file does not offer it, no such number of rotations, or a reference that has no frame.
        """
        request.check_offered(exported.metadata.symmetry, exported.path)
        self.request = request
        self.step = 0
        self._exported = exported
        self._numbers = numbers
        try:
            if request.mode == "average":
                self._tables = exported.symmetry_module.rotation_set(request.count, request.inversion)
            elif request.mode == "frame":
                self._tables = exported.symmetry_module.make_frame(
                    torch.as_tensor(np.asarray(numbers, dtype=np.int64), device=exported.device),
                    torch.as_tensor(np.array(reference, dtype=np.float64), device=exported.device),
                )
        except (RuntimeError, torch.jit.Error) as error:
            raise UsageError(f"{essence(error)}.") from error

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickle; those of earlier versions have another name for the tables."""
        if "_turns" in state:
            state["_tables"] = state.pop("_turns")
        self.__dict__.update(state)

    def run(self, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies of tokens [T] and forces on rows [I, 3], as `transip_md.evaluators.torch_model.ExportedModel.run`.

        Raises:
            UsageError: the frame is not determined, or the atoms are not those of the reference.
        """
        forward, mode, step = self._exported.forward, self.request.mode, self.step
        self.step += 1
        if mode == "none":
            return forward(*inputs)
        if mode == "random":
            rotation = torch.as_tensor(numbered_rotation(self.request.seed, step)[None], device=inputs[1].device)
            return forward.average(inputs, rotation, torch.ones_like(rotation[:, 0, 0]))
        if mode == "average":
            return forward.average(inputs, *self._tables)
        assert self._numbers is not None
        if not np.array_equal(inputs[0].cpu().numpy(), self._numbers):
            raise UsageError(
                f"symmetry frame: the atoms are not those of the reference structure, which has {len(self._numbers)}; "
                f"got {len(inputs[0])}, or other elements. Give a reference with the same atoms in the same order."
            )
        try:
            return forward.frame(inputs, *self._tables)
        except (RuntimeError, torch.jit.Error) as error:
            raise UsageError(f"{essence(error)}.") from error


#: The name in pickles of earlier versions.
Turning = SymmetrisedForward


class SymmetrisedModel:
    """A model that torch evaluates, under a symmetry; see `transip_md.evaluators.evaluation.Symmetrised`."""

    def __init__(self, exported: ExportedModel, forward: SymmetrisedForward) -> None:
        self.exported = exported
        self.forward = forward

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickle; those of earlier versions have another name for the forward."""
        if "turning" in state:
            state["forward"] = state.pop("turning")
        self.__dict__.update(state)

    @property
    def step(self) -> int:
        """Number of the next evaluation, by which random rotations go."""
        return self.forward.step

    @step.setter
    def step(self, step: int) -> None:
        self.forward.step = step

    def evaluate(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        charge: int = 0,
        multiplicity: int = 1,
        *,
        cell: np.ndarray | None = None,
        periodic: np.ndarray | None = None,
        virials: bool = False,
        distances: bool = False,
    ) -> Evaluation:
        """Energies, forces and virial; see `transip_md.evaluators.torch_model.ExportedModel.evaluate`."""
        return self.exported.evaluate(
            numbers,
            positions,
            charge,
            multiplicity,
            cell=cell,
            periodic=periodic,
            virials=virials,
            distances=distances,
            symmetry=self.forward,
        )
