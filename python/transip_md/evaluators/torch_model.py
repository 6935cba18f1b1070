"""A model file evaluated by torch in Python: the reference for every engine."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.jit import optimized_execution  # type: ignore[attr-defined]

from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.common.trusted_paths import why_untrusted
from transip_md.data.neighbours import Neighbourhood, find_neighbours
from transip_md.evaluators.compiled import CompiledForward, check_machine, device_of
from transip_md.evaluators.evaluation import Evaluation, check_distances, check_isolated, check_same_file, checked
from transip_md.evaluators.symmetrised import SymmetrisedForward, SymmetrisedModel
from transip_md.modelfile.archive import Archive
from transip_md.modelfile.committee_file import read_model
from transip_md.modelfile.guard import load_script
from transip_md.modelfile.metadata import METADATA_NAME, REFERENCE_NAME, Metadata, form_of, metadata_of
from transip_md.modelfile.reference import Numbers, compare, parse_reference
from transip_md.modelfile.shapes import check_shapes
from transip_md.modelfile.strict_json import MOST_JSON
from transip_md.modelfile.weights import check_weights

if TYPE_CHECKING:
    from transip_md.symmetry.request import SymmetryRequest


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


class ScriptedForward:
    """The forward of a TorchScript file.

    Attributes:
        module: the file's module.
    """

    def __init__(self, content: bytes, path: Path | str, device: torch.device) -> None:
        """Load it.

        Args:
            content: of the file.
            path: named in errors.
            device: for the weights.

        Raises:
            UsageError: torch cannot load it, or it is refused, see `transip_md.modelfile.guard`.
        """
        try:
            with torchscript_on_purpose():
                self.module = load_script(content, path, device)
        except RuntimeError as error:
            raise UsageError(
                f"{path} has a {METADATA_NAME}, but torch {torch.__version__} cannot load its TorchScript: {error}"
            ) from error

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies of tokens and forces on rows."""
        # Graph optimisation would specialise anew on every new number of atoms, at the cost of hundreds of steps; for
        # models of this size plain execution is as fast.
        with torch.enable_grad(), optimized_execution(False):
            return self.module(*inputs)

    def average(
        self, inputs: tuple[torch.Tensor, ...], rotations: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same averaged over rotations, [N, 3, 3], with weights, [N]."""
        with torch.enable_grad(), optimized_execution(False):
            return self.module.forward_average(*inputs, rotations, weights)

    def frame(
        self, inputs: tuple[torch.Tensor, ...], masses: torch.Tensor, reference: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same in the frame of a reference structure, both from `Symmetry.make_frame`."""
        with torch.enable_grad(), optimized_execution(False):
            return self.module.forward_frame(*inputs, masses, reference)


def check_apart(positions: np.ndarray, neighbourhood: Neighbourhood) -> None:
    """Raise UsageError if two atoms, or an atom and an image, are at one position, where a network may give a number.

    Args:
        positions: Angstrom, [N, 3].
        neighbourhood: of the structure.
    """
    rows = neighbourhood.rows(positions)
    order = np.lexsort(rows.T)
    same = np.flatnonzero((rows[order[1:]] == rows[order[:-1]]).all(axis=1))
    if len(same):
        first, second = sorted(neighbourhood.owner[order[same[0] : same[0] + 2]].tolist())
        raise UsageError(
            f"Atoms {first} and {second} (counted from 0) are at one position, so that a force is not finite (NaN or "
            "infinity). Move one of them."
        )


def neighbourhood_of(
    metadata: Metadata, positions: np.ndarray, cell: np.ndarray, periodic: np.ndarray
) -> Neighbourhood:
    """Rows and neighbours that a model wants: within its cutoff, or none at all for all-to-all attention.

    Args:
        metadata: of the model.
        positions: float64 [N, 3], Angstrom.
        cell: float64 [3, 3], rows are cell vectors, Angstrom.
        periodic: bool [3].

    Raises:
        UsageError: a periodic structure with an all-to-all model, or a periodic axis without volume.
    """
    if metadata.cutoff is not None:
        return find_neighbours(positions, cell, periodic, metadata.cutoff)
    check_isolated(periodic)
    count = len(positions)
    return Neighbourhood(np.arange(count), np.zeros((count, 3)), np.empty((count, 0), dtype=np.int64))


def inputs_of(
    numbers: np.ndarray, positions: np.ndarray, neighbourhood: Neighbourhood, charge: int, multiplicity: int
) -> tuple[torch.Tensor, ...]:
    """The tensors of the forward that every engine calls; docs/conventions.md has them."""
    return (
        torch.from_numpy(np.asarray(numbers, dtype=np.int64)),
        torch.from_numpy(neighbourhood.rows(positions)),
        torch.from_numpy(neighbourhood.owner),
        torch.ones(len(numbers), dtype=torch.bool),
        torch.from_numpy(neighbourhood.neighbours),
        torch.tensor(charge),
        torch.tensor(multiplicity),
    )


def _load_again(path: Path, device: str, sha256: str) -> ExportedModel:
    """Load the file of a pickled model. Raises UsageError: it is another file now."""
    found = ExportedModel(path, device)
    check_same_file(found, sha256)
    return found


class ExportedModel:
    """A loaded model file.

    Attributes:
        path: the file.
        metadata: of the file.
        forward: what runs.
        device: where the weights are.
        compiled: the file holds compiled code, not TorchScript.
        sha256: of the file.
        reference: the structure that it brings with the numbers that it gave where it was exported; None: it has none.
    """

    def __init__(self, path: Path | str, device: str = "auto") -> None:
        """Load a file made by ``transip-md export``.

        Args:
            path: the file.
            device: "auto", "cpu", "cuda" or "cuda:N".

        Raises:
            UsageError: the file cannot be used, see `transip_md.modelfile.metadata.read_metadata`, or was compiled for
                another device.
            EnvironmentFaultError: the device does not exist, or the file was compiled for another CPU or torch.
        """
        self.path = Path(path)
        # What is checked is what is loaded, even if the file changes meanwhile.
        content = read_model(self.path)
        archive = Archive(self.path, content)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.metadata = metadata_of(archive)
        check_weights(archive, self.metadata)
        check_shapes(self.metadata, path)
        name = f"extra/{REFERENCE_NAME}"
        self.reference = (
            parse_reference(archive.read(name, MOST_JSON), self.metadata, path) if name in archive else None
        )
        self.compiled = form_of(archive) == "compiled"
        self.forward: ScriptedForward | CompiledForward
        if self.compiled:
            if reason := why_untrusted(self.path):
                raise EnvironmentFaultError(f"{path} holds machine code, and {reason}")
            archive.check_contents()
            check_machine(self.metadata, path)
            self.device = choose_device(device_of(self.metadata, device, path))
            self.forward = CompiledForward(path, self.device, local=self.metadata.cutoff is not None)
        else:
            self.device = choose_device(device)
            self.forward = ScriptedForward(content, path, self.device)

    def __reduce__(self) -> tuple[Any, ...]:
        """A loaded model travels to another process as its path, its hash and its device."""
        return _load_again, (self.path.resolve(), str(self.device), self.sha256)

    def __deepcopy__(self, memo: dict[int, Any]) -> ExportedModel:
        return self

    @property
    def runs_by(self) -> str:
        """What evaluates it, "TorchScript" or "compiled code"."""
        return "compiled code" if self.compiled else "TorchScript"

    def with_symmetry(
        self, request: SymmetryRequest, numbers: np.ndarray | None = None, reference: np.ndarray | None = None
    ) -> SymmetrisedModel:
        """The model under a symmetry.

        Args:
            request: what is asked for.
            numbers: atomic numbers of the frame's reference structure, [N].
            reference: its positions, Angstrom, [N, 3].

        Raises:
            UsageError: the file does not offer it, or the reference has no frame.
        """
        return SymmetrisedModel(self, SymmetrisedForward(self, request, numbers, reference))

    @property
    def scripted(self) -> torch.jit.ScriptModule | None:
        """The module of a TorchScript file; None for compiled code."""
        return self.forward.module if isinstance(self.forward, ScriptedForward) else None

    @property
    def symmetry_module(self) -> torch.jit.ScriptModule:
        """The file's `transip_md.symmetry.module.Symmetry`, if its metadata offers a symmetry."""
        return self.forward.module.symmetry if isinstance(self.forward, ScriptedForward) else self.forward.symmetry

    @property
    def embeds(self) -> bool:
        """Whether the network inside can be asked for its latent embedding."""
        network = getattr(self.scripted, "model", None)
        return hasattr(network, "encode") or hasattr(network, "encode_local")

    def neighbourhood(self, positions: np.ndarray, cell: np.ndarray, periodic: np.ndarray) -> Neighbourhood:
        """See `neighbourhood_of`."""
        return neighbourhood_of(self.metadata, positions, cell, periodic)

    def inputs(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        neighbourhood: Neighbourhood,
        charge: int,
        multiplicity: int,
    ) -> tuple[torch.Tensor, ...]:
        """The tensors of the forward that every engine calls, on the model's device; docs/conventions.md has them."""
        tensors = inputs_of(numbers, positions, neighbourhood, charge, multiplicity)
        return tuple(tensor.to(self.device) for tensor in tensors)

    def check_reference(self) -> bool:
        """Evaluate the structure that the file brings, in all its states, and compare.

        Returns:
            False if the file brings none.

        Raises:
            CheckFailedError: the numbers differ by more than their precision explains.
        """
        if self.reference is None:
            return False
        species, owner = np.array(self.reference.species), np.array(self.reference.owner)
        positions = np.array(self.reference.positions).reshape(-1, 3)
        neighbours = np.array(self.reference.neighbours, dtype=np.int64).reshape(len(species), -1)
        flat = (species, positions, owner, np.ones(len(species), dtype=bool), neighbours)
        arrays = [torch.from_numpy(array).to(self.device) for array in flat]
        for state in self.reference.states:
            numbers = (torch.tensor(value, device=self.device) for value in (state.charge, state.multiplicity))
            energies, forces = (output.cpu().numpy() for output in self.run((*arrays, *numbers)))
            compare(state, Numbers(float(energies.sum()), forces), self.metadata.dtype, self.path)
        return True

    def run(self, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies of tokens [T] and forces on rows [I, 3]; see `inputs`."""
        return self.forward(*inputs)

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
        symmetry: SymmetrisedForward | None = None,
    ) -> Evaluation:
        """Energies, forces and virial of one structure.

        Args:
            numbers: atomic numbers, [N].
            positions: Angstrom, [N, 3].
            charge: total charge, e.
            multiplicity: spin multiplicity.
            cell: rows are cell vectors, [3, 3], Angstrom; needed along periodic axes.
            periodic: bool [3]; None for an isolated structure.
            virials: of the atoms; torch has none.
            distances: ask for distances from the training set, which are one more evaluation; of the structure as it
                stands, whatever the symmetry.
            symmetry: None: the model as it is.

        Returns:
            The evaluation.

        Raises:
            UsageError: an element, charge or multiplicity that the model does not know, positions of a wrong shape or
                not finite, a periodic structure for an all-to-all model or one without a cell, a frame that is not
                determined, distances of a file without a sample, or a model that answers with energies or forces that
                are not finite.
        """
        if distances:
            check_distances(self)
        if virials:
            raise UsageError(
                f"Virials of single atoms are made by native kernels, and {self.path} is evaluated by {self.runs_by}. "
                "Use kernels native, or the virial of the whole."
            )
        numbers, positions, cell, periodic = checked(
            self.metadata, numbers, positions, charge, multiplicity, cell, periodic
        )
        neighbourhood = self.neighbourhood(positions, cell, periodic)
        check_apart(positions, neighbourhood)
        inputs = self.inputs(numbers, positions, neighbourhood, charge, multiplicity)
        run = self.run if symmetry is None else symmetry.run
        energies, row_forces = (output.cpu().numpy() for output in run(inputs))
        if not (np.isfinite(energies).all() and np.isfinite(row_forces).all()):
            raise UsageError(
                "The model gave an energy or a force that is not finite (NaN or infinity). Look for atoms on top of "
                "each other."
            )
        forces = np.zeros_like(positions)
        np.add.at(forces, neighbourhood.owner, row_forces)
        virial = neighbourhood.rows(positions).T @ row_forces if self.metadata.conservative else None
        return Evaluation(energies, forces, virial, distances=self._measured(inputs) if distances else None)

    def distances(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        charge: int = 0,
        multiplicity: int = 1,
        *,
        cell: np.ndarray | None = None,
        periodic: np.ndarray | None = None,
    ) -> np.ndarray:
        """How far each atom is from the training set, float64 [N]; see `transip_md.evaluators.evaluation.Model`."""
        check_distances(self)
        atoms = checked(self.metadata, numbers, positions, charge, multiplicity, cell, periodic)
        neighbourhood = self.neighbourhood(atoms.positions, atoms.cell, atoms.periodic)
        check_apart(atoms.positions, neighbourhood)
        return self._measured(self.inputs(atoms.numbers, atoms.positions, neighbourhood, charge, multiplicity))

    def _measured(self, inputs: tuple[torch.Tensor, ...]) -> np.ndarray:
        """Distances of the atoms, [N], of a file that has a sample."""
        assert self.scripted is not None
        with torch.no_grad(), optimized_execution(False):
            return self.scripted.distances(*inputs).cpu().numpy()
