"""Exact symmetry in Python: sets of rotations, averages, the frame, random rotations."""

from __future__ import annotations

import ase
import ase.io
import numpy as np
import pytest
from scipy.special import eval_legendre

from networks import crystal
from toys import write_toy
from transip_md.common.errors import UsageError
from transip_md.common.tolerances import FINITE_DIFFERENCE_FORCE, PARITY
from transip_md.engines.ase import TransIPCalculator
from transip_md.evaluators.symmetrised import SymmetrisedForward
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.symmetry.numbered import numbered_rotation
from transip_md.symmetry.request import SymmetryRequest
from transip_md.symmetry.sets import EXACT_TO, GRIDS, rotation_set

#: Largest accepted spread of the frame's energy over rotations, eV, and net torque, eV.
EXACT = 1e-9
#: Largest accepted change of an average under the rotations of its own group, eV.
GROUP = 1e-10


def rotated(atoms: ase.Atoms, rotation: np.ndarray) -> ase.Atoms:
    found = atoms.copy()
    found.positions = atoms.positions @ rotation.T
    found.cell = atoms.cell.array @ rotation.T
    return found


def bent(atoms: ase.Atoms, size: float = 0.1, seed: int = 0) -> ase.Atoms:
    found = atoms.copy()
    found.positions += np.random.default_rng(seed).normal(scale=size, size=atoms.positions.shape)
    return found


def results(atoms: ase.Atoms, calculator: TransIPCalculator) -> tuple[float, np.ndarray]:
    atoms.calc = calculator
    return atoms.get_potential_energy(), atoms.get_forces()


def force_error(atoms: ase.Atoms, calculator: TransIPCalculator, count: int | None = None) -> float:
    """Largest difference of a force from the five-point difference of the energy, of the first atoms, eV/Angstrom."""
    _, forces = results(atoms, calculator)
    step, worst = 1e-4, 0.0
    for atom in range(len(atoms) if count is None else count):
        for axis in range(3):
            energies = []
            for shift in (-2, -1, 1, 2):
                moved = atoms.copy()
                moved.positions[atom, axis] += shift * step
                energies.append(results(moved, calculator)[0])
            slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * step)
            worst = max(worst, abs(forces[atom, axis] + slope))
    return worst


# ---- sets of rotations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", EXACT_TO)
def test_sets_are_rotations_that_integrate_what_they_promise(count):
    rotations, weights = rotation_set(count)
    assert rotations.shape == (count, 3, 3) and weights.sum() == pytest.approx(1.0, abs=1e-14)
    assert np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max() < 1e-14
    assert np.linalg.det(rotations).min() > 0.99
    rng = np.random.default_rng(0)
    missed = []
    for degree in range(1, EXACT_TO[count] + 2):
        worst = 0.0
        for _ in range(5):
            one, other = (vector / np.linalg.norm(vector) for vector in rng.normal(size=(2, 3)))
            cosines = np.einsum("i,nij,j->n", one, rotations, other)
            worst = max(worst, abs(weights @ eval_legendre(degree, cosines)))
        missed.append(worst)
    assert max(missed[:-1], default=0.0) < 1e-14
    # The next degree is not removed: the promise is neither too small.
    assert missed[-1] > 1e-4


@pytest.mark.parametrize("count", sorted(set(EXACT_TO) - set(GRIDS)))
def test_groups_are_closed(count):
    rotations, weights = rotation_set(count)
    assert np.array_equal(rotations[0], np.eye(3)) and np.ptp(weights) == 0
    products = np.einsum("aij,bjk->abik", rotations, rotations).reshape(-1, 3, 3)
    distances = np.abs(products[:, None] - rotations[None]).max(axis=(2, 3))
    assert distances.min(axis=1).max() < 1e-14
    assert (np.abs(rotations[:, None] - rotations[None]).max(axis=(2, 3)) < 1e-6).sum() == count


