"""Momenta that dynamics start from."""

import ase
import numpy as np
import pytest

from transip_md.common.units import BOLTZMANN
from transip_md.sampling.thermal import set_thermal_momenta


def test_every_component_has_half_of_kt():
    """Equipartition, whatever the mass; 3 x 20,000 numbers know their mean square within 1 %."""
    atoms = ase.Atoms("H20000S20000", np.zeros((40000, 3)))
    set_thermal_momenta(atoms, 350.0, np.random.default_rng(0))
    squares = atoms.get_momenta() ** 2 / atoms.get_masses()[:, None]
    for element in (squares[:20000], squares[20000:]):
        assert element.mean(axis=0) == pytest.approx(BOLTZMANN * 350.0, rel=0.03)
        assert element.mean() == pytest.approx(BOLTZMANN * 350.0, rel=0.01)
    assert abs(atoms.get_momenta().mean()) < 0.01
