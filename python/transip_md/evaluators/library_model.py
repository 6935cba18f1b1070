"""A model file evaluated by libtransip: the project's own kernels, without torch, ASE or OpenMM."""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from transip_md.common.errors import UsageError
from transip_md.evaluators import binding
from transip_md.evaluators.evaluation import Evaluation, Structure, check_distances, check_same_file, checked
from transip_md.modelfile.archive import Archive
from transip_md.modelfile.committee_file import read_model
from transip_md.modelfile.metadata import Metadata, metadata_of
from transip_md.symmetry.request import SymmetryRequest


def _load_again(path: Path, threads: int, sha256: str, device: str = "cpu") -> LibraryModel:
    """Load the file of a pickled model. Raises UsageError: it is another file now."""
    found = LibraryModel(path, threads, device)
    check_same_file(found, sha256)
    return found


def default_threads() -> int:
    """The value of the environment variable OMP_NUM_THREADS, or the number of cores that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else len(os.sched_getaffinity(0))


class _Handle:
    """A transip_model, given back when nobody needs it; one evaluation at a time."""

    def __init__(self, path: Path, threads: int, device: str) -> None:
        self._library = binding.library()
        self.pointer = ctypes.c_void_p()
        self.lock = threading.Lock()
        options = binding.Options(device.encode(), b"native", threads or default_threads(), 1)
        binding.check(self._library.transip_load(str(path).encode(), ctypes.byref(options), ctypes.byref(self.pointer)))

    def __del__(self) -> None:
        if getattr(self, "pointer", None):
            self._library.transip_free(self.pointer)


class LibraryModel:
    """A loaded model file, on the CPU or a CUDA device; as it is, without a symmetry.

    Attributes:
        path: the file.
        metadata: of the file.
        sha256: of the file.
        threads: CPU threads of one evaluation; 0: see `default_threads`.
        step: of no use without random rotations.
    """

    def __init__(self, path: Path | str, threads: int = 0, device: str = "cpu") -> None:
        """Load a TorchScript file made by ``transip-md export``.

        Args:
            path: the file.
            threads: CPU threads of one evaluation; the numbers do not depend on it. 0: see `default_threads`.
            device: "cpu", "cuda" or "cuda:N"; without a driver a warning reports that the CPU evaluates.

        Raises:
            UsageError: the file cannot be used, there are no native kernels for it, or no such device.
            EnvironmentFaultError: libtransip is not built.
        """
        self.path = Path(path)
        content = read_model(self.path)
        self.metadata: Metadata = metadata_of(Archive(self.path, content))
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.threads = threads
        self.step = 0
        self._asked_device = device
        self._handle = _Handle(self.path, threads, device)
        if notice := binding.library().transip_notice(self._handle.pointer).decode():
            warnings.warn(notice, stacklevel=2)

    def __reduce__(self) -> tuple[Any, ...]:
        """A loaded model travels to another process as its path, its hash, its threads and the device asked for."""
        return _load_again, (self.path.resolve(), self.threads, self.sha256, self._asked_device)

    def __deepcopy__(self, memo: dict[int, Any]) -> LibraryModel:
        return self

    @property
    def device(self) -> str:
        """Where it runs, "cpu" or "cuda:N"."""
        return binding.library().transip_device(self._handle.pointer).decode()

    @property
    def runs_by(self) -> str:
        """What evaluates it, such as "native kernels (avx2)"."""
        return binding.library().transip_runs_by(self._handle.pointer).decode()

    def check_reference(self) -> bool:
        """Compare the structure that the file brings with the numbers that it gave where it was exported.

        Returns:
            False if the file brings none.

        Raises:
            CheckFailedError: the numbers differ by more than their precision explains.
        """
        compared = ctypes.c_int()
        with self._handle.lock:
            status = binding.library().transip_check_reference(self._handle.pointer, ctypes.byref(compared))
        binding.check(status)
        return bool(compared.value)

    def with_symmetry(
        self, request: SymmetryRequest, numbers: np.ndarray | None = None, reference: np.ndarray | None = None
    ) -> LibraryModel:
        """The model under a symmetry; this object if there is none.

        Args:
            request: what is asked for.
            numbers: atomic numbers of the frame's reference structure, [N].
            reference: its positions, Angstrom, [N, 3].

        Raises:
            UsageError: the file does not offer it, or the reference has no frame.
        """
        request.check_offered(self.metadata.symmetry, self.path)
        if request.mode == "none":
            return self
        found = _load_again(self.path, self.threads, self.sha256, self._asked_device)
        library, pointer = binding.library(), found._handle.pointer
        binding.check(library.transip_set_symmetry(pointer, request.text.encode()))
        if request.mode == "frame":
            species = np.ascontiguousarray(numbers, dtype=np.int64)
            positions = np.ascontiguousarray(reference, dtype=np.float64)
            if positions.shape != (len(species), 3):
                raise UsageError(f"reference must be [{len(species)}, 3], got {list(positions.shape)}.")
            binding.check(
                library.transip_set_reference(pointer, len(species), species.ctypes.data, positions.ctypes.data)
            )
        return found

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
    ) -> Evaluation:
        """Energies, forces and virial of one structure.

        Args:
            numbers: atomic numbers, [N].
            positions: Angstrom, [N, 3].
            charge: total charge, e.
            multiplicity: spin multiplicity.
            cell: rows are cell vectors, [3, 3], Angstrom; needed along periodic axes.
            periodic: bool [3]; None for an isolated structure.
            virials: ask for virials of the atoms, which costs more.

        Returns:
            The evaluation.

        Raises:
            UsageError: an element, charge or multiplicity that the model does not know, positions of a wrong shape or
                not finite, a periodic structure for an all-to-all model or one without a cell, a frame that is not
                determined, atoms at one position.
        """
        atoms = checked(self.metadata, numbers, positions, charge, multiplicity, cell, periodic)
        count = len(atoms.numbers)
        energies, forces, virial = np.empty(count), np.empty((count, 3)), np.empty((3, 3))
        structure = self._structure(atoms, charge, multiplicity)
        of_atoms = np.empty((count, 3, 3)) if virials else None
        result = binding.Result(
            None,
            energies.ctypes.data,
            forces.ctypes.data,
            virial.ctypes.data,
            None if of_atoms is None else of_atoms.ctypes.data,
        )
        with self._handle.lock:
            status = binding.library().transip_evaluate(
                self._handle.pointer, ctypes.byref(structure), ctypes.byref(result)
            )
            self.step += 1
        binding.check(status)
        return Evaluation(energies, forces, virial, of_atoms)

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
        """How far each atom is from the training set, float64 [N]; see `Model.distances`."""
        check_distances(self)
        atoms = checked(self.metadata, numbers, positions, charge, multiplicity, cell, periodic)
        found = np.empty(len(atoms.numbers))
        structure = self._structure(atoms, charge, multiplicity)
        with self._handle.lock:
            status = binding.library().transip_distances(
                self._handle.pointer, ctypes.byref(structure), found.ctypes.data
            )
        binding.check(status)
        return found

    def _structure(self, atoms: Structure, charge: int, multiplicity: int) -> binding.Atoms:
        """The struct of a structure, whose arrays must live as long as it."""
        return binding.Atoms(
            len(atoms.numbers),
            atoms.numbers.ctypes.data,
            atoms.positions.ctypes.data,
            atoms.cell.ctypes.data,
            (ctypes.c_int * 3)(*atoms.periodic.tolist()),
            charge,
            multiplicity,
            self.step,
        )