def test_random_rotations_are_uniform_and_repeat():
    drawn = np.array([numbered_rotation(5, step) for step in range(20000)])
    assert np.abs(drawn @ drawn.transpose(0, 2, 1) - np.eye(3)).max() < 1e-14
    assert np.linalg.det(drawn).min() > 0.99
    # Averages of elements of l = 1 and 2 are 0 +- 1/sqrt(3 n), of squares 1/3.
    assert np.abs(drawn.mean(axis=0)).max() < 5 / np.sqrt(3 * 20000)
    assert np.abs((drawn**2).mean(axis=0) - 1 / 3).max() < 0.01
    assert np.array_equal(numbered_rotation(5, 3), drawn[3])
    assert not np.allclose(numbered_rotation(6, 3), drawn[3])


# ---- what is asked for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["none", "average 24", "average 2 inversion", "frame", "random 7", "random 7 forced"])
def test_requests_are_read_and_written(text):
    assert SymmetryRequest.parse(text).text == text


@pytest.mark.parametrize(
    "text", ["", "mirror", "average", "average x", "average -2", "average 4 forced", "frame 3", "random", "none 1"]
)
def test_other_requests_are_refused(text):
    with pytest.raises(UsageError, match="symmetry must be none"):
        SymmetryRequest.parse(text)


def test_what_random_rotations_need():
    drawn, forced = SymmetryRequest.parse("random 3"), SymmetryRequest.parse("random 3 forced")
    for present, words in ((False, "there is no thermostat. Type this, or"), (None, "is not seen here")):
        with pytest.raises(UsageError, match=rf'{words}.*type symmetry "random 3 forced"\.$'):
            drawn.check_thermostat(present, "Type this")
        forced.check_thermostat(present, "Type this")
    drawn.check_thermostat(True, "Type this")
    for request in (drawn, forced):
        with pytest.raises(UsageError, match=r"^i-PI: symmetry random rotates anew .* Type that\.$"):
            request.check_repeatable("i-PI", "Type that.")
    for text in ("none", "average 4", "frame"):
        SymmetryRequest.parse(text).check_thermostat(False, "")
        SymmetryRequest.parse(text).check_repeatable("", "")


def test_a_number_of_rotations_that_is_not_there():
    with pytest.raises(UsageError, match=r"one of \[2, 4, 12, 24, 60, 208, 380\] rotations; got 5"):
        SymmetryRequest.parse("average 5")


def test_old_files_and_local_models_say_what_they_offer(tmp_path, local_file):
    with pytest.raises(UsageError, match="Export it anew"):
        TransIPCalculator(write_toy(tmp_path / "old.pt"), symmetry="average 2")
    with pytest.raises(UsageError, match="offers symmetry average, random; got frame"):
        TransIPCalculator(local_file, symmetry="frame")


# ---- frame ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def organic(tmp_path_factory) -> ExportedModel:
    import transip_md
    from transip_md.exporting.export import export

    file = tmp_path_factory.mktemp("organic") / "organic.pt"
    export(transip_md.pretrained("organic"), file)
    return ExportedModel(file)


@pytest.fixture
def dipeptide(repository) -> ase.Atoms:
    return ase.io.read(repository / "examples" / "openmm" / "alanine_dipeptide.pdb")


@pytest.mark.parametrize("molecule", ["ethanol", "dipeptide"])
def test_frame_is_exactly_invariant(organic, molecule, request):
    atoms = request.getfixturevalue(molecule)
    calculator = TransIPCalculator(organic, symmetry="frame", reference=atoms)
    plain = TransIPCalculator(organic)
    structure = bent(atoms, 0.05)
    energies, plain_energies = [], []
    wanted = None
    for step in range(20):
        rotation = numbered_rotation(1, step)
        here = rotated(structure, rotation)
        here.positions += step
        energy, forces = results(here, calculator)
        energies.append(energy)
        plain_energies.append(results(here, plain)[0])
        wanted = forces @ rotation if wanted is None else wanted
        assert np.abs(forces @ rotation - wanted).max() < EXACT
        assert np.abs(forces.sum(axis=0)).max() < EXACT
        assert np.abs(np.cross(here.positions, forces).sum(axis=0)).max() < EXACT
    assert np.ptp(energies) < EXACT
    # The model by itself is not: the test can fail.
    assert np.ptp(plain_energies) > 1e-4


