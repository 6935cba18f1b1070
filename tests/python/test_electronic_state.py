"""Charge and spin that a structure states: honoured where the model knows them, refused where it does not."""

from __future__ import annotations

import ase
import numpy as np
import pytest

from transip_md.common.errors import UsageError
from transip_md.data.electronic_state import ElectronicState, known_state, state_of
from transip_md.engines.ase import TransIPCalculator
from transip_md.engines.base import Job
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.modelfile.metadata import read_metadata
from transip_md.validation.parity import compare_engines


@pytest.fixture(scope="module")
def ions_file(tmp_path_factory):
    """A small model of charges -1 to 1 and multiplicities 1 to 3 whose answers depend on both."""
    from networks import small_checkpoint
    from transip_md.exporting.export import export

    file = tmp_path_factory.mktemp("ions") / "ions.pt"
    export(small_checkpoint(charge=(-1, 1), multiplicity=(1, 3)), file)
    return file


@pytest.fixture
def water() -> ase.Atoms:
    return ase.Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])


def wanted(file, atoms, charge, multiplicity) -> float:
    return float(
        ExportedModel(file, "cpu").evaluate(atoms.numbers, atoms.positions, charge, multiplicity).energies.sum()
    )


STATEMENTS = {
    "charge": ({"charge": 1, "multiplicity": 2}, None, None, (1, 2)),
    "real-number": ({"charge": -1.0}, None, None, (-1, 1)),
    "numpy": ({"charge": np.int64(1), "spin": np.float32(2)}, None, None, (1, 2)),
    "total_charge": ({"total_charge": -1}, None, None, (-1, 1)),
    "spin": ({"spin": 3}, None, None, (0, 3)),
    "initial-charges": ({}, [1.2, -0.1, -0.1], None, (1, 1)),
    "partial-charges": ({}, [-0.834, 0.417, 0.417], None, (0, 1)),
    "magnetic-moments": ({}, None, [2, 0, 0], (0, 3)),
    "none": ({}, None, None, (0, 1)),
    "same-twice": ({"charge": 1, "total_charge": 1}, None, None, (1, 1)),
    "info-before-charges": ({"charge": 2, "spin": 3}, [-1, 0, 0], [1, 0, 0], (2, 3)),
}


def stating(atoms, info, charges, moments) -> ase.Atoms:
    atoms = atoms.copy()
    atoms.info.update(info)
    if charges is not None:
        atoms.set_initial_charges(charges)
    if moments is not None:
        atoms.set_initial_magnetic_moments(moments)
    return atoms


@pytest.mark.parametrize("name", STATEMENTS)
def test_what_a_structure_states(water, name):
    info, charges, moments, state = STATEMENTS[name]
    assert state_of(stating(water, info, charges, moments), "w.xyz") == state


@pytest.mark.parametrize(
    ("info", "charges", "words"),
    [
        ({"charge": 0.5}, None, "w.xyz: charge 0.5, expected an integer"),
        ({"charge": "two"}, None, "w.xyz: charge two"),
        ({"charge": True}, None, "w.xyz: charge True"),
        ({"charge": float("nan")}, None, "w.xyz: charge nan"),
        ({"spin": 0}, None, "at least 1"),
        (
            {"charge": 1, "total_charge": 0},
            None,
            "w.xyz states its charge in ways that differ: charge 1, total_charge 0",
        ),
        ({"spin": 1, "multiplicity": 3}, None, "multiplicity 3, spin 1"),
        ({}, [0.5, 0, 0], "total of its initial charges"),
    ],
)
def test_statements_that_cannot_be(water, info, charges, words):
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        state_of(stating(water, info, charges, None), "w.xyz")


def test_who_asks_and_the_structure_must_agree(water):
    water.info["charge"] = 1
    assert state_of(water, "w.xyz", charge=1) == (1, 1)
    with pytest.raises(UsageError, match=r"w\.xyz states charge 1, and charge 0 is asked for"):
        state_of(water, "w.xyz", charge=0)
    del water.info["charge"]
    assert state_of(water, "w.xyz", charge=-1, multiplicity=2) == (-1, 2)
    assert state_of(water, "w.xyz", default=ElectronicState(1, 2)) == (1, 2)


