"""What `create_force` asks of a backend, with the input checked."""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transip_md.common.errors import UsageError
from transip_md.modelfile.metadata import Metadata
from transip_md.symmetry.request import SymmetryRequest

if TYPE_CHECKING:
    import openmm.app

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class ForceRequest:
    """A force that some backend shall make.

    Attributes:
        model: the model file, an absolute path.
        metadata: of the file.
        particles: indices in the System of the particles that the model describes.
        numbers: their atomic numbers.
        everything: they are all particles that the caller named.
        bonds: pairs of indices in the System of particles that belong to one molecule.
        charge: total charge, e.
        multiplicity: spin multiplicity.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threads: CPU threads of one evaluation; 0: of native kernels all cores, of torch its own setting.
        periodic: the particles see each other through the periodic box.
        among_images: they are a molecule among others in a periodic box, whose images the model does not see.
        symmetry: what is asked of the model's symmetry.
        reference: positions of the particles in the structure that the frame superposes on, nm; empty without a frame.
    """

    model: Path
    metadata: Metadata
    particles: tuple[int, ...]
    numbers: tuple[int, ...]
    everything: bool
    bonds: tuple[tuple[int, int], ...]
    charge: int
    multiplicity: int
    device: str
    threads: int
    periodic: bool
    among_images: bool
    symmetry: SymmetryRequest
    reference: tuple[tuple[float, float, float], ...]

    def sha256(self) -> str:
        """Of the model file's contents, in hexadecimal digits."""
        return sha256_of(self.model)


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file's contents, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def particles_and_numbers(
    topology_or_numbers: openmm.app.Topology | Sequence[int], particles: Sequence[int] | None
) -> tuple[list[int], list[int]]:
    """Indices of the particles that a model describes, all if None, and their atomic numbers.

    Raises:
        UsageError: neither a topology nor numbers, no particles at all, one that is not there, one that comes twice, or
            one without an element.
    """
    if not hasattr(topology_or_numbers, "atoms"):
        try:
            numbers = [operator.index(number) for number in topology_or_numbers]
        except TypeError as error:
            raise UsageError(
                "Give an OpenMM Topology, such as pdb.topology, or a list with the atomic number of every particle of "
                f"the System; got {type(topology_or_numbers).__name__}: {error}."
            ) from error
        chosen = _chosen(particles, len(numbers))
        return chosen, [numbers[index] for index in chosen]
    atoms = list(topology_or_numbers.atoms())
    chosen = _chosen(particles, len(atoms))
    for index in chosen:
        if atoms[index].element is None:
            raise UsageError(
                f"Atom {index} ({atoms[index].name}) of the topology has no element; a TransIP model needs one for "
                "every particle that it describes. Give a list of atomic numbers instead of the topology, or leave the "
                "atom out of `particles`."
            )
    return chosen, [atoms[index].element.atomic_number for index in chosen]


def particle_count(topology_or_numbers: openmm.app.Topology | Sequence[int]) -> int:
    """Number of all particles."""
    return topology_or_numbers.getNumAtoms() if hasattr(topology_or_numbers, "atoms") else len(topology_or_numbers)


def _chosen(particles: Sequence[int] | None, count: int) -> list[int]:
    try:
        chosen = list(range(count)) if particles is None else [operator.index(index) for index in particles]
    except TypeError as error:
        raise UsageError(f"particles must be a list of indices of particles: {error}.") from error
    if not chosen:
        raise UsageError("The force has no particles. Give a topology with atoms, and `particles` that are in it.")
    for index in chosen:
        if not 0 <= index < count:
            raise UsageError(f"particles holds index {index}, but there are {count} particles.")
    if len(set(chosen)) != len(chosen):
        twice = next(index for index in chosen if chosen.count(index) > 1)
        raise UsageError(f"particles holds index {twice} twice.")
    return chosen


def molecule_bonds(
    topology_or_numbers: openmm.app.Topology | Sequence[int], chosen: Sequence[int], *, all_to_all: bool
) -> list[tuple[int, int]]:
    """Pairs of particles that belong to one molecule, which barostats move as a whole.

    All particles of an all-to-all model are one molecule: no image of them is ever seen. Of a model with a cutoff the
    topology knows the molecules.
    """
    if all_to_all:
        return list(itertools.pairwise(chosen))
    if not hasattr(topology_or_numbers, "bonds"):
        return []
    members = set(chosen)
    pairs = [(bond.atom1.index, bond.atom2.index) for bond in topology_or_numbers.bonds()]
    return [pair for pair in pairs if members.issuperset(pair)]


def check_integers(*, threads: int, **others: int) -> None:
    """Raise UsageError unless all are integers and the threads are not negative."""
    for name, value in {"threads": threads, **others}.items():
        try:
            operator.index(value)
        except TypeError as error:
            raise UsageError(f"{name} must be an integer, got {value!r}.") from error
    if threads < 0:
        raise UsageError(f"threads must be 0 or more, got {threads}.")


def reference_places(
    symmetry: SymmetryRequest, reference: openmm.unit.Quantity | np.ndarray | None, chosen: Sequence[int], count: int
) -> tuple[tuple[float, float, float], ...]:
    """Places of the chosen particles in a reference structure, nm; empty unless the symmetry is the frame.

    Args:
        symmetry: what is asked for.
        reference: positions of all particles, a Quantity or in nm.
        chosen: indices of the particles that the model describes.
        count: number of all particles.

    Raises:
        UsageError: the frame is asked for without a reference, a reference without the frame, or one of another size.
    """
    if symmetry.mode != "frame":
        if reference is not None:
            raise UsageError(f'reference goes with symmetry="frame"; got symmetry="{symmetry.text}".')
        return ()
    if reference is None:
        raise UsageError(
            'symmetry="frame" wants reference, the positions that the molecule is superposed on, such as '
            "reference=pdb.positions. They are kept with the System, so that a run that is taken up again has the same."
        )
    if hasattr(reference, "value_in_unit"):
        from openmm.unit import nanometer

        reference = reference.value_in_unit(nanometer)
    positions = np.array(reference, dtype=np.float64)
    if positions.shape != (count, 3):
        raise UsageError(f"reference must be the positions of all {count} particles, got {list(positions.shape)}.")
    return tuple((float(x), float(y), float(z)) for x, y, z in positions[list(chosen)])


def check_device(device: str) -> None:
    """Raise UsageError unless it is "auto", "cpu", "cuda" or "cuda:N"."""
    kind, _, index = device.partition(":")
    if kind not in DEVICES or (":" in device and not (kind == "cuda" and index.isdigit())):
        raise UsageError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}.")
