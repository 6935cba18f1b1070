"""Distances from the training set in ASE and OpenMM."""

from __future__ import annotations

import pickle
import warnings

import ase
import numpy as np
import pytest
from ase.md.verlet import VelocityVerlet

from sampled import file_with_sample
from transip_md.common.errors import CheckFailedError, UsageError
from transip_md.engines.ase import CommitteeCalculator, TransIPCalculator
from transip_md.evaluators.distance import DistanceError
from transip_md.evaluators.library_model import LibraryModel
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.symmetry.request import SymmetryRequest
from transip_md.symmetry.sets import rotation_set

pytestmark = pytest.mark.usefixtures("library")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return file_with_sample(tmp_path_factory.mktemp("guarded"))


@pytest.fixture
def wanted(model, ethanol) -> np.ndarray:
    return LibraryModel(model).distances(ethanol.numbers, ethanol.positions)


@pytest.mark.parametrize("kernels", ["native", "torch"])
def test_results(model, ethanol, wanted, kernels):
    ethanol.calc = pickle.loads(pickle.dumps(TransIPCalculator(model, distances=True, kernels=kernels)))
    ethanol.get_forces()
    assert np.abs(ethanol.calc.results["training_distances"] - wanted).max() <= 1e-8
    ethanol.calc = TransIPCalculator(model)
    ethanol.get_forces()
    assert "training_distances" not in ethanol.calc.results


def test_one_evaluation(model, ethanol, wanted, monkeypatch):
    """Forces and distances come of one evaluation by native kernels, and neither changes a bit of the other."""
    ethanol.calc = TransIPCalculator(model, distances=True, kernels="native")
    exported = ethanol.calc.exported
    alone = exported.evaluate(ethanol.numbers, ethanol.positions)
    assert alone.distances is None
    monkeypatch.setattr(LibraryModel, "distances", None)
    before = exported.step
    assert np.array_equal(ethanol.get_forces(), alone.forces)
    assert np.array_equal(ethanol.calc.results["training_distances"], wanted)
    assert exported.step == before + 1


def test_under_a_symmetry(model, ethanol):
    """An average over rotations gives the mean of the distances."""
    library_model = LibraryModel(model)
    symmetric = library_model.with_symmetry(SymmetryRequest.parse("average 12"))
    found = symmetric.evaluate(ethanol.numbers, ethanol.positions, distances=True)
    rotations, weights = rotation_set(12)
    each = [library_model.distances(ethanol.numbers, ethanol.positions @ rotation.T) for rotation in rotations]
    assert np.ptp(each, axis=0).max() > 1e-3
    assert np.abs(found.distances - weights @ np.array(each)).max() <= 1e-9


def test_dynamics_ends_above_the_bound(model, ethanol, wanted):
    ethanol.calc = TransIPCalculator(model, distance_above=1.05 * wanted.max())
    VelocityVerlet(ethanol, 0.001).run(2)
    ethanol.calc = TransIPCalculator(model, distance_above=0.95 * wanted.max())
    with pytest.raises(DistanceError, match=rf"Step 0: atom {wanted.argmax()} .* do not trust the forces"):
        VelocityVerlet(ethanol, 0.001).run(2)
    assert issubclass(DistanceError, CheckFailedError)
    # Asked for again, it is refused again.
    for ask in (ethanol.get_potential_energy, ethanol.get_forces):
        with pytest.raises(DistanceError):
            ask()


@pytest.mark.parametrize("force", ["first", "mean"])
def test_of_a_committee(model, molecule_committee, ethanol, wanted, force):
    """Only the first model needs a sample."""
    ethanol.calc = CommitteeCalculator([model, *molecule_committee[:1]], distances=True, force=force)
    ethanol.get_forces()
    assert np.abs(ethanol.calc.results["training_distances"] - wanted).max() <= 1e-8
    assert ethanol.calc.results["forces_std"].max() > 0


def test_a_file_without_a_sample(molecule_file):
    with pytest.raises(UsageError, match="has no sample of its training set"):
        TransIPCalculator(molecule_file, distances=True)
    for model in (LibraryModel(molecule_file), ExportedModel(molecule_file)):
        with pytest.raises(UsageError, match="has no sample of its training set"):
            model.evaluate(np.array([1]), np.zeros((1, 3)), distances=True)


def test_reporter(model, ethanol, tmp_path):
    pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")
    from openmm_contexts import simulation_of
    from transip_md.engines.openmm import DistanceReporter

    simulation = simulation_of(ethanol, 1e-3)
    topology = simulation.topology
    simulation.context.setVelocitiesToTemperature(300, 1)
    simulation.reporters.append(DistanceReporter(tmp_path / "d.out", 2, model, topology, warn_above=1e-3))
    with pytest.warns(UserWarning, match="Step 2: atom .* above the bound of 0.001"):
        simulation.step(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulation.step(2)
    lines = np.loadtxt(tmp_path / "d.out")
    assert lines[:, 0].tolist() == [2, 4, 6]
    state = simulation.context.getState(getPositions=True)
    now = ase.Atoms(ethanol.numbers, 10.0 * state.getPositions(asNumpy=True)._value)
    found = LibraryModel(model).distances(now.numbers, now.positions)
    assert np.allclose(lines[2, 1:], [found.max(), found.mean(), np.sum(found > 1)], rtol=1e-5)
    simulation.reporters[:] = [DistanceReporter(tmp_path / "d.out", 1, model, topology, stop_above=1e-3)]
    with pytest.raises(DistanceError, match="Step 7: "):
        simulation.step(1)