def test_states_that_a_model_does_not_know(water, ions_file):
    water.info["charge"] = 2
    with pytest.raises(UsageError, match=r"w\.xyz: The model knows charge -1 to 1; got charge 2"):
        known_state(read_metadata(ions_file), water, "w.xyz")
    water.calc = TransIPCalculator(ions_file, device="cpu")
    with pytest.raises(UsageError, match="got charge 2"):
        water.get_potential_energy()


@pytest.mark.parametrize("state", [(0, 1), (1, 2), (-1, 3)])
def test_ase(water, ions_file, state):
    energy = wanted(ions_file, water, *state)
    water.info.update(charge=state[0], spin=state[1])
    water.calc = TransIPCalculator(ions_file, device="cpu")
    assert water.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    assert abs(energy - wanted(ions_file, water, 1, 1)) > 1e-6


def test_ase_evaluates_again_when_the_charge_changes(water, ions_file):
    water.calc = TransIPCalculator(ions_file, device="cpu")
    water.get_potential_energy()
    water.info["charge"] = 1
    assert water.get_potential_energy() == pytest.approx(wanted(ions_file, water, 1, 1), abs=1e-9)


def test_the_calculators_own_charge(water, ions_file):
    water.calc = TransIPCalculator(ions_file, device="cpu", charge=1, multiplicity=2)
    assert water.get_potential_energy() == pytest.approx(wanted(ions_file, water, 1, 2), abs=1e-9)
    water.info["charge"] = -1
    with pytest.raises(UsageError, match="states charge -1, and charge 1 is asked for"):
        water.get_potential_energy()


@pytest.mark.parametrize("state", [(1, 2), (-1, 1)])
def test_every_engine(water, ions_file, tmp_path, lammps_plugin, openmm_plugin, state):
    water.info.update(charge=state[0], multiplicity=state[1])
    rows, _ = compare_engines(ions_file, water, ["ase", "lammps", "openmm"], tmp_path, "cpu")
    for row in rows:
        assert row.passed
        assert row.energy == pytest.approx(wanted(ions_file, water, *state), abs=1e-8), row.engine


@pytest.mark.parametrize("command", ["parity", "nve", "validate", "bench"])
def test_commands_refuse_what_the_model_does_not_know(ions_file, tmp_path, water, command):
    from typer.testing import CliRunner

    from transip_md.cli.main import app

    water.info["charge"] = 3
    water.write(tmp_path / "ion.xyz", format="extxyz")
    more = ["--out", str(tmp_path / "out")] if command == "nve" else []
    result = CliRunner().invoke(app, [command, str(ions_file), str(tmp_path / "ion.xyz"), *more])
    assert isinstance(result.exception, UsageError)
    assert "ion.xyz" in str(result.exception) and "got charge 3" in str(result.exception)


def test_validate_evaluates_the_stated_charge(ions_file, tmp_path, water):
    from transip_md.validation.run import validate

    water.info["charge"] = 1
    water.write(tmp_path / "ion.xyz", format="extxyz")
    found = validate(ions_file, [tmp_path / "ion.xyz"], only=["engines", "forces"], device="cpu")
    assert {finding.verdict for finding in found.findings if finding.check == "engines"} == {"PASS"}


def test_jobs_of_other_states_are_other_jobs(water, ions_file, tmp_path):
    water.info["charge"] = 1
    assert Job(ions_file, water, tmp_path).state == (1, 1)


def test_what_the_calculator_takes_for_a_change(ethanol, toy_file):
    """Each of these asks for another evaluation; the same structure, even as another object, does not."""
    calculator = TransIPCalculator(toy_file, device="cpu")
    ethanol.calc = calculator
    ethanol.get_potential_energy()
    assert calculator.check_state(ethanol.copy()) == []
    changes = {
        "positions": lambda atoms: atoms.positions.__iadd__(1e-9),
        "numbers": lambda atoms: atoms.set_atomic_numbers(atoms.numbers[::-1]),
        "cell": lambda atoms: atoms.set_cell([9.0, 9.0, 9.0]),
        "pbc": lambda atoms: atoms.set_pbc([True, False, False]),
        "info": lambda atoms: atoms.info.update(charge=1),
    }
    for name, change in changes.items():
        other = ethanol.copy()
        change(other)
        assert calculator.check_state(other) == [name]
    other = ethanol.copy()
    other.set_initial_magnetic_moments([2.0] + [0.0] * 8)
    assert calculator.check_state(other) == ["info"]
    assert "positions" in calculator.check_state(ethanol[:3])
