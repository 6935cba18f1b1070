"""What the native plugin does beside giving the right numbers: molecules in boxes, energies alone, bonds."""

from __future__ import annotations

import hashlib

import ase
import numpy as np
import pytest

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")

from openmm.app import Element, Topology

from networks import crystal
from openmm_contexts import (
    NM,
    beside_argon,
    context_of,
    energy_and_forces,
    energy_of,
    require_parity,
    system_of,
)
from toys import springs
from transip_md.engines.openmm import create_force
from transip_md.evaluators.torch_model import ExportedModel

pytestmark = pytest.mark.usefixtures("openmm_plugin")


def native(*arguments, **options):
    return create_force(*arguments, backend="native", **options)


# ---- a molecule among others in a periodic box ---------------------------------------------------------------------


def solvated(toy_file, ethanol: ase.Atoms) -> tuple[openmm.System, ase.Atoms]:
    """Ethanol by an all-to-all model, and one particle beside it, in a periodic box of 20 Angstrom."""
    atoms, around = beside_argon(ethanol)
    return system_of(atoms, native(toy_file, atoms.numbers, particles=range(9)), around), atoms


def test_molecule_in_one_piece_anywhere_in_the_box(toy_file, ethanol):
    system, atoms = solvated(toy_file, ethanol)
    wanted = springs(ethanol.positions)[0].sum()
    for shift in ([0, 0, 0], [19.5, -40.2, 7.7]):
        assert energy_of(context_of(system, atoms.positions + shift)) == pytest.approx(wanted, abs=1e-8)


def test_molecule_that_the_box_cuts_in_two(toy_file, ethanol):
    system, atoms = solvated(toy_file, ethanol)
    atoms.wrap()
    with pytest.raises(openmm.OpenMMException, match=r"particles \d and \d are .* through the periodic box"):
        energy_of(context_of(system, atoms.positions))


def test_molecule_in_a_box_too_small_for_it(toy_file, ethanol):
    system, atoms = solvated(toy_file, ethanol)
    context = context_of(system, atoms.positions)
    energy_of(context)
    system.getForce(1).setCutoffDistance(0.2)
    context.reinitialize()
    context.setPeriodicBoxVectors([0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5])
    context.setPositions(atoms.positions / NM)
    with pytest.raises(openmm.OpenMMException, match="or a larger box"):
        energy_of(context)


# ---- bonds ---------------------------------------------------------------------------------------------------------


def topology_of(symbols: str, bonds: list[tuple[int, int]]) -> Topology:
    topology = Topology()
    residue = topology.addResidue("MOL", topology.addChain())
    atoms = [topology.addAtom(symbol, Element.getBySymbol(symbol), residue) for symbol in symbols]
    for first, second in bonds:
        topology.addBond(atoms[first], atoms[second])
    return topology


def molecules(topology, force) -> list[list[int]]:
    system = openmm.System()
    for atom in topology.atoms():
        system.addParticle(atom.element.mass)
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    return sorted(sorted(molecule) for molecule in context.getMolecules())


def test_molecules_are_those_of_the_topology(local_file, toy_file):
    """Barostats move molecules as a whole, and OpenMM knows them by bonds only."""
    topology = topology_of("OHHOHHC", [(0, 1), (0, 2), (3, 4), (3, 5), (5, 6)])
    assert molecules(topology, native(local_file, topology)) == [[0, 1, 2], [3, 4, 5, 6]]
    assert molecules(topology, native(local_file, topology, particles=[0, 1, 3, 4, 5])) == [[0, 1], [2], [3, 4, 5], [6]]
    # What an all-to-all model describes is one molecule: it sees no images.
    assert molecules(topology, native(toy_file, topology, particles=[1, 3, 5])) == [[0], [1, 3, 5], [2], [4], [6]]


def test_bond_with_a_particle_that_is_not_there(toy_file):
    text = openmm.XmlSerializer.serialize(native(toy_file, [6, 6, 8], particles=[0, 2]))
    assert '<Bond first="0" second="2"' in text
    broken = openmm.XmlSerializer.deserialize(text.replace('second="2"', 'second="1"'))
    with pytest.raises(openmm.OpenMMException, match="a bond has particle 1, which is none of the force's"):
        context_of(system_of(ase.Atoms("CCO"), broken), np.eye(3))