def test_frame_forces_are_the_gradient(organic, ethanol):
    calculator = TransIPCalculator(organic, symmetry="frame", reference=ethanol)
    assert force_error(rotated(bent(ethanol), numbered_rotation(2, 0)), calculator) <= FINITE_DIFFERENCE_FORCE


def test_frame_of_the_reference_is_the_model_itself(organic, ethanol):
    """Not rotated at all, and the reference is the first structure unless another one is given."""
    calculator = TransIPCalculator(organic, symmetry="frame")
    energy, _ = results(ethanol, calculator)
    assert energy == pytest.approx(results(ethanol, TransIPCalculator(organic))[0], abs=EXACT)
    assert np.array_equal(calculator.reference, ethanol.positions)


def test_frame_refuses_what_has_none(organic, ethanol, dipeptide):
    carbon_dioxide = ase.Atoms("OCO", [[-1.16, 0, 0], [0, 0, 0], [1.16, 0, 0]])
    with pytest.raises(UsageError, match="linear or nearly so"):
        results(carbon_dioxide, TransIPCalculator(organic, symmetry="frame"))
    pair = ethanol + rotated(ethanol, np.eye(3))
    pair.positions[9:] += 6.0
    with pytest.raises(UsageError, match="only 9 of the reference's 18 atoms hang together"):
        results(pair, TransIPCalculator(organic, symmetry="frame"))
    calculator = TransIPCalculator(organic, symmetry="frame")
    results(ethanol, calculator)
    with pytest.raises(UsageError, match="atoms are not those of the reference"):
        results(dipeptide, calculator)


def test_a_frame_that_is_lost_is_an_error(organic, ethanol):
    calculator = TransIPCalculator(organic, symmetry="frame", reference=ethanol)
    flat = ethanol.copy()
    flat.positions[:, 1:] *= 1e-3
    with pytest.raises(UsageError, match="orientation is not determined"):
        results(flat, calculator)


def test_a_reference_of_another_size(organic, ethanol, dipeptide):
    with pytest.raises(UsageError, match="reference with all atoms of the molecule; got 22 for 9"):
        results(ethanol, TransIPCalculator(organic, symmetry="frame", reference=dipeptide))


# ---- average --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["average 2", "average 4", "average 12", "average 24", "average 4 inversion"])
def test_average_is_invariant_under_its_group(organic, ethanol, text):
    calculator = TransIPCalculator(organic, symmetry=text)
    request = SymmetryRequest.parse(text)
    structure = rotated(bent(ethanol), numbered_rotation(3, 0))
    wanted, forces = results(structure, calculator)
    rotations = rotation_set(request.count)[0]
    for rotation in [*rotations, *(-rotations if request.inversion else [])]:
        energy, push = results(rotated(structure, rotation), calculator)
        assert abs(energy - wanted) < GROUP
        assert np.abs(push @ rotation - forces).max() < GROUP


@pytest.mark.parametrize("form", ["torchscript", "aoti"])
def test_average_of_a_crystal_is_invariant_under_its_group(local_files, form):
    """The box rotates with the atoms: a triclinic one, whose images are rotated too."""
    calculator = TransIPCalculator(local_files[form], symmetry="average 12")
    structure = crystal(3)
    wanted, forces = results(structure, calculator)
    for rotation in rotation_set(12)[0]:
        energy, push = results(rotated(structure, rotation), calculator)
        assert abs(energy - wanted) < GROUP
        assert np.abs(push @ rotation - forces).max() < GROUP
    assert abs(results(rotated(structure, numbered_rotation(4, 0)), calculator)[0] - wanted) > 1e-6


