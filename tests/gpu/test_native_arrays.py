"""The native CUDA kernels on tensors of torch that are on the device, and a committee there, against the CPU."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
import torch

from committees import perturbed
from transip_md.common.tolerances import PARITY
from transip_md.evaluators.committee import Committee
from transip_md.evaluators.library_model import LibraryModel

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
    pytest.mark.usefixtures("library"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three models of water, float64."""
    import transip_md

    return perturbed(lambda: transip_md.pretrained("water"), tmp_path_factory.mktemp("water"), 0.003, 3)


@pytest.fixture
def water(repository) -> ase.Atoms:
    return ase.io.read(repository / "examples" / "openmm" / "water.pdb")


@pytest.mark.parametrize("own_stream", [False, True])
def test_tensors_in_and_out(files, water, measured, own_stream):
    box = {"cell": water.cell.array, "periodic": water.pbc}
    wanted = LibraryModel(files[0]).evaluate(water.numbers, water.positions, **box)
    model = LibraryModel(files[0], device="cuda")
    stream = torch.cuda.Stream() if own_stream else torch.cuda.default_stream()
    with torch.cuda.stream(stream):
        numbers, positions, cell = (
            torch.tensor(array, device=model.device)
            for array in (water.numbers.astype(np.int64), water.positions, water.cell.array)
        )
        for _ in range(3):
            found = model.evaluate_on_device(
                numbers, positions, cell=cell, periodic=water.pbc, stream=stream.cuda_stream
            )
            forces, virial = torch.from_dlpack(found.forces), torch.from_dlpack(found.virial)
            # Written in the same stream as soon as the results are there.
            forces_here = forces.clone().cpu().numpy()
    name = f"tensors, {'a stream of their own' if own_stream else 'the default stream'}"
    measured(f"{name}: forces", np.abs(forces_here - wanted.forces).max(), PARITY["float64"].force, "eV/Angstrom")
    virial_size = np.abs(wanted.virial).max()
    measured(
        f"{name}: virial", np.abs(virial.cpu().numpy() - wanted.virial).max() / virial_size, 1e-9, "of the largest"
    )
    memory = torch.cuda.mem_get_info()[0]
    for _ in range(50):
        model.evaluate_on_device(numbers, positions, cell=cell, periodic=water.pbc)
    measured(f"{name}: memory after 50 more", (memory - torch.cuda.mem_get_info()[0]) / 2**20, 4.0, "MiB")


def test_boxes_together(files, water, measured):
    """Replicas in one step, from the host and as tensors, against each alone."""
    count, model = 6, LibraryModel(files[0], device="cuda")
    moves = 0.02 * np.sin(np.arange(3 * len(water))).reshape(-1, 3)
    places = [water.positions + index * moves for index in range(count)]
    cells = np.array([(1.0 + 0.01 * index) * water.cell.array for index in range(count)])
    together = model.evaluate_many(count * [water.numbers], places, cells=cells, periodic=water.pbc)
    numbers, positions, boxes = (
        torch.tensor(array, device=model.device)
        for array in (np.tile(water.numbers, count).astype(np.int64), np.concatenate(places), cells)
    )
    found = model.evaluate_many_on_device(
        count * [len(water)], numbers, positions, cells=boxes, periodic=water.pbc,
        stream=torch.cuda.default_stream().cuda_stream,
    )  # fmt: skip
    tensors = torch.from_dlpack(found.forces).cpu().numpy().reshape(count, -1, 3)
    virials = torch.from_dlpack(found.virial).cpu().numpy()
    largest = dict.fromkeys(("energies", "forces", "virial", "forces of tensors", "virial of tensors"), 0.0)
    for index, (place, cell, got) in enumerate(zip(places, cells, together, strict=True)):
        # Loaded anew: neighbours are sought where the atoms are, as they were for all together.
        wanted = LibraryModel(files[0], device="cuda").evaluate(water.numbers, place, cell=cell, periodic=water.pbc)
        differences = {
            "energies": got.energies - wanted.energies,
            "forces": got.forces - wanted.forces,
            "virial": (got.virial - wanted.virial) / np.abs(wanted.virial).max(),
            "forces of tensors": tensors[index] - wanted.forces,
            "virial of tensors": (virials[index] - wanted.virial) / np.abs(wanted.virial).max(),
        }
        for name, difference in differences.items():
            largest[name] = max(largest[name], np.abs(difference).max())
    for name, difference in largest.items():
        # Kernels of their own add up the virials of structures, and a compiler may fuse their sums otherwise.
        allowed, unit = (1e-12, "of the largest") if name.startswith("virial") else (0.0, "eV, eV/Angstrom")
        measured(f"{count} boxes together: {name}", difference, allowed, unit)


def test_committee(files, water, measured):
    box = {"cell": water.cell.array, "periodic": water.pbc}
    _, wanted = Committee(files, device="cpu").evaluate(water.numbers, water.positions, **box)
    _, found = Committee(files, device="cuda", kernels="native").evaluate(water.numbers, water.positions, **box)
    measured(
        "committee: deviations", np.abs(found.forces - wanted.forces).max(), PARITY["float64"].force, "eV/Angstrom"
    )
