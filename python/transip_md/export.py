"""Export of a checkpoint to a self-describing TorchScript file."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import ase
import numpy as np
import torch
from torch import Tensor, nn

import transip_md
from transip_md.aot import check_loading, compile_model, cpu_capability
from transip_md.errors import CheckFailedError, UsageError
from transip_md.metadata import Metadata, Network
from transip_md.model.checkpoint import Checkpoint
from transip_md.model.network import TransIP
from transip_md.modelfile.reference import MOST_STATES
from transip_md.modelfile.writing import write_script
from transip_md.runtime import ExportedModel, choose_device, inputs_of, neighbourhood_of, torchscript_on_purpose
from transip_md.symmetry.module import BATCH, CPU_BATCH, Symmetry, turned_back
from transip_md.symmetry.request import offered_modes
from transip_md.symmetry.turning import numbered_rotation
from transip_md.tolerances import PARITY
from transip_md.whole_files import replacing

#: How a model file holds the model.
Form = Literal["torchscript", "aoti"]
COMPILED_SUFFIX = ".pt2"
DTYPES = {"float32": torch.float32, "float64": torch.float64}
#: Random structures that a fresh file is compared on.
CHECK_STRUCTURES = 5
#: Atoms of the first of them.
SMALLEST_STRUCTURE = 4
#: Rotated copies of the reference structure on which the rounding of float32 is measured.
ROUNDING_ROTATIONS = 8
#: Version of what native kernels compute for the network that they call TransIP.
NETWORK_VERSION = 1
#: Version of the same network with a repulsion.
REPULSIVE_NETWORK_VERSION = 2


class EngineModel(nn.Module):
    """The forward that every engine calls; its contract is in ``docs/conventions.md``."""

    # Constants of the script: branches that a model does not take are not compiled.
    __constants__ = ("conservative", "local")

    def __init__(self, model: TransIP) -> None:
        super().__init__()
        self.model = model
        self.local = model.config.cutoff is not None
        self.conservative = model.config.conservative
        self.symmetry = Symmetry()
        self.batch, self.cpu_batch = BATCH, CPU_BATCH

    def forward(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Energies of tokens and forces on position rows.

        Args:
            species: int64 [T], atomic numbers of the tokens.
            positions: float64 [I, 3], Angstrom, tokens first; all-to-all models take I = T.
            owner: int64 [I], the token whose features a row carries.
            owned: bool [T], tokens whose energy counts.
            neighbours: int64 [T, K], rows, padded with -1; all-to-all models take K = 0.
            charge: int64 scalar, e.
            multiplicity: int64 scalar.

        Returns:
            Energies float64 [T] in eV, zero where not owned; forces float64 [I, 3] in eV/Angstrom, -dE/d(row). A model
            with a direct force head puts its forces on the tokens that are owned.

        The caller has automatic differentiation switched on: the forward takes the gradient itself.
        """
        tokens = species.shape[0]
        rows = positions.detach().requires_grad_(self.conservative)
        embedding = self.embed(species, rows, owner, neighbours, charge, multiplicity)
        energies = self.owned_energies(embedding, species, rows, owner, owned, neighbours)
        if self.conservative:
            gradient = torch.autograd.grad([energies.sum()], [rows])[0]
            assert gradient is not None
            forces = -gradient
        else:
            forces = torch.zeros_like(positions)
            direct = self.model.direct_forces(embedding)
            forces[:tokens] = torch.where(owned[:, None], direct, torch.zeros_like(direct))
        return energies.detach(), forces.detach()

    @torch.jit.export
    def energies(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
    ) -> Tensor:
        """The energies of `forward`, of the same arguments, without forces; the caller switches differentiation off."""
        embedding = self.embed(species, positions, owner, neighbours, charge, multiplicity)
        return self.owned_energies(embedding, species, positions, owner, owned, neighbours)

    @torch.jit.export
    def forward_frame(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
        masses: Tensor,
        reference: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The `forward` of a molecule turned into the frame of a reference; masses and reference by `make_frame`.

        The energy does not change when the molecule is turned; forces are its exact gradient.
        """
        turned, rotation = self.symmetry.into_frame(positions, masses, reference)
        energies, forces = self.forward(species, turned, owner, owned, neighbours, charge, multiplicity)
        return energies, self.symmetry.out_of_frame(forces, turned, rotation, masses, reference)

    @torch.jit.export
    def forward_average(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
        rotations: Tensor,
        weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The `forward` averaged over rotations [N, 3, 3] with weights [N], several at a time."""
        energies = torch.zeros(species.shape[0], dtype=torch.float64, device=species.device)
        forces = torch.zeros_like(positions)
        cost = species.shape[0] if self.local else species.shape[0] * species.shape[0]
        limit = self.cpu_batch if self.local and not species.is_cuda else self.batch
        at_once = max(1, limit // max(1, cost))
        for first in range(0, rotations.shape[0], at_once):
            turns, shares = rotations[first : first + at_once], weights[first : first + at_once]
            if self.local:
                stacked = self.symmetry.stack(species, positions, owner, owned, neighbours, turns)
                outputs = self.forward(stacked[0], stacked[1], stacked[2], stacked[3], stacked[4], charge, multiplicity)
                more, push = self.symmetry.unstack(outputs[0], outputs[1], turns, shares)
            else:
                more, push = self.average_of_molecule(
                    species, positions, owned, neighbours, charge, multiplicity, turns, shares
                )
            energies = energies + more
            forces = forces + push
        return energies, forces

    def average_of_molecule(
        self,
        species: Tensor,
        positions: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
        rotations: Tensor,
        weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Weighted sum over the turned copies of an isolated molecule, all in one batch."""
        self.check_isolated(species, positions, neighbours)
        copies = rotations.shape[0]
        rows = torch.matmul(positions.detach(), rotations.transpose(1, 2)).requires_grad_(self.conservative)
        kinds = species[None].expand(copies, -1)
        embedding = self.model.encode(kinds, rows, charge.expand(copies), multiplicity.expand(copies), None)
        energies = self.where_owned(self.model.molecule_energies(embedding, kinds, rows, None), owned)
        if self.conservative:
            gradient = torch.autograd.grad([energies.sum()], [rows])[0]
            assert gradient is not None
            forces = -gradient
        else:
            forces = torch.where(owned[:, None], self.model.direct_forces(embedding), torch.zeros_like(rows))
        return weights @ energies.detach(), turned_back(forces.detach(), rotations, weights)

    def check_isolated(self, species: Tensor, rows: Tensor, neighbours: Tensor) -> None:
        """Raise RuntimeError unless there are no images and no neighbours."""
        if rows.shape[0] != species.shape[0] or neighbours.shape[1] != 0:
            raise RuntimeError("an all-to-all model takes an isolated molecule: no images, no neighbours")

    def embed(
        self, species: Tensor, rows: Tensor, owner: Tensor, neighbours: Tensor, charge: Tensor, multiplicity: Tensor
    ) -> Tensor:
        """Latent embedding of each token; arguments as those of `forward`."""
        if self.local:
            return self.model.encode_local(species, rows, owner, neighbours, charge, multiplicity)
        self.check_isolated(species, rows, neighbours)
        return self.model.encode(species[None], rows[None], charge.view(1), multiplicity.view(1), None).squeeze(0)

    def owned_energies(
        self, embedding: Tensor, species: Tensor, rows: Tensor, owner: Tensor, owned: Tensor, neighbours: Tensor
    ) -> Tensor:
        """Energy of each token, eV, zero where not owned; arguments as those of `forward`."""
        if self.local:
            energies = self.model.local_energies(embedding, species, rows, owner, neighbours)
        else:
            energies = self.model.molecule_energies(embedding[None], species[None], rows[None], None).squeeze(0)
        return self.where_owned(energies, owned)

    def where_owned(self, energies: Tensor, owned: Tensor) -> Tensor:
        """Energies, zero where a token is not owned."""
        return torch.where(owned, energies, torch.zeros_like(energies))


def random_structures(species: tuple[int, ...], count: int, seed: int = 0) -> Iterator[ase.Atoms]:
    """Random molecules without overlapping atoms, each in a cell in which it may be taken as periodic.

    Args:
        species: atomic numbers to draw from.
        count: how many molecules, of growing size.
        seed: of the random numbers.

    Yields:
        Structures, no two atoms closer than 0.9 Angstrom, through the periodic boundary neither; pbc is off.
    """
    rng = np.random.default_rng(seed)
    for size in range(SMALLEST_STRUCTURE, SMALLEST_STRUCTURE + 3 * count, 3):
        positions = np.empty((0, 3))
        side = 2.0 * size ** (1 / 3)
        while len(positions) < size:
            candidate = rng.uniform(0, side, 3)
            if len(positions) == 0 or np.linalg.norm(positions - candidate, axis=1).min() > 0.9:
                positions = np.vstack([positions, candidate])
        yield ase.Atoms(rng.choice(species, size), positions, cell=(side + 0.9) * np.eye(3))


def metadata_of(checkpoint: Checkpoint, dtype: str, form: Form = "torchscript", device: str = "cpu") -> Metadata:
    """What the exported file says of itself."""
    made_with = {"torch": torch.__version__, "transip-md": transip_md.__version__}
    if form == "aoti":
        made_with |= {"device": device, "cpu_capability": cpu_capability()}
    config = checkpoint.config
    # Readers of version 1 of the network do not know the key.
    absent = {"short_range"} if config.short_range is None else set()
    return Metadata(
        species=config.species,
        cutoff=config.cutoff,
        interaction_range=config.interaction_range,
        dtype=dtype,
        conservative=config.conservative,
        charge=config.charge,
        multiplicity=config.multiplicity,
        symmetry=offered_modes(cutoff=config.cutoff, conservative=config.conservative),
        architecture={"name": "TransIP", **config.model_dump(mode="json", exclude=absent)},
        training=checkpoint.training,
        made_with=made_with,
        source_sha256=checkpoint.sha256,
        weights={},
        network=_network(checkpoint, form),
    )


def _network(checkpoint: Checkpoint, form: Form) -> Network | None:
    """What native kernels go by; compiled code has no weights that they could take."""
    known = form == "torchscript" and type(checkpoint.model) is TransIP
    version = NETWORK_VERSION if checkpoint.config.short_range is None else REPULSIVE_NETWORK_VERSION
    return Network(name="TransIP", version=version) if known else None


def reference_states(metadata: Metadata) -> list[tuple[int, int]]:
    """Charges (e) and multiplicities that cover every one that the model knows, 64 at most."""
    charges = range(metadata.charge[0], metadata.charge[1] + 1)
    multiplicities = range(metadata.multiplicity[0], metadata.multiplicity[1] + 1)
    states = [(charge, multiplicities[0]) for charge in charges]
    states += [(charges[0], multiplicity) for multiplicity in multiplicities[1:]]
    step = -(-len(states) // MOST_STATES)
    return states[::step]


def reference_of(eager: nn.Module, inputs: tuple[Tensor, ...], metadata: Metadata) -> str:
    """``reference.json``: a forward's arguments, flat, with the energy (eV) and forces (eV/Angstrom) of every state.

    What the precision of the weights does to these numbers is measured against the same weights in float64, as the
    worst of several rotated copies; for the energy by the sum over atoms, in which errors do not cancel.
    """
    species, positions, owner, owned, neighbours, _, _ = inputs
    exact = copy.deepcopy(eager).to(torch.float64)
    rotations = [np.eye(3)] + [numbered_rotation(0, number) for number in range(ROUNDING_ROTATIONS)]
    rotated = [positions @ torch.from_numpy(rotation.T) for rotation in rotations]
    states = []
    for charge, multiplicity in reference_states(metadata):
        state = (owner, owned, neighbours, torch.tensor(charge), torch.tensor(multiplicity))
        energies, forces = eager(species, positions, *state)
        energy_rounding = force_rounding = 0.0
        for copied in rotated if metadata.dtype == "float32" else []:
            here, there = eager(species, copied, *state), exact(species, copied, *state)
            energy_rounding = max(energy_rounding, float((here[0] - there[0]).abs().sum()))
            force_rounding = max(force_rounding, float((here[1] - there[1]).abs().max()))
        states.append(
            {
                "charge": charge,
                "multiplicity": multiplicity,
                "energy": float(energies.sum()),
                "forces": forces.flatten().tolist(),
                "energy_rounding": energy_rounding,
                "force_rounding": force_rounding,
            }
        )
    flat = {"species": species, "positions": positions, "owner": owner, "neighbours": neighbours}
    return json.dumps({**{name: tensor.flatten().tolist() for name, tensor in flat.items()}, "states": states})


def script(model: nn.Module, metadata: Metadata, path: Path | str, reference: str | None = None) -> Metadata:
    """Script a module with the engines' forward and write it with its metadata; the file appears whole or not at all.

    Args:
        model: a module with the forward of `EngineModel`.
        metadata: what the file shall say of itself.
        path: file to write.
        reference: from `reference_of`; None: the file brings none.

    Returns:
        The metadata with the index of the weights.
    """
    with torchscript_on_purpose():
        scripted = torch.jit.script(model)
    return write_script(scripted, metadata, path, reference)


def export(
    checkpoint: Checkpoint, path: Path | str, dtype: str = "float64", form: Form = "torchscript", device: str = "cpu"
) -> Metadata:
    """Write a model file, read it back and compare it with the eager model on random structures.

    Args:
        checkpoint: a trained model.
        path: file to write, by convention ``*.pt``, compiled ``*.pt2``.
        dtype: dtype of the weights, "float32" or "float64"; positions always go in as float64.
        form: "torchscript", or "aoti": compiled for this machine: takes minutes, and runs several times faster.
        device: what a compiled file is for, "cpu" or "cuda".

    Returns:
        The file's metadata.

    Raises:
        CheckFailedError: the file read back does not give the eager model's energies and forces.
        EnvironmentFaultError: the model cannot be compiled here.
        UsageError: a compiled file that is not called ``*.pt2``, or a scripted one that is.
    """
    path = Path(path)
    if (form == "aoti") != (path.suffix == COMPILED_SUFFIX):
        raise UsageError(
            f"A compiled file is called *{COMPILED_SUFFIX}, and no other is; got --format {form} and {path.name}. Type "
            f"`-o {path.with_suffix(COMPILED_SUFFIX if form == 'aoti' else '.pt').name}`, or choose the other format."
        )
    eager = EngineModel(copy.deepcopy(checkpoint.model)).eval().requires_grad_(False)
    for parameter in eager.parameters():
        parameter.data = parameter.data.to(DTYPES[dtype])
    for module in eager.modules():
        for name, buffer in module.named_buffers(recurse=False):
            # Reference energies stay float64 whatever the weights are.
            if buffer.dtype == torch.float32:
                setattr(module, name, buffer.to(DTYPES[dtype]))
    metadata = metadata_of(checkpoint, dtype, form, device)
    example = example_inputs(metadata)
    reference = reference_of(eager, example, metadata)
    with replacing(path) as partial:
        return _write_and_check(eager, example, metadata, reference, partial, form, device)


def _write_and_check(
    eager: EngineModel,
    example: tuple[Tensor, ...],
    metadata: Metadata,
    reference: str,
    partial: Path,
    form: Form,
    device: str,
) -> Metadata:
    """Write a model file, read it back and compare it with the eager model; see `export`."""
    if form == "aoti":
        place = choose_device(device)
        compile_model(eager.to(place), tuple(one.to(place) for one in example), metadata, partial, reference)
    else:
        metadata = script(eager, metadata, partial, reference)
    if form == "aoti" and place.type == "cuda":
        check_loading(partial, device)
    # TorchScript is for every device; the eager model is where the checkpoint's weights are.
    compare_with_eager(eager, ExportedModel(partial, device=device if form == "aoti" else "cpu"))
    return metadata


def example_inputs(metadata: Metadata) -> tuple[Tensor, ...]:
    """Arguments of the forward for a random structure of all elements that the model knows.

    All sizes are above one and different from one another.
    """
    larger = -(-(len(metadata.species) - SMALLEST_STRUCTURE) // 3) + 1
    *_, atoms = random_structures(metadata.species, max(CHECK_STRUCTURES, larger))
    atoms.numbers[: len(metadata.species)] = metadata.species
    atoms.pbc = metadata.cutoff is not None
    neighbourhood = neighbourhood_of(metadata, atoms.positions, atoms.cell.array, atoms.pbc)
    return inputs_of(atoms.numbers, atoms.positions, neighbourhood, metadata.charge[0], metadata.multiplicity[0])


def compare_with_eager(eager: EngineModel, exported: ExportedModel) -> None:
    """Raise CheckFailedError unless an exported model repeats the eager one within the parity tolerances."""
    metadata = exported.metadata
    tolerance = PARITY[metadata.dtype]
    charge, multiplicity = metadata.charge[0], metadata.multiplicity[0]
    for atoms in random_structures(metadata.species, CHECK_STRUCTURES):
        atoms.pbc = metadata.cutoff is not None
        neighbourhood = exported.neighbourhood(atoms.positions, atoms.cell.array, atoms.pbc)
        inputs = exported.inputs(atoms.numbers, atoms.positions, neighbourhood, charge, multiplicity)
        wanted_energies, wanted_forces = eager(*inputs)
        energies, forces = exported.run(inputs)
        # Of each atom: rounding adds up in the sum, faults do not hide there.
        energy_error = float((wanted_energies - energies).abs().max())
        force_error = float((wanted_forces - forces).abs().max())
        if not (energy_error <= tolerance.energy and force_error <= tolerance.force):
            raise CheckFailedError(
                f"The exported file does not repeat the eager model on a random structure of {len(atoms)} atoms: "
                f"the energy of an atom differs by {energy_error:.2e} eV (allowed {tolerance.energy:.0e}), forces by "
                f"{force_error:.2e} eV/A (allowed {tolerance.force:.0e}). No file was written."
            )
