"""Names of modules of earlier versions, as scripts, pickles and saved Systems have them.

tests/data/former_names was written by the last version whose modules had these names.
"""

from __future__ import annotations

import importlib.util
import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import ase
import numpy as np
import pytest

from transip_md.common import units
from transip_md.common.former_names import FORMER_NAMES
from transip_md.common.tolerances import PARITY
from transip_md.engines.openmm.native import load_plugin

DATA = Path(__file__).resolve().parents[1] / "data"
MODEL = DATA / "format1" / "molecule.pt"
NUMBERS = json.loads((DATA / "format1" / "numbers.json").read_text())["molecule"]


def test_a_former_name_is_the_module_of_today():
    """In a process that has imported nothing yet, as a script does."""
    absent = {"transip_md.engines.torch_sim_model"} if importlib.util.find_spec("torch_sim") is None else set()
    code = """
import importlib, json, sys, warnings
for former, name in json.loads(sys.argv[1]).items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = importlib.import_module(former)
    today = sys.modules[name]
    assert sys.modules[former] is today is found, former
    # An attribute of the package, as `import transip_md.former` followed by its use wants it.
    package, _, last = former.rpartition(".")
    assert getattr(sys.modules[package], last) is today, former
    assert today.__spec__.name == name, (former, today.__spec__)
    assert any(f"is called {name} now" in str(warning.message) for warning in caught), former
"""
    names = {former: name for former, name in FORMER_NAMES.items() if former not in absent}
    assert len(names) > 10
    subprocess.run([sys.executable, "-c", code, json.dumps(names)], check=True)


def test_inside_a_renamed_package_there_is_one_copy():
    code = """
from transip_md.openmm.request import ForceRequest
from transip_md.engines.openmm import request
assert request.ForceRequest is ForceRequest
from transip_md.ase import TransIPCalculator
assert TransIPCalculator.__module__ == "transip_md.engines.ase.calculator"
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_a_name_that_never_was():
    with pytest.raises(ModuleNotFoundError):
        __import__("transip_md.asa")


class Unpickler(pickle.Unpickler):
    """An unpickler for which the model lies where this machine has it."""

    def find_class(self, module, name):
        return (lambda *parts: MODEL) if name == "PosixPath" else super().find_class(module, name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_pickled_calculator():
    calculator = Unpickler(io.BytesIO((DATA / "former_names" / "calculator.pickle").read_bytes())).load()
    atoms = ase.Atoms(NUMBERS["numbers"], NUMBERS["positions"])
    atoms.calc = calculator
    tolerance = PARITY["float64"]
    assert atoms.get_potential_energy() == pytest.approx(NUMBERS["energy"], abs=tolerance.energy)
    assert np.abs(atoms.get_forces() - NUMBERS["forces"]).max() < tolerance.force


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_saved_system_with_a_python_force(monkeypatch):
    check_saved_system("python.xml", monkeypatch)


@pytest.mark.usefixtures("openmm_plugin")
def test_a_saved_system_with_a_native_force(monkeypatch):
    load_plugin()
    check_saved_system("native.xml", monkeypatch)


@pytest.mark.usefixtures("openmm_plugin")
@pytest.mark.parametrize("file", ["native.xml", "native_frame.xml"])
def test_a_native_force_is_saved_as_before(file):
    openmm = pytest.importorskip("openmm")
    load_plugin()
    saved = (DATA / "former_names" / file).read_text()
    system = openmm.XmlSerializer.deserialize(saved)
    assert forces_in(openmm.XmlSerializer.serialize(system)) == forces_in(saved)


def forces_in(system: str) -> str:
    """The part of a System's XML that does not depend on OpenMM's version."""
    return system[system.index("<Forces>") :]


def check_saved_system(file: str, monkeypatch):
    """A saved System gives the numbers that its model file was exported with."""
    openmm = pytest.importorskip("openmm")
    monkeypatch.setenv("TRANSIP_MD_MODELS", str(MODEL.parent))
    system = openmm.XmlSerializer.deserialize((DATA / "former_names" / file).read_text())
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(np.array(NUMBERS["positions"]) / units.ANGSTROM_PER_NM)
    state = context.getState(energy=True, forces=True)
    tolerance = PARITY["float64"]
    energy = state.getPotentialEnergy()._value / units.KJ_PER_MOL_PER_EV
    forces = state.getForces(asNumpy=True)._value / units.KJ_PER_MOL_PER_EV / units.ANGSTROM_PER_NM
    assert energy == pytest.approx(NUMBERS["energy"], abs=tolerance.energy)
    assert np.abs(forces - NUMBERS["forces"]).max() < tolerance.force
