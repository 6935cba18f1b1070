"""The torchforce backend: openmmtorch's TorchForce around a TorchScript model file.

The file's module is put into another one that speaks OpenMM's units and finds neighbours itself, so that what
TorchForce saves with a System needs no transip-md to run.
"""

from __future__ import annotations

import contextlib
import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transip_md.common import units
from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.engines.openmm.request import ForceRequest
from transip_md.engines.openmm.whole import check_whole
from transip_md.evaluators.symmetrised import essence
from transip_md.evaluators.torch_model import ExportedModel, torchscript_on_purpose

if TYPE_CHECKING:
    import types

    import openmm

#: By version of openmmtorch, the minor versions whose binary interface it was compiled for. With OpenMM 8.6, 1.5 gives
#: right numbers, but crashes where a System is read from XML.
COMPILED_FOR = {"1.5": {"torch": ("2.9",), "openmm": ("8.4", "8.5")}}
INSTALL = "Type `pip install 'transip-md[torchforce]'` in an environment of its own"


def images_within(positions: Tensor, cell: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """Atoms wrapped into a periodic cell, and their images no farther than a cutoff outside of it.

    Args:
        positions: float64 [N, 3], Angstrom.
        cell: float64 [3, 3], rows are cell vectors, Angstrom.
        cutoff: Angstrom.

    Returns:
        Places of the rows, float64 [I, 3], the N atoms first; the atom that each row is an image of, int64 [I].
    """
    inverse = torch.linalg.inv(cell)
    fractional = positions @ inverse
    away = torch.floor(fractional)
    fractional = fractional - away
    wrapped = positions - away @ cell
    # Distance between opposite faces is the inverse length of a reciprocal vector, a column of the inverse.
    reach = cutoff * torch.linalg.vector_norm(inverse, dim=0)
    counts = torch.ceil(reach).to(torch.int64)
    ranges: list[Tensor] = []
    for axis in range(3):
        count = int(counts[axis])
        ranges.append(torch.arange(-count, count + 1, dtype=torch.float64, device=positions.device))
    shifts = torch.cartesian_prod(ranges[0], ranges[1], ranges[2])
    moved = fractional[None] + shifts[:, None]
    near = ((moved >= -reach) & (moved <= 1.0 + reach)).all(dim=-1) & shifts.any(dim=-1)[:, None]
    which, atom = torch.nonzero(near).unbind(dim=1)
    rows = torch.cat([wrapped, wrapped[atom] + shifts[which] @ cell])
    return rows, torch.cat([torch.arange(positions.shape[0], device=positions.device), atom])


def slots_within(rows: Tensor, owner: Tensor, tokens: int, cutoff: float) -> tuple[Tensor, Tensor, Tensor]:
    """Rows that some atom has within a cutoff, and for each atom which they are.

    Args:
        rows: float64 [I, 3], Angstrom, the atoms first.
        owner: int64 [I], the atom that each row is an image of.
        tokens: number of atoms.
        cutoff: Angstrom.

    Returns:
        The rows that are needed and their owners, the atoms first; neighbour slots int64 [tokens, K], padded with -1.
    """
    origin = rows[:tokens].mean(dim=0)
    centred = rows - origin
    squares = centred.square().sum(dim=-1)
    distances = squares[:tokens, None] + squares[None] - 2.0 * centred[:tokens] @ centred.T
    # The squared distances are off by rounding; a row too many does no harm.
    near = distances <= (cutoff + 1e-3) ** 2
    itself = torch.arange(tokens, device=rows.device)
    near[itself, itself] = False
    needed = near.any(dim=0)
    needed[:tokens] = True
    near = near[:, needed]
    first, row = torch.nonzero(near).unbind(dim=1)
    counts = near.sum(dim=1)
    starts = torch.cumsum(counts, dim=0) - counts
    most = int(counts.max())
    slots = torch.full((tokens, most), -1, dtype=torch.int64, device=rows.device)
    slots[first, torch.arange(first.shape[0], device=rows.device) - starts[first]] = row
    return rows[needed], owner[needed], slots


class OpenMMModule(nn.Module):
    """A model file's module with OpenMM's units at its border, for TorchForce.

    The forward takes positions of all particles, [N, 3] in nm, and in a periodic box its vectors, [3, 3] in nm; it
    gives the energy in kJ/mol and forces on all particles in kJ/mol/nm.
    """

    # Branches on constants are left out: files of earlier versions have no forward_average and forward_frame.
    __constants__ = ("averages", "cutoff", "frames", "local")

    def __init__(self, model: torch.jit.ScriptModule, request: ForceRequest) -> None:
        super().__init__()
        self.model = model
        self.local = request.metadata.cutoff is not None
        self.cutoff = request.metadata.cutoff or 0.0
        self.energy_unit = units.KJ_PER_MOL_PER_EV
        self.angstrom = units.ANGSTROM_PER_NM
        self.averages = request.symmetry.mode == "average"
        self.frames = request.symmetry.mode == "frame"
        tables = [torch.empty(0), torch.empty(0)]
        if self.averages:
            tables = model.symmetry.rotation_set(request.symmetry.count, request.symmetry.inversion)
        elif self.frames:
            reference = self.angstrom * torch.tensor(request.reference, dtype=torch.float64)
            tables = model.symmetry.make_frame(torch.tensor(request.numbers), reference)
        self.register_buffer("first_table", tables[0])
        self.register_buffer("second_table", tables[1])
        self.register_buffer("species", torch.tensor(request.numbers))
        self.register_buffer("particles", torch.tensor(request.particles))
        self.register_buffer("owned", torch.ones(len(request.numbers), dtype=torch.bool))
        self.register_buffer("charge", torch.tensor(request.charge))
        self.register_buffer("multiplicity", torch.tensor(request.multiplicity))

    def forward(self, positions: Tensor, box: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Energy and forces."""
        rows = self.angstrom * positions.detach().to(torch.float64)[self.particles]
        tokens = rows.shape[0]
        owner = torch.arange(tokens, device=rows.device)
        neighbours = torch.empty(tokens, 0, dtype=torch.int64, device=rows.device)
        if box is not None:
            box = self.angstrom * box.to(torch.float64)
            if self.local:
                rows, owner = images_within(rows, box, self.cutoff)
            else:
                check_whole(rows, box)
        if self.local:
            rows, owner, neighbours = slots_within(rows, owner, tokens, self.cutoff)
        charge, multiplicity, first, second = (
            self.charge,
            self.multiplicity,
            self.first_table,
            self.second_table,
        )
        if self.averages:
            energies, on_rows = self.model.forward_average(
                self.species, rows, owner, self.owned, neighbours, charge, multiplicity, first, second
            )
        elif self.frames:
            energies, on_rows = self.model.forward_frame(
                self.species, rows, owner, self.owned, neighbours, charge, multiplicity, first, second
            )
        else:
            energies, on_rows = self.model(self.species, rows, owner, self.owned, neighbours, charge, multiplicity)
        if not (torch.isfinite(energies).all() and torch.isfinite(on_rows).all()):
            raise RuntimeError(
                "The model gave an energy or a force that is not finite (NaN or infinity). Look for atoms on top of "
                "each other."
            )
        forces = torch.zeros(positions.shape[0], 3, dtype=torch.float64, device=rows.device)
        forces.index_add_(0, self.particles[owner], on_rows.to(torch.float64))
        return self.energy_unit * energies.sum(), self.energy_unit * self.angstrom * forces


def openmm_module(request: ForceRequest) -> torch.jit.ScriptModule:
    """The scripted module for TorchForce, on the CPU.

    Raises:
        UsageError: the file holds compiled code, a device is asked for, or torch cannot load the file.
    """
    exported = ExportedModel(request.model, "cpu")
    if exported.scripted is None:
        raise UsageError(
            f"{request.model} is compiled, and TorchForce runs TorchScript only. Export the model with `--format "
            "torchscript`, or use the backend native or python."
        )
    request.symmetry.check_repeatable("TorchForce", "Use the backend native, or symmetry average N or frame.")
    if request.device != "auto":
        raise UsageError(
            f"TorchForce runs a model where OpenMM's platform runs; got device {request.device!r}. Leave `device` out."
        )
    try:
        wrapped = OpenMMModule(exported.scripted, request).eval()
    except (RuntimeError, torch.jit.Error) as error:
        # The file's own TorchScript refuses a set of rotations or a reference.
        raise UsageError(f"{essence(error)}.") from error
    with torchscript_on_purpose():
        return torch.jit.script(wrapped)


def import_openmmtorch() -> types.ModuleType:
    """The openmmtorch package.

    Raises:
        EnvironmentFaultError: it is not installed, does not load, or was compiled for another torch or OpenMM.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("openmmtorch")
    except PackageNotFoundError as error:
        raise EnvironmentFaultError(f"openmmtorch is not installed. {INSTALL}.") from error
    for package, wanted in COMPILED_FOR.get(found, {}).items():
        here = version(package)
        if not here.startswith(tuple(f"{minor}." for minor in wanted)):
            raise EnvironmentFaultError(
                f"openmmtorch {found} was compiled for {package} {' and '.join(wanted)}, and this is {here}. {INSTALL}."
            )
    try:
        # Its import of simtk.openmm prints a warning that users can do nothing about.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            import openmmtorch
    except ImportError as error:
        raise EnvironmentFaultError(f"openmmtorch {found} does not load: {error}. {INSTALL}.") from error
    _load_kernels(Path(openmmtorch.__file__).parent / "OpenMM.libs" / "lib" / "plugins")
    return openmmtorch


@functools.cache
def _load_kernels(folder: Path) -> None:
    """Load TorchForce's kernels once: OpenMM tries to when it is imported, and fails if torch comes later.

    Raises:
        EnvironmentFaultError: those of the Reference platform, which are of use on every machine, do not load.
    """
    import openmm

    for library in sorted(folder.glob("libOpenMMTorch*.so")):
        if str(library) in openmm.pluginLoadedLibNames:
            continue
        try:
            openmm.Platform.loadPluginLibrary(str(library))
        except openmm.OpenMMException as error:
            # The others want drivers that a machine may well be without.
            if "Reference" in library.name:
                raise EnvironmentFaultError(f"{library} does not load: {error}. {INSTALL}.") from error


def make_force(request: ForceRequest) -> openmm.Force:
    """A TorchForce whose module gives forces too, so that it is not differentiated once more.

    Raises:
        EnvironmentFaultError: openmmtorch is not installed or does not fit torch.
        UsageError: see `openmm_module`.
    """
    openmmtorch = import_openmmtorch()
    if request.threads > 0:
        torch.set_num_threads(request.threads)
    force = openmmtorch.TorchForce(openmm_module(request))
    force.setOutputsForces(True)
    # TorchForce hands on the box only then.
    force.setUsesPeriodicBoundaryConditions(request.periodic or request.among_images)
    return force
