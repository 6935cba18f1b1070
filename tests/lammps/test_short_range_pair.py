"""pair_style transip with a model that has a short-range repulsion."""

from __future__ import annotations

import itertools

import ase
import numpy as np
import pytest
from test_local_pair import LAMMPS_BAR, frames, run, section

from many_structures import many_structures
from networks import crystal, small_checkpoint
from transip_md.common.tolerances import PARITY_RELATIVE
from transip_md.engines.lammps.engine import is_rectangular, read_thermo, write_data
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.exporting.export import export

pytestmark = pytest.mark.usefixtures("lammps_plugin")


@pytest.fixture(scope="module", params=[("float64", 1.0), ("float32", 1.0), ("float64", 0.7)], ids=str)
def file(request, tmp_path_factory):
    dtype, end = request.param
    path = tmp_path_factory.mktemp("repulsive") / f"{dtype}.pt"
    export(small_checkpoint(cutoff=3.0, short_range="zbl", short_range_end=end), path, dtype)
    return path


def pressed() -> list[ase.Atoms]:
    """Two atoms of each pair of elements, 0.3 Angstrom apart, and crystals with far less room than they want."""
    pairs = [
        ase.Atoms(numbers, [[0, 0, 0], [0.1, 0.2, 0.2]])
        for numbers in itertools.combinations_with_replacement((1, 6, 8), 2)
    ]
    dense = crystal(1)
    dense.set_cell(0.6 * dense.cell.array, scale_atoms=True)
    return [*pairs, dense, *many_structures()[::10]]


@pytest.mark.parametrize(
    ("kernels", "ranks"), [("native", 1), ("native", 2), ("torch", 1), pytest.param("torch", 2, marks=pytest.mark.long)]
)
def test_parity_with_python(file, tmp_path, ranks, kernels):
    model, structures = ExportedModel(file, "cpu"), pressed()
    tolerance = PARITY_RELATIVE[model.metadata.dtype]
    deck = []
    for index, atoms in enumerate(structures):
        write_data(tmp_path / f"s{index}.data", atoms)
        deck.append(section(file, atoms, f"s{index}", style=f"kernels {kernels}"))
    result = run(tmp_path, "clear\n".join(deck), ranks)
    assert result.returncode == 0, result.stdout
    table = read_thermo(tmp_path / "test.log")
    assert len(table) == len(structures)
    for index, (atoms, thermo) in enumerate(zip(structures, table, strict=True)):
        wanted = model.evaluate(atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc)
        forces = frames(tmp_path / f"s{index}.dump")[0, :, 3:]
        energy = wanted.energies.sum()
        assert abs(thermo[2] - energy) <= tolerance * max(1.0, abs(energy)), index
        assert np.abs(forces - wanted.forces).max() <= tolerance * max(1.0, np.abs(wanted.forces).max()), index
        if not (atoms.pbc.any() and not is_rectangular(atoms)):
            xx, yy, zz, xy, xz, yz = thermo[6:12] * thermo[12] / LAMMPS_BAR
            upper = np.triu(wanted.virial)
            virial = np.array([[xx, xy, xz], [0, yy, yz], [0, 0, zz]])
            assert np.abs(virial - upper).max() <= tolerance * max(1.0, np.abs(upper).max()), index
        if len(atoms) == 2:
            # Pushed apart along the line between them.
            assert forces[1] @ (atoms.positions[1] - atoms.positions[0]) > 0.3 * 10


@pytest.mark.parametrize("ranks", [1, 2])
def test_forces_against_fix_numdiff(tmp_path, ranks):
    """LAMMPS's own central differences of the energy, where the repulsion is most of it."""
    export(small_checkpoint(cutoff=3.0, short_range="zbl"), tmp_path / "model.pt", "float64")
    atoms = crystal(4).repeat((2, 1, 1))
    atoms.set_cell(0.8 * atoms.cell.array, scale_atoms=True)
    write_data(tmp_path / "c.data", atoms)
    after = "fix n all numdiff 1 1e-5\ndump n all custom 1 n.dump id fx fy fz f_n[1] f_n[2] f_n[3]"
    after += "\ndump_modify n sort id format float %.17g"
    result = run(tmp_path, section(tmp_path / "model.pt", atoms, "c", after=after), ranks)
    assert result.returncode == 0, result.stdout
    forces, differences = np.split(frames(tmp_path / "n.dump")[0], 2, axis=1)
    assert np.abs(forces).max() > 10
    assert np.abs(forces - differences).max() <= 1e-6 * np.abs(forces).max()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_molecules(dtype, tmp_path):
    """All-to-all: every pair of atoms."""
    file = tmp_path / "model.pt"
    export(small_checkpoint(short_range="zbl"), file, dtype)
    model, tolerance = ExportedModel(file, "cpu"), PARITY_RELATIVE[dtype]
    structures = [atoms for atoms in pressed() if not atoms.pbc.any()]
    assert len(structures) > 6
    deck = []
    for index, atoms in enumerate(structures):
        write_data(tmp_path / f"s{index}.data", atoms)
        deck.append(section(file, atoms, f"s{index}", style="kernels native"))
    result = run(tmp_path, "clear\n".join(deck))
    assert result.returncode == 0, result.stdout
    for index, (atoms, thermo) in enumerate(zip(structures, read_thermo(tmp_path / "test.log"), strict=True)):
        wanted = model.evaluate(atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc)
        forces = frames(tmp_path / f"s{index}.dump")[0, :, 3:]
        assert abs(thermo[2] - wanted.energies.sum()) <= tolerance * max(1.0, abs(thermo[2])), index
        assert np.abs(forces - wanted.forces).max() <= tolerance * max(1.0, np.abs(wanted.forces).max()), index
