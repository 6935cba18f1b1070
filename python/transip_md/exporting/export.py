"""Export of a checkpoint to a self-describing TorchScript file."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from transip_md.common.errors import CheckFailedError, UsageError
from transip_md.common.tolerances import PARITY
from transip_md.common.version import VERSION
from transip_md.common.whole_files import replacing
from transip_md.evaluators.compiled import cpu_capability
from transip_md.evaluators.torch_model import ExportedModel, choose_device, torchscript_on_purpose
from transip_md.exporting.compiling import check_loading, compile_model
from transip_md.exporting.engine_model import EngineModel
from transip_md.exporting.examples import CHECK_STRUCTURES, example_inputs, random_structures
from transip_md.exporting.reference_values import reference_of
from transip_md.model.checkpoint import Checkpoint
from transip_md.model.latent_sample import LatentSample
from transip_md.model.network import TransIP
from transip_md.modelfile.committee_file import write_committee
from transip_md.modelfile.metadata import Metadata, Network
from transip_md.modelfile.writing import write_script
from transip_md.symmetry.request import offered_modes

#: How a model file holds the model.
Form = Literal["torchscript", "aoti"]
COMPILED_SUFFIX = ".pt2"
DTYPES = {"float32": torch.float32, "float64": torch.float64}
#: Version of what native kernels compute for the network that they call TransIP.
NETWORK_VERSION = 1
#: Version of the same network with a repulsion.
REPULSIVE_NETWORK_VERSION = 2


def metadata_of(checkpoint: Checkpoint, dtype: str, form: Form = "torchscript", device: str = "cpu") -> Metadata:
    """The metadata of the exported file."""
    made_with = {"torch": torch.__version__, "transip-md": VERSION}
    if form == "aoti":
        made_with |= {"device": device, "cpu_capability": cpu_capability()}
    config = checkpoint.config
    # Readers of version 1 of the network know none of these keys, older ones of version 2 the first only.
    absent = {"short_range"} if config.short_range is None else set()
    absent |= {"short_range_end"} if config.short_range_end == 1.0 else set()
    absent |= set() if config.charge_energies else {"charge_energies"}
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


def script(model: nn.Module, metadata: Metadata, path: Path | str, reference: str | None = None) -> Metadata:
    """Script a module with the engines' forward and write it with its metadata; the file appears whole or not at all.

    Args:
        model: a module with the forward of `EngineModel`.
        metadata: of the file.
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
    eager = EngineModel(*copy.deepcopy((checkpoint.model, checkpoint.sample))).eval().requires_grad_(False)
    for parameter in eager.parameters():
        parameter.data = parameter.data.to(DTYPES[dtype])
    for module in eager.modules():
        if isinstance(module, LatentSample):
            continue
        for name, buffer in module.named_buffers(recurse=False):
            # Reference energies stay float64 whatever the weights are.
            if buffer.dtype == torch.float32:
                setattr(module, name, buffer.to(DTYPES[dtype]))
    metadata = metadata_of(checkpoint, dtype, form, device)
    example = example_inputs(metadata)
    reference = reference_of(eager, example, metadata)
    with replacing(path) as partial:
        return _write_and_check(eager, example, metadata, reference, partial, form, device)


def export_committee(checkpoints: Sequence[Checkpoint], path: Path | str, dtype: str = "float64") -> list[Metadata]:
    """Write the models of a committee into one TorchScript file, each compared as `export` does.

    Args:
        checkpoints: two or more, of one kind.
        path: file to write, by convention ``*.pt``.
        dtype: dtype of the weights, as in `export`.

    Returns:
        The models' metadata.

    Raises:
        UsageError: fewer than two, models with a cutoff beside others without, or other elements.
        CheckFailedError: as `export`.
    """
    path = Path(path)
    if len(checkpoints) < 2:
        raise UsageError(f"A committee is two models or more; got {len(checkpoints)}.")
    kinds = {(one.config.cutoff is None, tuple(sorted(one.config.species))) for one in checkpoints}
    if len(kinds) > 1:
        raise UsageError("The models of a committee know the same elements, and either all or none have a cutoff.")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.pt" for number in range(1, len(checkpoints) + 1)]
        found = [export(one, file, dtype) for one, file in zip(checkpoints, files, strict=True)]
        write_committee(files, path)
    return found


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
        where = choose_device(device)
        compile_model(eager.to(where), tuple(one.to(where) for one in example), metadata, partial, reference)
    else:
        metadata = script(eager, metadata, partial, reference)
    if form == "aoti" and where.type == "cuda":
        check_loading(partial, device)
    # TorchScript is for every device; the eager model is where the checkpoint's weights are.
    compare_with_eager(eager, ExportedModel(partial, device=device if form == "aoti" else "cpu"))
    return metadata


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
