"""Liquid water by the shipped model: constant energy, and constant pressure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")

from openmm.app import PDBFile

from openmm_contexts import NM, context_of, energy_of, positions_of
from transip_md.common.tolerances import PARITY
from transip_md.dynamics.run import NveSettings, run_nve
from transip_md.engines.openmm import create_force

pytestmark = pytest.mark.usefixtures("openmm_plugin")


@pytest.fixture(scope="module")
def compiled_files(tmp_path_factory) -> dict[tuple[str, str], Path]:
    """Shipped models, compiled when they are asked for."""

    class Files(dict):
        def __missing__(self, key: tuple[str, str]) -> Path:
            import transip_md
            from transip_md.exporting.export import export

            name, dtype = key
            self[key] = tmp_path_factory.mktemp("compiled") / f"{name}-{dtype}.pt2"
            export(transip_md.pretrained(name), self[key], dtype, form="aoti")
            return self[key]

    return Files()


@pytest.mark.long
@pytest.mark.parametrize("name", ["ethanol", "water"])
def test_energy_is_conserved(name, ethanol, water, compiled_files, tmp_path):
    """The bar is that of the nve command: at most 0.02 meV/atom/ps over 10 ps, and known as well."""
    atoms = {"ethanol": ethanol, "water": water}[name]
    found = run_nve(compiled_files[name, "float64"], atoms, ["openmm"], tmp_path, NveSettings(time=10.0))
    verdict = found.verdicts["openmm"]
    print(f"{name}: {verdict.slope:+.5f} +- {verdict.slope_error:.5f} meV/atom/ps, {verdict.temperature:.0f} K")
    assert verdict.passed, verdict.reason


def barostat_of(kind: str, frequency: int) -> openmm.Force:
    """At 1 bar and 300 K."""
    if kind == "isotropic":
        barostat = openmm.MonteCarloBarostat(1.0, 300.0, frequency)
    else:
        barostat = openmm.MonteCarloAnisotropicBarostat([1.0] * 3, 300.0, True, True, True, frequency)
    barostat.setRandomNumberSeed(1)
    return barostat


def density(system: openmm.System, context: openmm.Context) -> float:
    """g/cm^3."""
    masses = [system.getParticleMass(index).value_in_unit(openmm.unit.gram / openmm.unit.mole) for index in range(192)]
    volume = context.getState().getPeriodicBoxVolume().value_in_unit(openmm.unit.centimeter**3)
    return sum(masses) / openmm.unit.AVOGADRO_CONSTANT_NA.value_in_unit(openmm.unit.mole**-1) / volume


@pytest.mark.parametrize(
    ("steps", "frequency"),
    [pytest.param(60, 4, id="short"), pytest.param(20_000, 25, id="10 ps", marks=pytest.mark.long)],
)
@pytest.mark.parametrize("kind", ["isotropic", "anisotropic"])
def test_constant_pressure(kind, steps, frequency, repository, water_file, compiled_files):
    """After the box has moved, the energy is that of a Context that has seen no other box."""
    long = steps > 1000
    model, dtype = (compiled_files["water", "float32"], "float32") if long else (water_file, "float64")
    pdb = PDBFile(str(repository / "examples/openmm/water.pdb"))

    def system_with(*more: openmm.Force) -> openmm.System:
        system = openmm.System()
        for atom in pdb.topology.atoms():
            system.addParticle(atom.element.mass)
        system.setDefaultPeriodicBoxVectors(*pdb.topology.getPeriodicBoxVectors())
        for force in (create_force(model, pdb.topology, backend="native", device="cpu"), *more):
            system.addForce(force)
        return system

    system = system_with(barostat_of(kind, frequency))
    integrator = openmm.LangevinMiddleIntegrator(300, 1.0, 0.0005)
    integrator.setRandomNumberSeed(1)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(pdb.positions)
    context.setVelocitiesToTemperature(300, 1)
    fresh = context_of(system_with(), positions_of(context))
    boxes, densities = [], []
    for part in range(20 if long else 5):
        integrator.step(steps // (20 if long else 5))
        box = context.getState().getPeriodicBoxVectors(asNumpy=True).value_in_unit(openmm.unit.nanometer)
        fresh.reinitialize()
        fresh.setPeriodicBoxVectors(*box)
        fresh.setPositions(positions_of(context) / NM)
        assert abs(energy_of(context) - energy_of(fresh)) <= PARITY[dtype].energy
        boxes.append(np.diag(box))
        densities.append(density(system, context))
        print(f"{kind}, part {part + 1}: {densities[-1]:.4f} g/cm^3", flush=True)
    print(f"{kind}, mean of the second half: {np.mean(densities[len(densities) // 2 :]):.4f} g/cm^3")
    assert len(np.unique(boxes, axis=0)) > 2
    assert np.ptp(boxes[-1]) == pytest.approx(0, abs=1e-9) if kind == "isotropic" else np.ptp(boxes[-1]) > 1e-5
    # The model was trained at one volume, of 1.00 g/cm^3.
    assert min(densities) > 0.85 and max(densities) < 1.2