def test_average_is_the_mean_of_single_evaluations(organic, ethanol, local_file):
    for model, atoms in ((organic, ethanol), (local_file, crystal(1))):
        rotations, weights = rotation_set(24)
        single = TransIPCalculator(model)
        points = [results(rotated(atoms, rotation), single) for rotation in rotations]
        energy, forces = results(atoms, TransIPCalculator(model, symmetry="average 24"))
        assert energy == pytest.approx(weights @ [one for one, _ in points], abs=PARITY["float64"].energy)
        mean = sum(w * push @ rotation for w, (_, push), rotation in zip(weights, points, rotations, strict=True))
        assert np.abs(forces - mean).max() < PARITY["float64"].force


def test_average_forces_are_the_gradient(organic, ethanol, local_file):
    assert force_error(bent(ethanol), TransIPCalculator(organic, symmetry="average 4"), 3) <= FINITE_DIFFERENCE_FORCE
    calculator = TransIPCalculator(local_file, symmetry="average 4 inversion")
    assert force_error(crystal(2), calculator, 3) <= FINITE_DIFFERENCE_FORCE


def test_stress_of_an_average_is_the_derivative_by_strain(local_file):
    calculator = TransIPCalculator(local_file, symmetry="average 12")
    atoms = crystal(2)
    atoms.calc = calculator
    stress, step = atoms.get_stress(voigt=False), 1e-5
    for i, j in ((0, 0), (1, 2)):
        energies = []
        for sign in (-1, 1):
            strain = np.eye(3)
            strain[i, j] += 0.5 * sign * step
            strain[j, i] += 0.5 * sign * step
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(results(strained, calculator)[0])
        slope = (energies[1] - energies[0]) / (2 * step) / atoms.get_volume()
        assert stress[i, j] == pytest.approx(slope, abs=1e-7)


def test_rotation_error_falls_with_the_number_of_rotations(organic, ethanol):
    structure = bent(ethanol, 0.05)
    spread = []
    for text in ("none", "average 4", "average 24", "average 60"):
        calculator = TransIPCalculator(organic, symmetry=text)
        spread.append(np.std([results(rotated(structure, numbered_rotation(5, i)), calculator)[0] for i in range(6)]))
    assert spread[3] < 0.3 * spread[0] and spread[2] < 0.7 * spread[0]


# ---- compiled files, random -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["average 2", "average 24 inversion", "frame", "random 3"])
def test_compiled_files_give_the_same(all_to_all_files, local_files, ethanol, text):
    tolerance = PARITY["float64"]
    for files, atoms in ((all_to_all_files, bent(ethanol)), (local_files, crystal(0)), (local_files, ethanol[:1])):
        if text == "frame" and files is local_files:
            continue
        reference = ethanol if text == "frame" else None
        scripted, compiled = (
            results(atoms, TransIPCalculator(files[form], symmetry=text, reference=reference))
            for form in ("torchscript", "aoti")
        )
        assert scripted[0] == pytest.approx(compiled[0], abs=tolerance.energy)
        assert np.abs(scripted[1] - compiled[1]).max() <= tolerance.force


def test_no_atoms(local_file):
    model = ExportedModel(local_file)
    symmetry = SymmetrisedForward(model, SymmetryRequest.parse("average 24"))
    found = model.evaluate(np.zeros(0), np.zeros((0, 3)), symmetry=symmetry)
    assert found.energies.shape == (0,) and found.forces.shape == (0, 3)


def test_random_turns_anew_at_every_evaluation(organic, ethanol):
    calculator = TransIPCalculator(organic, symmetry="random 3")
    # ase asks anew only for atoms that have moved.
    first, second = (results(rotated(ethanol, sign * np.eye(3)), calculator)[0] for sign in (-1.0, 1.0))
    assert abs(first - second) > 1e-6
    plain = TransIPCalculator(organic)
    for step, (sign, energy) in enumerate(((-1.0, first), (1.0, second))):
        assert results(rotated(ethanol, sign * numbered_rotation(3, step)), plain)[0] == pytest.approx(
            energy, abs=EXACT
        )
