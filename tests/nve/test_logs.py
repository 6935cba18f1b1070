"""`transip-md nve --from`: logs and trajectories that a user already has."""

from __future__ import annotations

import json
import os
import subprocess

import ase.build
import ase.io
import numpy as np
import pytest
from typer.testing import CliRunner

from pair_toys import NEAREST, crystal_of_pairs
from toys import LENGTH
from transip_md.cli.main import app
from transip_md.common import units
from transip_md.common.errors import CheckFailedError, UsageError
from transip_md.common.thermal import thermal_velocities
from transip_md.dynamics.analysis import analyse
from transip_md.dynamics.logs import read_log
from transip_md.dynamics.run import NveSettings, run_nve
from transip_md.dynamics.shape import read_trajectory, shape_of, trajectory_of
from transip_md.engines.lammps.engine import write_data
from transip_md.plugins.build import find_tool


@pytest.fixture(scope="module")
def tetrahedron() -> ase.Atoms:
    places = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * LENGTH / 8**0.5
    return ase.Atoms("CCOH", places)


def lammps(folder, deck: str) -> None:
    (folder / "in.user").write_text(deck)
    command = [str(find_tool("lmp")), "-in", "in.user", "-log", "user.log", "-screen", "none"]
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, "LAMMPS_PLUGIN_PATH": ""})


@pytest.mark.parametrize(("style", "thermo"), [("metal", "one"), ("real", "multi"), ("metal", "custom step pe ke")])
def test_lammps_log(tmp_path, toy_file, tetrahedron, lammps_plugin, style, thermo):
    """Other units, thermo styles and frequencies than ours: the drift is that of our own run."""
    settings = NveSettings(time=1.0, interval=5.0)
    wanted = run_nve(toy_file, tetrahedron, ["ase"], tmp_path / "ours", settings)
    velocities = thermal_velocities(tetrahedron, 300.0, settings.seed)
    symbols = write_data(tmp_path / "t.data", tetrahedron, velocities if style == "metal" else velocities / 1000.0)
    scale = 1.0 if style == "metal" else 1000.0
    lammps(
        tmp_path,
        f"""
units {style}
boundary s s s
atom_modify map array
read_data t.data
pair_style transip {toy_file}
pair_coeff * * {" ".join(symbols)}
neighbor 0.5 bin
fix 1 all nve
timestep {0.0005 * scale:g}
thermo_style {thermo}
thermo_modify format float %.15g
dump 1 all custom 20 user.lammpstrj id type xu yu zu
thermo 10
run 2000
""",
    )
    log = read_log(tmp_path / "user.log", 4)
    assert log.engine == "lammps" and log.atoms == 4 and log.timestep == pytest.approx(0.5)
    record = wanted.records["ase"]
    assert log.record.time == pytest.approx(record.time, abs=1e-9)
    for name in ("potential", "kinetic", "temperature"):
        here = getattr(log.record, name)
        # Units of LAMMPS differ in the seventh digit; paths part slowly.
        assert here[:50] == pytest.approx(getattr(record, name)[:50], rel=1e-4, abs=1e-5), name
    found = analyse(log.record, 4)
    assert found.slope == pytest.approx(wanted.verdicts["ase"].slope, abs=3 * found.slope_error)
    if thermo == "one":
        tetrahedron.write(tmp_path / "t.xyz")
        result = CliRunner().invoke(
            app,
            ["nve", "--from", str(tmp_path / "user.log"), "--structure", str(tmp_path / "t.xyz"), "--threshold", "1",
             "--trajectory", str(tmp_path / "user.lammpstrj"), "--out", str(tmp_path / "o")],
        )  # fmt: skip
        assert result.exit_code == 0, (result.output, result.exception)
        values = json.loads((tmp_path / "o" / "nve.json").read_text())
        assert values["runs"][0]["timestep_fs"] == pytest.approx(0.5)
        assert values["structures"]["user.lammpstrj"]["frames"] == 101
        assert "user.log" in (tmp_path / "o" / "report.html").read_text()


def test_log_of_a_run_that_drifts(tmp_path):
    """A table that heats up by 1 meV/atom/ps, 10 atoms, as LAMMPS prints it."""
    rows = "\n".join(f"{step} {step * 0.0005} {-5.0 + 0.01 * step * 0.0005} 0.4 300" for step in range(0, 4000, 10))
    (tmp_path / "log.lammps").write_text(
        f"units metal\nStep Time PotEng KinEng Temp\n{rows}\nLoop time of 1.0 on 1 procs for 4000 steps with 10 atoms\n"
    )
    result = CliRunner().invoke(app, ["nve", "--from", str(tmp_path / "log.lammps"), "--out", str(tmp_path / "o")])
    assert isinstance(result.exception, CheckFailedError) and "drift above 0.02" in str(result.exception)
    assert "+1.0000" in result.output


def test_logs_of_several_time_steps_tell_the_order(tmp_path):
    """Energies whose fluctuation is proportional to the time step: an integrator of first order."""
    names = []
    for timestep in (1.0, 0.5):
        steps = np.arange(0, round(1000 / timestep) + 1, 2)
        times = steps * timestep / 1000.0
        energy = -5.0 + 1e-4 * timestep * np.sin(2 * np.pi * times / 0.02)
        rows = "\n".join(f"{s} {t:.6f} {e:.12f} 0.4 300" for s, t, e in zip(steps, times, energy, strict=True))
        names.append(tmp_path / f"{timestep}.log")
        names[-1].write_text(
            f"units metal\ntimestep {timestep / 1000}\nStep Time PotEng KinEng Temp\n{rows}\n"
            "Loop time of 1.0 on 1 procs for 1000 steps with 10 atoms\n"
        )
    arguments = [word for name in names for word in ("--from", str(name))]
    result = CliRunner().invoke(app, ["nve", *arguments, "--out", str(tmp_path / "o"), "--threshold", "1"])
    assert isinstance(result.exception, CheckFailedError) and "order 1.00, not 2" in str(result.exception)


