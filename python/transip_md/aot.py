"""Model files compiled ahead of time: energy and forces in one graph, by AOTInductor, for the machine at hand."""

from __future__ import annotations

import functools
import io
import signal
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from transip_md.cxx_library import shared_by_all
from transip_md.errors import EnvironmentFaultError, UsageError
from transip_md.metadata import METADATA_NAME, REFERENCE_NAME, Metadata
from transip_md.modelfile.archive import Archive
from transip_md.modelfile.guard import load_script
from transip_md.symmetry.module import BATCH, CPU_BATCH, Symmetry, turned_back

#: Smallest number of tokens, and for local models of neighbour slots, that a compiled model takes: torch.export treats
#: sizes 0 and 1 as constants. Callers pad.
SMALLEST = 2
#: What the vector instructions of a CPU are called by torch, the poorer first.
CAPABILITIES = ("DEFAULT", "AVX2", "AVX512")
#: Place in the package of a TorchScript `transip_md.symmetry.module.Symmetry`; torch takes all in extra/ for text.
SYMMETRY_PLACE = "transip/symmetry.pt"
#: Loads the package that is named.
LOADING = "import sys; from transip_md.aot import load_package; load_package(sys.argv[1])"


def cpu_capability() -> str:
    """Vector instructions that compiled code for this machine uses."""
    return torch.backends.cpu.get_cpu_capability()


def device_of(metadata: Metadata, asked: str, path: Path | str) -> str:
    """Where a compiled model runs: where it was compiled for.

    Raises:
        UsageError: another device is asked for.
    """
    compiled_for = metadata.made_with.get("device", "cpu")
    if asked != "auto" and asked.split(":")[0] != compiled_for:
        raise UsageError(
            f"{path} was compiled for device {compiled_for}; got device {asked!r}. Export it again with --device "
            f"{asked.split(':')[0]}, or leave the device out."
        )
    return compiled_for if asked == "auto" else asked