# ---- energies alone ------------------------------------------------------------------------------------------------


def test_energy_alone_is_that_of_energy_and_forces(local_files, all_to_all_files, ethanol):
    for files, atoms in ((local_files, crystal(2)), (all_to_all_files, ethanol)):
        for file in files.values():
            made = native(file, atoms.numbers, periodic=bool(atoms.pbc.any()))
            integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.0005)
            platform = openmm.Platform.getPlatformByName("Reference")
            context = openmm.Context(system_of(atoms, made), integrator, platform)
            context.setPositions(atoms.positions / NM)
            assert energy_of(context) == pytest.approx(energy_and_forces(context)[0], abs=1e-12)
            # Forces asked for after an energy alone are there.
            assert np.abs(energy_and_forces(context)[1]).max() > 1e-3


def test_files_without_a_way_to_energies_alone(toy_file, ethanol):
    """The analytic model's module has no method `energies`, as files of earlier versions have none."""
    context = context_of(system_of(ethanol, native(toy_file, ethanol.numbers)), ethanol.positions)
    assert energy_of(context) == pytest.approx(springs(ethanol.positions)[0].sum(), abs=1e-9)


# ---- the file ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 54, 55, 56, 63, 64, 65, 119, 120, 128, 100_000])
def test_sha256_is_that_of_hashlib(toy_file, tmp_path, size):
    """Padding changes with the size modulo 64; a file with a wrong end of the archive shows what was accepted."""
    file = tmp_path / "bytes.pt"
    file.write_bytes(np.random.default_rng(size).bytes(size))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()

    def complaint(sha256: str) -> str:
        text = openmm.XmlSerializer.serialize(native(toy_file, [6]))
        root = text.replace(f'file="{toy_file.resolve()}"', f'file="{file}"')
        root = root.replace(f'sha256="{hashlib.sha256(toy_file.read_bytes()).hexdigest()}"', f'sha256="{sha256}"')
        assert f'sha256="{sha256}"' in root and str(file) in root
        with pytest.raises(openmm.OpenMMException) as caught:
            context_of(system_of(ase.Atoms("C"), openmm.XmlSerializer.deserialize(root)), np.zeros((1, 3)))
        return str(caught.value)

    assert "is not a TorchScript file" in complaint(digest)
    assert "contents have changed" in complaint(digest[:-1] + ("0" if digest[-1] != "0" else "1"))


# ---- barostats -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["isotropic", "anisotropic"])
def test_energies_after_box_moves_are_those_of_a_fresh_context(local_file, kind):
    atoms = crystal(4).repeat(2)
    atoms.set_cell([9.0, 9.5, 10.0])
    if kind == "isotropic":
        barostat = openmm.MonteCarloBarostat(1.0, 300.0, 2)
    else:
        barostat = openmm.MonteCarloAnisotropicBarostat([1.0, 1.0, 1.0], 300.0, True, True, False, 2)
    barostat.setRandomNumberSeed(3)
    system = system_of(atoms, native(local_file, atoms.numbers, periodic=True), barostat)
    context = context_of(system, atoms.positions)
    context.setVelocitiesToTemperature(300, 1)
    model, volumes = ExportedModel(local_file, "cpu"), set()
    for _ in range(5):
        context.getIntegrator().step(10)
        state = context.getState(positions=True)
        moved = atoms.copy()
        moved.set_cell(np.array(state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(openmm.unit.angstrom)))
        moved.positions = state.getPositions(asNumpy=True).value_in_unit(openmm.unit.angstrom)
        volumes.add(round(moved.get_volume(), 6))
        fresh = context_of(system_of(moved, native(local_file, atoms.numbers, periodic=True)), moved.positions)
        assert energy_of(context) == pytest.approx(energy_of(fresh), abs=1e-9)
        require_parity(context, model, moved)
    assert len(volumes) >= 3
    if kind == "anisotropic":
        assert moved.cell.array[2, 2] == pytest.approx(10.0, abs=1e-9)
        assert moved.cell.array[0, 0] / 9.0 != pytest.approx(moved.cell.array[1, 1] / 9.5, abs=1e-6)
