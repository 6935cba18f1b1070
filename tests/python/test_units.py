import re

import ase.units
import pytest

from transip_md.common import units


def cpp_constants(repository) -> dict[str, float]:
    text = (repository / "libtransip/include/transip/units.h").read_text()
    values: dict[str, float] = {}
    for name, expression in re.findall(r"inline constexpr double (\w+) = ([^;]+);", text):
        values[name] = eval(expression, {}, dict(values))
    return values


def test_cpp_twin_has_the_same_numbers(repository):
    twin = cpp_constants(repository)
    assert set(twin) == {
        "joule_per_ev",
        "avogadro",
        "kj_per_mol_per_ev",
        "kcal_per_mol_per_ev",
        "angstrom_per_nm",
        "bohr",
        "hartree",
    }
    assert twin["kj_per_mol_per_ev"] == units.KJ_PER_MOL_PER_EV
    assert twin["kcal_per_mol_per_ev"] == pytest.approx(units.KCAL_PER_MOL_PER_EV, rel=1e-15)
    assert (twin["bohr"], twin["hartree"]) == (units.BOHR, units.HARTREE)
    assert twin["angstrom_per_nm"] == units.ANGSTROM_PER_NM


def test_published_values():
    # NIST, CODATA 2018: Faraday constant 96485.33212 C/mol, Boltzmann constant 8.617333262e-5 eV/K.
    assert pytest.approx(96.48533212, rel=1e-10) == units.KJ_PER_MOL_PER_EV
    assert pytest.approx(96.48533212 / 4.184, rel=1e-10) == units.KCAL_PER_MOL_PER_EV
    assert pytest.approx(8.617333262e-5, rel=1e-9) == units.BOLTZMANN


def test_mechanical_unit_against_ase():
    # ase's table of CODATA 2014 differs in the eighth digit.
    assert pytest.approx(ase.units.fs**2, rel=1e-7) == units.ACCELERATION
    assert pytest.approx(ase.units.Hartree, rel=1e-7) == units.HARTREE
    assert pytest.approx(ase.units.Bohr, rel=1e-7) == units.BOHR
