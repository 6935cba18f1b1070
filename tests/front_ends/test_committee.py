"""Committees in Python, ASE and OpenMM, against evaluations one by one."""

from __future__ import annotations

import pickle

import ase
import ase.io
import numpy as np
import pytest
from ase.md.verlet import VelocityVerlet

from committees import deviations, single_evaluations
from networks import crystal
from transip_md.common.errors import CheckFailedError, UsageError
from transip_md.engines.ase import CommitteeCalculator
from transip_md.evaluators.committee import Committee, Deviation, DeviationError, DeviationFile

pytestmark = pytest.mark.usefixtures("library")


def test_deviation_file(local_committee, tmp_path):
    atoms = crystal(0)
    found, deviation = Committee(local_committee).evaluate(
        atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc
    )
    energies, forces, virials = single_evaluations(local_committee, atoms)
    assert np.array_equal([one.forces for one in found], forces)
    output = DeviationFile(tmp_path / "d.out")
    output.write(0, deviation)
    output.write(50, deviation)
    lines = np.loadtxt(tmp_path / "d.out")
    assert lines[:, 0].tolist() == [0, 50]
    assert np.allclose(lines[1, 1:], deviations(energies, forces, virials), rtol=2e-6)


def test_without_virial():
    from transip_md.evaluators.evaluation import Evaluation

    found = [Evaluation(np.zeros(2), np.full((2, 3), float(k)), None) for k in range(2)]
    deviation = Deviation.of(found)
    assert deviation.virial is None and deviation.of_atoms == pytest.approx(np.sqrt(0.75))
    assert deviation.line(1).split()[1:4] == ["nan"] * 3


@pytest.mark.parametrize("force", ["first", "mean"])
def test_calculator(local_committee, force):
    atoms = crystal(1)
    atoms.calc = pickle.loads(pickle.dumps(CommitteeCalculator(local_committee, force=force)))
    energies, forces, virials = single_evaluations(local_committee, atoms)
    wanted = forces[0] if force == "first" else forces.mean(axis=0)
    assert np.abs(atoms.get_forces() - wanted).max() <= 1e-9
    wanted = energies[0] if force == "first" else energies.mean()
    assert atoms.get_potential_energy() == pytest.approx(wanted, abs=1e-9)
    assert np.abs(atoms.calc.results["forces_std"] - forces.std(axis=0)).max() <= 1e-9
    assert atoms.calc.results["energy_std"] == pytest.approx(energies.std(), abs=1e-9)
    assert np.abs(atoms.calc.deviation.virial - virials.std(axis=0) / len(atoms)).max() <= 1e-9


def test_calculator_under_a_symmetry(molecule_committee, ethanol):
    ethanol.calc = CommitteeCalculator(molecule_committee, symmetry="frame")
    before = ethanol.get_forces(), ethanol.calc.results["forces_std"]
    assert before[1].max() > 0
    ethanol.rotate(70, (1, 2, 3))
    ethanol.get_forces()
    of_atoms = [np.linalg.norm(std, axis=1) for std in (before[1], ethanol.calc.results["forces_std"])]
    assert np.abs(of_atoms[0] - of_atoms[1]).max() <= 1e-8


def test_dynamics_ends_above_the_bound(molecule_committee, ethanol):
    forces = single_evaluations(molecule_committee, ethanol)[1]
    of_atoms = np.linalg.norm(forces.std(axis=0), axis=1)
    ethanol.calc = CommitteeCalculator(molecule_committee, stop_above=0.5 * of_atoms.max())
    said = rf"Step 0: the models' forces on atom {of_atoms.argmax()} .* above the bound"
    with pytest.raises(DeviationError, match=said):
        VelocityVerlet(ethanol, 0.1).run(2)
    assert issubclass(DeviationError, CheckFailedError)
    # Asked for again, it is refused again.
    for ask in (ethanol.get_potential_energy, ethanol.get_forces):
        with pytest.raises(DeviationError):
            ask()
    ethanol.calc = CommitteeCalculator(molecule_committee, stop_above=2.0 * of_atoms.max())
    VelocityVerlet(ethanol, 0.001).run(2)


def test_what_is_refused(molecule_committee):
    with pytest.raises(UsageError, match="two models or more; got 1"):
        Committee(molecule_committee[:1])
    with pytest.raises(UsageError, match="two models or more; got 1"):
        CommitteeCalculator(molecule_committee[:1])
    with pytest.raises(UsageError, match="force must be first or mean; got 'median'"):
        CommitteeCalculator(molecule_committee, force="median")


@pytest.fixture
def simulation(ethanol, molecule_committee):
    """Ethanol in OpenMM under the first model."""
    pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")
    from openmm_contexts import simulation_of
    from transip_md.engines.openmm import create_force

    return simulation_of(ethanol, 1e-5, create_force(molecule_committee[0], ethanol.numbers, backend="python"))


def test_reporter(simulation, molecule_committee, ethanol, tmp_path):
    from transip_md.engines.openmm import DeviationReporter

    simulation.reporters.append(
        DeviationReporter(
            tmp_path / "d.out", 2, molecule_committee, simulation.topology, dump=tmp_path / "d.xyz", dump_above=1e-9
        )
    )
    simulation.step(5)
    lines = np.loadtxt(tmp_path / "d.out")
    assert lines[:, 0].tolist() == [2, 4]
    written = ase.io.read(tmp_path / "d.xyz", index=":")
    assert [atoms.info["step"] for atoms in written] == [2, 4]
    for line, atoms in zip(lines, written, strict=True):
        found = single_evaluations(molecule_committee, ase.Atoms(atoms.numbers, atoms.positions))
        assert np.allclose(line[4:], deviations(*found)[3:], rtol=1e-4)
        assert np.allclose(atoms.arrays["force_deviation"].max(), line[4], rtol=1e-5)


def test_reporter_ends_the_run(simulation, molecule_committee, ethanol, tmp_path):
    from transip_md.engines.openmm import DeviationReporter

    reporter = DeviationReporter(
        tmp_path / "d.out", 1, molecule_committee, simulation.topology, stop_above=1e-6, dump=tmp_path / "d.xyz",
        dump_above=1e6,
    )  # fmt: skip
    simulation.reporters.append(reporter)
    with pytest.raises(DeviationError, match="Step 1: "):
        simulation.step(5)
    assert len(ase.io.read(tmp_path / "d.xyz", index=":")) == 1
    with pytest.raises(UsageError, match="one step or more; got 0"):
        DeviationReporter(tmp_path / "d.out", 0, molecule_committee, simulation.topology)