def test_openmm_table(tmp_path, toy_file, tetrahedron, openmm_plugin):
    import openmm
    from openmm.app import DCDReporter, Simulation, StateDataReporter, Topology
    from openmm.app.element import Element

    from transip_md.engines.openmm import create_force

    topology, system = Topology(), openmm.System()
    residue = topology.addResidue("MOL", topology.addChain())
    for number, mass in zip(tetrahedron.numbers, tetrahedron.get_masses(), strict=True):
        topology.addAtom("X", Element.getByAtomicNumber(int(number)), residue)
        system.addParticle(mass)
    system.addForce(create_force(toy_file, topology))
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = Simulation(topology, system, openmm.VerletIntegrator(0.0005), platform)
    simulation.context.setPositions(tetrahedron.positions / units.ANGSTROM_PER_NM)
    simulation.context.setVelocitiesToTemperature(300, 1)
    table, dcd = tmp_path / "energy.csv", tmp_path / "run.dcd"
    simulation.reporters.append(
        StateDataReporter(
            str(table), 10, step=True, time=True, potentialEnergy=True, kineticEnergy=True, totalEnergy=True,
            temperature=True,
        )
    )  # fmt: skip
    simulation.reporters.append(DCDReporter(str(dcd), 20))
    simulation.step(1000)
    log = read_log(table, 4)
    assert log.engine == "openmm" and log.timestep == pytest.approx(0.5, rel=1e-3) and len(log.record.time) == 100
    # eV: four atoms on springs at 300 K hold less than an electronvolt.
    assert 0 < log.record.total.mean() < 1.0 and analyse(log.record, 4, threshold=1.0).passed
    shape = shape_of(read_trajectory(dcd, tetrahedron), tetrahedron)
    assert shape.clock == "frame" and len(shape.times) == 50 and shape.rmsd[0] == pytest.approx(0, abs=1e-4)
    with pytest.raises(UsageError, match="could not be read"):
        read_trajectory(dcd, tetrahedron[:3])


def test_bonds_and_rmsd_of_a_known_trajectory():
    """One bond of two is stretched by 0.1 Angstrom a frame until it breaks; rotating and moving change nothing."""
    water = ase.build.molecule("H2O")
    frames = np.stack([water.positions] * 12)
    away = water.positions[1] - water.positions[0]
    length = np.linalg.norm(away)
    for index in range(12):
        frames[index, 1] += 0.1 * index * away / length
        turn = np.linalg.qr(np.random.default_rng(index).normal(size=(3, 3)))[0]
        frames[index] = frames[index] @ (turn * np.sign(np.linalg.det(turn))).T + index
    shape = shape_of(trajectory_of(water, frames, np.arange(12) * 0.5), water)
    assert shape.clock == "time (ps)" and set(shape.bonds) == {"H–O"}
    assert shape.bonds["H–O"].max() == pytest.approx(length + 1.1, abs=1e-4)
    assert shape.bonds["H–O"].min() == pytest.approx(length, abs=1e-4)
    assert list(shape.broken) == ["O0–H1"] and shape.broken["O0–H1"] == pytest.approx(0.5 * 5)
    assert shape.rmsd[0] < 1e-3 < 0.2 < shape.rmsd[-1] < 1.1


def test_rdf_of_a_crystal():
    crystal = crystal_of_pairs().repeat((2, 4, 4))
    spacing = 0.98 * NEAREST
    rng = np.random.default_rng(1)
    frames = crystal.positions + rng.normal(scale=0.02, size=(5, len(crystal), 3))
    shape = shape_of(trajectory_of(crystal, frames, np.arange(5) * 0.1), crystal)
    radius, g = shape.rdf["C–C"]
    assert shape.rmsd is None and radius[g.argmax()] == pytest.approx(spacing, abs=0.06)
    # Twelve nearest neighbours: the integral of g over the first shell times the density.
    near = radius < 1.2 * spacing
    density = len(crystal) / crystal.get_volume()
    coordination = (4 * np.pi * radius**2 * g * density * (radius[1] - radius[0]))[near].sum()
    assert coordination == pytest.approx(12.0, rel=0.02)


def test_bad_input(tmp_path, tetrahedron):
    (tmp_path / "scaled.lammpstrj").write_text("ITEM: ATOMS id type xs ys zs\n1 1 0 0 0\n")
    with pytest.raises(UsageError, match="dump 1 all custom"):
        read_trajectory(tmp_path / "scaled.lammpstrj", tetrahedron)
    with pytest.raises(UsageError, match="No such trajectory"):
        read_trajectory(tmp_path / "none.dcd", tetrahedron)
    (tmp_path / "short.log").write_text(
        "units metal\ntimestep 0.001\nStep PotEng KinEng Temp\n0 -1 1 300\n10 -1 1 300\n"
    )
    with pytest.raises(UsageError, match="holds 2 rows"):
        read_log(tmp_path / "short.log")
    (tmp_path / "lj.log").write_text("Step PotEng KinEng Temp\n0 -1 1 300\n")
    with pytest.raises(UsageError, match="units lj"):
        read_log(tmp_path / "lj.log")
    (tmp_path / "openmm.csv").write_text('#"Step","Potential Energy (kJ/mole)"\n1,2\n')
    with pytest.raises(UsageError, match="time=True, totalEnergy=True"):
        read_log(tmp_path / "openmm.csv")
