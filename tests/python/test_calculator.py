import numpy as np
import pytest

from toys import springs
from transip_md.common.errors import UsageError
from transip_md.engines.ase import TransIPCalculator


def test_results(toy_file, ethanol):
    ethanol.calc = TransIPCalculator(toy_file)
    energies, forces = springs(ethanol.positions)
    assert ethanol.get_potential_energy() == pytest.approx(energies.sum(), abs=1e-11)
    assert ethanol.get_potential_energies() == pytest.approx(energies, abs=1e-11)
    assert ethanol.get_forces() == pytest.approx(forces, abs=1e-11)


def test_moving_atoms_changes_the_results(toy_file, ethanol):
    ethanol.calc = TransIPCalculator(toy_file)
    before = ethanol.get_potential_energy()
    ethanol.positions[0] += 0.1
    energies, _ = springs(ethanol.positions)
    assert ethanol.get_potential_energy() == pytest.approx(energies.sum(), abs=1e-11)
    assert abs(ethanol.get_potential_energy() - before) > 1e-3


def test_a_structure_after_another(toy_file, ethanol):
    """A moved structure, another one in whose place it is given, and one that was made from the calculator's own."""
    calculator = TransIPCalculator(toy_file)

    def energy_of(atoms):
        return springs(atoms.positions)[0].sum()

    assert calculator.get_potential_energy(ethanol) == pytest.approx(energy_of(ethanol), abs=1e-11)
    ethanol.positions[0] += 0.1
    assert calculator.check_state(ethanol) == ["positions"]
    assert calculator.get_potential_energy(ethanol) == pytest.approx(energy_of(ethanol), abs=1e-11)
    assert (calculator.atoms.positions == ethanol.positions).all() and calculator.atoms is not ethanol
    assert calculator.check_state(ethanol) == []
    fewer = ethanol[:5]
    calculator.calculate(fewer, ["energy"], ["positions"])
    assert calculator.results["energy"] == pytest.approx(energy_of(fewer), abs=1e-11)
    fewer.positions[2] -= 0.2
    assert calculator.get_potential_energy(fewer) == pytest.approx(energy_of(fewer), abs=1e-11)
    own = calculator.atoms.copy()
    own.positions[1] += 0.3
    assert calculator.get_potential_energy(own) == pytest.approx(energy_of(own), abs=1e-11)


def test_after_a_refused_structure(toy_file, ethanol):
    """A charge that is not the one asked for is refused once, and not remembered."""
    ethanol.calc = TransIPCalculator(toy_file, charge=0)
    assert ethanol.get_forces().shape == (9, 3)
    ethanol.info["charge"] = 1
    ethanol.positions[0] += 0.1
    with pytest.raises(UsageError, match="states charge 1"):
        ethanol.get_forces()
    del ethanol.info["charge"]
    for _ in range(3):
        ethanol.positions[0] += 0.1
        energies, _ = springs(ethanol.positions)
        assert ethanol.get_potential_energy() == pytest.approx(energies.sum(), abs=1e-11)


def test_works_where_differentiation_is_switched_off(toy_file, ethanol):
    import torch

    ethanol.calc = TransIPCalculator(toy_file)
    with torch.no_grad():
        forces = ethanol.get_forces()
    assert np.abs(forces).max() > 0.1


def test_refuses(toy_file, ethanol):
    ethanol.calc = TransIPCalculator(toy_file)
    ethanol.set_cell([20, 20, 20])
    ethanol.pbc = True
    with pytest.raises(UsageError, match="periodic"):
        ethanol.get_potential_energy()
    ethanol.pbc = False
    ethanol.numbers[0] = 7
    with pytest.raises(UsageError, match="does not know N"):
        ethanol.get_potential_energy()
    with pytest.raises(UsageError, match="charge"):
        TransIPCalculator(toy_file, charge=5)
