"""The force on the arrays of OpenMM's CUDA platform, by native kernels: precisions, order of atoms, groups, boxes."""

from __future__ import annotations

import ase
import ase.io
import numpy as np
import pytest
import torch

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")

from openmm import unit

import openmm_contexts
from openmm_contexts import KJ, NM, energy_and_forces, system_of
from transip_md.common.tolerances import DRIFT, PARITY
from transip_md.engines.openmm import create_force
from transip_md.engines.openmm.native import forces_on_device
from transip_md.exporting.export import export

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
    pytest.mark.usefixtures("openmm_plugin", "cuda_platform"),
]

#: What single precision of the positions (nm, up to 4) does to a force, against positions in double precision.
SINGLE = 5e-4


@pytest.fixture(scope="module")
def cuda_platform():
    try:
        openmm.Platform.getPlatformByName("CUDA")
    except openmm.OpenMMException as error:
        pytest.skip(f"OpenMM has no CUDA platform here: {error}. Type `pip install 'transip-md[openmm-cuda]'`.")


@pytest.fixture(autouse=True)
def own_kernels(monkeypatch):
    monkeypatch.setenv("TRANSIP_KERNELS", "native")


@pytest.fixture(scope="module")
def water_file(tmp_path_factory):
    """The shipped local model, float64."""
    import transip_md

    file = tmp_path_factory.mktemp("water") / "water.pt"
    export(transip_md.pretrained("water"), file)
    return file


@pytest.fixture
def water(repository) -> ase.Atoms:
    return ase.io.read(repository / "examples" / "openmm" / "water.pdb")


def context_of(atoms, precision, *forces, step=0.0005):
    """A Context of the CUDA platform."""
    return openmm_contexts.context_of(system_of(atoms, *forces), atoms.positions, "CUDA", step, Precision=precision)


def reference(atoms, *forces):
    return openmm_contexts.context_of(system_of(atoms, *forces), atoms.positions)


def compare(measured, name, got, wanted, precision, groups=-1):
    (energy, forces), (true_energy, true_forces) = energy_and_forces(got, groups), energy_and_forces(wanted, groups)
    allowed = SINGLE if precision == "single" else PARITY["float64"].force
    per_atom = SINGLE if precision == "single" else PARITY["float64"].energy
    measured(f"{name}, {precision}, energy", abs(energy - true_energy) / len(forces), per_atom, "eV/atom")
    measured(f"{name}, {precision}, force", np.abs(forces - true_forces).max(), allowed, "eV/Angstrom")


@pytest.mark.parametrize("precision", ["single", "mixed", "double"])
def test_parity(precision, ethanol_file, ethanol, water_file, water, measured):
    for file, atoms, name in ((ethanol_file, ethanol, "ethanol"), (water_file, water, "water")):
        periodic = bool(atoms.pbc.any())
        before = forces_on_device()
        force = create_force(file, atoms.numbers, device="cuda", periodic=periodic, backend="native")
        context = context_of(atoms, precision, force)
        assert forces_on_device() == before + 1, "the force does not work on the Context's arrays"
        by_cpu = create_force(file, atoms.numbers, device="cpu", periodic=periodic, backend="native")
        compare(measured, f"platform, {name}", context, reference(atoms, by_cpu), precision)


def test_the_same_bits_twice(water_file, water):
    runs = []
    for _ in range(2):
        force = create_force(water_file, water.numbers, device="cuda", periodic=True, backend="native")
        context = context_of(water, "mixed", force)
        context.setVelocitiesToTemperature(300, 2)
        context.getIntegrator().step(20)
        runs.append(context.getState(positions=True).getPositions(asNumpy=True)._value)
    assert np.array_equal(*runs)


def classical(atoms) -> openmm.NonbondedForce:
    """Lennard-Jones with a cutoff: with it OpenMM sorts the atoms in space."""
    force = openmm.NonbondedForce()
    for _ in range(len(atoms)):
        force.addParticle(0.0, 0.25, 0.1)
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(0.6)
    return force


def test_order_subset_and_groups(water_file, water, measured):
    """A third of the molecules by the model, after OpenMM has changed the order of the atoms."""
    chosen = [i for molecule in range(0, 64, 3) for i in range(3 * molecule, 3 * molecule + 3)]
    contexts = []
    for device in ("cuda", "cpu"):
        force = create_force(
            water_file, water.numbers, device=device, periodic=True, particles=chosen, backend="native"
        )
        force.setForceGroup(2)
        forces = (force, classical(water))
        contexts.append(context_of(water, "double", *forces) if device == "cuda" else reference(water, *forces))
    on_device, on_host = contexts
    on_device.setVelocitiesToTemperature(300, 2)
    on_device.getIntegrator().step(600)
    positions = on_device.getState(positions=True).getPositions(asNumpy=True)
    on_host.setPositions(positions)
    compare(measured, "another order, group 2", on_device, on_host, "double", {2})
    compare(measured, "another order, group 0", on_device, on_host, "single", {0})


def test_energies_alone(water_file, water):
    force = create_force(water_file, water.numbers, device="cuda", periodic=True, backend="native")
    context = context_of(water, "mixed", force)
    alone = context.getState(energy=True).getPotentialEnergy()._value / KJ
    energy, forces = energy_and_forces(context)
    assert alone == energy and np.abs(forces).max() > 0.1


def test_barostat(water_file, water, measured):
    barostat = openmm.MonteCarloBarostat(2000 * unit.bar, 300 * unit.kelvin, 1)
    barostat.setRandomNumberSeed(4)
    force = create_force(water_file, water.numbers, device="cuda", periodic=True, backend="native")
    context = context_of(water, "double", force, barostat)
    context.setVelocitiesToTemperature(300, 2)
    context.getIntegrator().step(60)
    state = context.getState(positions=True)
    box = state.getPeriodicBoxVectors(asNumpy=True)._value * NM
    assert np.abs(box - water.cell.array).max() > 1e-4
    water.set_cell(box)
    water.positions = state.getPositions(asNumpy=True)._value * NM
    by_cpu = create_force(water_file, water.numbers, device="cpu", periodic=True, backend="native")
    compare(measured, "after volume moves", context, reference(water, by_cpu), "double")


def test_energy_is_conserved(ethanol_file, ethanol, measured):
    """10 ps in mixed precision."""
    force = create_force(ethanol_file, ethanol.numbers, device="cuda", backend="native")
    context = context_of(ethanol, "mixed", force)
    context.setVelocitiesToTemperature(300, 1)
    times, totals = [], []
    for step in range(0, 20_000, 100):
        context.getIntegrator().step(100)
        state = context.getState(energy=True)
        times.append(0.0005 * step)
        totals.append((state.getPotentialEnergy() + state.getKineticEnergy())._value / KJ)
    slope = np.polyfit(times, totals, 1)[0] * 1000.0 / len(ethanol)
    measured("platform, NVE of ethanol over 10 ps, drift", abs(slope), DRIFT, "meV/atom/ps")
