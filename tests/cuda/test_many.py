"""Several structures in one step of a CUDA device that is the emulator, against evaluations one by one."""

from __future__ import annotations

import ase.build
import numpy as np
import pytest
from emulated_lammps import TOLERANCE, triclinic_water

from transip_md.common.errors import UsageError


@pytest.fixture
def molecules() -> list[ase.Atoms]:
    names = ("CH3CH2OH", "H2O", "CH4", "CO2", "CH3OCH3", "OH")
    return [ase.build.molecule(name) for name in names]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_molecules(emulated_library, models, molecules, device):
    from transip_md.evaluators.library_model import LibraryModel

    single, model = (LibraryModel(models["ethanol", "float64"], 1, where) for where in ("cpu", device))
    for atoms in (molecules, molecules[:1], [], molecules[::-1]):
        found = model.evaluate_many([one.numbers for one in atoms], [one.positions for one in atoms])
        assert len(found) == len(atoms)
        for one, got in zip(atoms, found, strict=True):
            wanted = single.evaluate(one.numbers, one.positions)
            for name in ("energies", "forces", "virial"):
                a, b = getattr(got, name), getattr(wanted, name)
                assert np.abs(a - b).max() <= TOLERANCE["float64"] * max(10.0, np.abs(b).max()), name
    if device == "cuda":
        # What is beside a molecule does not change a bit of it.
        together = model.evaluate_many([one.numbers for one in molecules], [one.positions for one in molecules])
        moved = [one.positions + (100.0 if number else 0.0) for number, one in enumerate(molecules)]
        apart = model.evaluate_many([one.numbers for one in molecules], moved)
        assert np.array_equal(together[0].forces, apart[0].forces)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_molecules_of_charges_with_energies(emulated_library, molecules, device, tmp_path):
    import transip_md
    from transip_md.evaluators.library_model import LibraryModel
    from transip_md.evaluators.torch_model import ExportedModel
    from transip_md.exporting.export import export
    from transip_md.model.checkpoint import Checkpoint
    from transip_md.training.widening import widened, widened_shape

    known = transip_md.pretrained("ethanol")
    shape = widened_shape(known.config, charge=(-1, 1), charge_energies=True)
    network = widened(known.model, shape)
    network.charge_energies[0], network.charge_energies[2] = -3.5, 11.25
    file = tmp_path / "charged.pt"
    export(Checkpoint(shape, network), file)
    model, single = LibraryModel(file, 1, device), ExportedModel(file, "cpu")
    charges = [(-1, 0, 1)[number % 3] for number in range(len(molecules))]
    together = model.evaluate_many([one.numbers for one in molecules], [one.positions for one in molecules], charges)
    for atoms, charge, found in zip(molecules, charges, together, strict=True):
        wanted = single.evaluate(atoms.numbers, atoms.positions, charge)
        for got in (found, model.evaluate(atoms.numbers, atoms.positions, charge)):
            assert np.abs(got.energies - wanted.energies).max() <= TOLERANCE["float64"] * np.abs(wanted.energies).max()
            assert np.abs(got.forces - wanted.forces).max() <= TOLERANCE["float64"] * max(
                10, np.abs(wanted.forces).max()
            )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_boxes(emulated_library, models, dtype):
    """Boxes in one step, each with the bits that it has alone."""
    from transip_md.evaluators.library_model import LibraryModel

    atoms = triclinic_water()
    boxes = [atoms, atoms[:6], atoms[3:]]
    boxes[1].cell *= 1.2
    single, alone, model = (LibraryModel(models["water", dtype], 1, where) for where in ("cpu", "cuda", "cuda"))
    for structures in (boxes, boxes[:1], [], boxes[::-1]):
        found = model.evaluate_many(
            [one.numbers for one in structures], [one.positions for one in structures],
            cells=[one.cell.array for one in structures], periodic=atoms.pbc,
        )  # fmt: skip
        assert len(found) == len(structures)
        for one, got in zip(structures, found, strict=True):
            same = alone.evaluate(one.numbers, one.positions, cell=one.cell.array, periodic=one.pbc)
            wanted = single.evaluate(one.numbers, one.positions, cell=one.cell.array, periodic=one.pbc)
            for name in ("energies", "forces", "virial"):
                a, b = getattr(got, name), getattr(wanted, name)
                assert np.array_equal(a, getattr(same, name)), name
                assert np.abs(a - b).max() <= TOLERANCE[dtype] * max(10.0, np.abs(b).max()), name


def test_boxes_that_are_refused(emulated_library, models):
    from transip_md.evaluators.library_model import LibraryModel

    atoms = triclinic_water()
    model = LibraryModel(models["water", "float64"], 1, "cuda")
    numbers, positions = [atoms.numbers, atoms.numbers], [atoms.positions, atoms.positions.copy()]
    box = {"periodic": atoms.pbc, "cells": [atoms.cell.array, np.diag([1.0, 1.0, 1e-13])]}
    with pytest.raises(UsageError, match=r"Structure 1 \(counted from 0\): The box has no volume"):
        model.evaluate_many(numbers, positions, **box)
    box["cells"][1] = atoms.cell.array
    positions[1][1] = positions[1][3]
    with pytest.raises(UsageError, match=r"Two atoms are at one position.*in structure 1 .* for atom [13] "):
        model.evaluate_many(numbers, positions, **box)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_is_refused(emulated_library, models, molecules, device):
    from transip_md.evaluators.library_model import LibraryModel

    model = LibraryModel(models["ethanol", "float64"], 1, device)
    numbers, positions = [one.numbers for one in molecules], [one.positions.copy() for one in molecules]
    with pytest.raises(UsageError, match="must be as many; got 6, 5 and 6"):
        model.evaluate_many(numbers, positions[:5])
    positions[2][1] = positions[2][3]
    with pytest.raises(UsageError, match=r"Two atoms are at one position.*in structure 2 .* for atom [13] "):
        model.evaluate_many(numbers, positions)