def check_machine(metadata: Metadata, path: Path | str) -> None:
    """Raise EnvironmentFaultError if a compiled model asks for vector instructions or a torch that are not here."""
    made = metadata.made_with
    wanted, here = made.get("cpu_capability", CAPABILITIES[0]), cpu_capability()
    if wanted in CAPABILITIES and here in CAPABILITIES and CAPABILITIES.index(wanted) > CAPABILITIES.index(here):
        raise EnvironmentFaultError(
            f"{path} was compiled for CPUs with {wanted}, and this one has {here}. Export the model again on this "
            "machine, or use a TorchScript file (`--format torchscript`)."
        )
    if _minor(made["torch"]) != _minor(torch.__version__):
        raise EnvironmentFaultError(
            f"{path} was compiled with torch {made['torch']}, and this is {torch.__version__}: compiled code goes with "
            "one version. Export the model again, or use a TorchScript file (`--format torchscript`)."
        )


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def compile_model(
    eager: nn.Module, example: tuple[Tensor, ...], metadata: Metadata, path: Path, reference: str
) -> None:
    """Trace, compile and package a module with the engines' forward.

    The gradient with respect to positions is traced into the graph. The numbers of tokens, rows and neighbour slots
    stay free; the code runs in one thread, whatever the caller's number of threads.

    Args:
        eager: a module with the forward of `transip_md.export.EngineModel`.
        example: its arguments for some structure of a few atoms, on the device to compile for.
        metadata: what the file shall say of itself; goes into the package.
        path: file to write, ``*.pt2``.
        reference: text of its ``reference.json``.

    Raises:
        EnvironmentFaultError: there is no working C++ compiler, or torch cannot compile the model.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch.fx.experimental.proxy_tensor import make_fx

    tokens = torch.export.Dim("tokens", min=SMALLEST)
    local = metadata.cutoff is not None
    rows = torch.export.Dim("rows", min=SMALLEST) if local else tokens
    slots = {0: tokens, 1: torch.export.Dim("slots", min=SMALLEST)} if local else {0: tokens}
    shapes = ({0: tokens}, {0: rows}, {0: rows}, {0: tokens}, slots, None, None)

    def forward(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        return eager(*inputs)

    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            warnings.catch_warnings(),
            shared_by_all(get_cpp_compiler()) as libraries,
        ):
            # torch warns of its own code here.
            warnings.simplefilter("ignore")
            with torch.enable_grad():
                graph = make_fx(forward, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*example)
            # torch 2.11 makes of some sizes of all-to-all models a guard that it then cannot prove.
            program = torch.export.export(
                graph, example, dynamic_shapes=shapes, prefer_deferred_runtime_asserts_over_guards=True
            )
            package = torch._inductor.aoti_compile_and_package(
                program,
                package_path=str(Path(folder) / "model.pt2"),
                inductor_configs={"cpp.threads": 1, "aot_inductor.custom_op_libs": libraries},
            )
            turning = io.BytesIO()
            torch.jit.save(torch.jit.script(Symmetry()), turning)
            extra = {f"extra/{METADATA_NAME}": metadata.to_json(), f"extra/{REFERENCE_NAME}": reference}
            _repack(Path(package), path, {**extra, SYMMETRY_PLACE: turning.getvalue()})
    except (RuntimeError, torch._inductor.exc.InductorError) as error:
        raise EnvironmentFaultError(
            f"torch {torch.__version__} could not compile the model: {str(error).splitlines()[0]}. A C++ compiler "
            "(g++) is needed; a TorchScript file (`--format torchscript`) is not compiled."
        ) from error


def _repack(package: Path, path: Path, extra: dict[str, str | bytes]) -> None:
    """Copy a package with extra files, and of sources, which nothing needs, the names: torch 2.11 wants them."""
    with zipfile.ZipFile(package) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            target.writestr(name, b"" if name.endswith(".cpp") else source.read(name))
        top = source.namelist()[0].split("/")[0]
        for name, content in extra.items():
            target.writestr(f"{top}/{name}", content)


def load_package(path: Path | str, device_index: int = -1) -> torch._C._aoti.AOTIModelPackageLoader:
    """A package's compiled code, for one thread at a time.

    Not through `torch._inductor.aoti_load_package`: that one compiles test programs first, to tell which vector
    instructions the CPU has, and takes seconds; `check_machine` knows.

    Raises:
        RuntimeError: torch cannot load it.
    """
    return torch._C._aoti.AOTIModelPackageLoader(str(path), "model", True, 1, device_index)


def check_loading(path: Path, device: str) -> None:
    """Load a compiled file in a process of its own: should torch crash, it is not the caller that ends.

    Raises:
        EnvironmentFaultError: that process was ended by a signal.
    """
    command = [sys.executable, "-c", LOADING, str(path)]
    code = subprocess.run(command, capture_output=True, check=False).returncode
    if code < 0:
        raise EnvironmentFaultError(
            f"torch {torch.__version__} compiled the model for device {device} and crashes when it loads what it made "
            f"({signal.Signals(-code).name}). Use a TorchScript file (`--format torchscript`), or another torch."
        )


class CompiledForward:
    """The forward of a compiled file; called as the scripted module is."""

    def __init__(self, path: Path | str, device: torch.device, *, local: bool) -> None:
        """Load it. Raises UsageError if torch cannot."""
        self.local = local
        self._path, self._device = path, device
        try:
            self._package = load_package(path, -1 if device.index is None else device.index)
        except RuntimeError as error:
            raise UsageError(
                f"{path} has a {METADATA_NAME}, but torch {torch.__version__} cannot load its compiled code: "
                f"{str(error).splitlines()[0]}"
            ) from error

    def _run(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        energies, forces = self._package.run(list(inputs))
        return energies, forces

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Energies of tokens and forces on rows."""
        species, positions, owner, owned, neighbours, charge, multiplicity = inputs
        tokens = len(species)
        if tokens == 0:
            return torch.zeros(0, dtype=torch.float64), torch.zeros_like(positions)
        if self.local and neighbours.shape[1] < SMALLEST:
            neighbours = nn.functional.pad(neighbours, (0, SMALLEST - neighbours.shape[1]), value=-1)
        if tokens >= SMALLEST:
            return self._run(species, positions, owner, owned, neighbours, charge, multiplicity)
        if not self.local:
            raise UsageError(
                "A compiled all-to-all model takes two atoms or more; got one. Use a TorchScript file (`--format "
                "torchscript`)."
            )
        # A second token that nobody sees and whose energy does not count, behind the only one.
        energies, forces = self._run(
            species.repeat(2),
            torch.cat([positions[:1], positions]),
            torch.cat([owner[:1], owner + (torch.arange(len(owner), device=owner.device) == 0)]),
            torch.cat([owned, torch.zeros_like(owned)]),
            torch.cat([torch.where(neighbours > 0, neighbours + 1, neighbours), torch.full_like(neighbours, -1)]),
            charge,
            multiplicity,
        )
        return energies[:1], torch.cat([forces[:1], forces[2:]])

    @functools.cached_property
    def symmetry(self) -> torch.jit.ScriptModule:
        """The package's `transip_md.symmetry.module.Symmetry`."""
        with Archive(self._path) as package:
            return load_script(package.read(SYMMETRY_PLACE), self._path, self._device)

    def average(self, inputs: tuple[Tensor, ...], rotations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The forward averaged over rotations, [N, 3, 3], with weights, [N]."""
        species, positions, owner, owned, neighbours, charge, multiplicity = inputs
        if not self.local:
            found = [
                self(species, turned, owner, owned, neighbours, charge, multiplicity)
                for turned in torch.matmul(positions, rotations.transpose(1, 2))
            ]
            forces = turned_back(torch.stack([push for _, push in found]), rotations, weights)
            return weights @ torch.stack([energies for energies, _ in found]), forces
        energies, forces = torch.zeros(len(species), dtype=torch.float64), torch.zeros_like(positions)
        at_once = max(1, (BATCH if species.is_cuda else CPU_BATCH) // max(1, len(species)))
        for turns, shares in zip(rotations.split(at_once), weights.split(at_once), strict=True):
            stacked = self.symmetry.stack(species, positions, owner, owned, neighbours, turns)
            more, push = self.symmetry.unstack(*self(*stacked, charge, multiplicity), turns, shares)
            energies, forces = energies + more, forces + push
        return energies, forces

    def frame(self, inputs: tuple[Tensor, ...], masses: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """The forward in the frame of a reference structure, both from `Symmetry.make_frame`."""
        species, positions, *rest = inputs
        turned, rotation = self.symmetry.into_frame(positions, masses, reference)
        energies, forces = self(species, turned, *rest)
        return energies, self.symmetry.out_of_frame(forces, turned, rotation, masses, reference)
