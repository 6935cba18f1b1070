"""Model files compiled ahead of time by AOTInductor, loaded and evaluated."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch import Tensor, nn

from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.modelfile.archive import Archive
from transip_md.modelfile.guard import load_script
from transip_md.modelfile.metadata import METADATA_NAME, Metadata
from transip_md.symmetry.module import BATCH, CPU_BATCH, rotated_back

#: Smallest number of tokens, and for local models of neighbour slots, that a compiled model takes: torch.export treats
#: sizes 0 and 1 as constants. Callers pad.
SMALLEST = 2
#: What the vector instructions of a CPU are called by torch, the poorer first.
CAPABILITIES = ("DEFAULT", "AVX2", "AVX512")
#: Entry with a TorchScript `transip_md.symmetry.module.Symmetry`; torch takes all in extra/ for text.
SYMMETRY_ENTRY = "transip/symmetry.pt"


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


def load_package(path: Path | str, device_index: int = -1) -> torch._C._aoti.AOTIModelPackageLoader:
    """A package's compiled code, for one thread at a time.

    Not through `torch._inductor.aoti_load_package`: that one compiles test programs first, to find which vector
    instructions the CPU has, and takes seconds; `check_machine` knows.

    Raises:
        RuntimeError: torch cannot load it.
    """
    return torch._C._aoti.AOTIModelPackageLoader(str(path), "model", True, 1, device_index)


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
            return load_script(package.read(SYMMETRY_ENTRY), self._path, self._device)

    def average(self, inputs: tuple[Tensor, ...], rotations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The forward averaged over rotations, [N, 3, 3], with weights, [N]."""
        species, positions, owner, owned, neighbours, charge, multiplicity = inputs
        if not self.local:
            found = [
                self(species, rotated, owner, owned, neighbours, charge, multiplicity)
                for rotated in torch.matmul(positions, rotations.transpose(1, 2))
            ]
            forces = rotated_back(torch.stack([push for _, push in found]), rotations, weights)
            return weights @ torch.stack([energies for energies, _ in found]), forces
        energies, forces = torch.zeros(len(species), dtype=torch.float64), torch.zeros_like(positions)
        at_once = max(1, (BATCH if species.is_cuda else CPU_BATCH) // max(1, len(species)))
        for part, shares in zip(rotations.split(at_once), weights.split(at_once), strict=True):
            stacked = self.symmetry.stack(species, positions, owner, owned, neighbours, part)
            more, push = self.symmetry.unstack(*self(*stacked, charge, multiplicity), part, shares)
            energies, forces = energies + more, forces + push
        return energies, forces

    def frame(self, inputs: tuple[Tensor, ...], masses: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """The forward in the frame of a reference structure, both from `Symmetry.make_frame`."""
        species, positions, *rest = inputs
        rotated, rotation = self.symmetry.into_frame(positions, masses, reference)
        energies, forces = self(species, rotated, *rest)
        return energies, self.symmetry.out_of_frame(forces, rotated, rotation, masses, reference)
