"""torch-sim: numbers of batches against single evaluations, a run of the example, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from networks import crystal
from transip_md.common.errors import UsageError
from transip_md.evaluators.torch_model import ExportedModel

torch_sim = pytest.importorskip("torch_sim", reason="torch-sim is not installed (pip install 'transip-md[torchsim]')")

from transip_md.engines.torch_sim import TransIPModel


def state_of(structures, dtype=torch.float64):
    return torch_sim.io.atoms_to_state(structures, torch.device("cpu"), dtype)


def test_batch_of_boxes(local_file):
    boxes = [crystal(0), crystal(4), crystal(4).repeat((2, 1, 1))]
    found = TransIPModel(local_file, device="cpu")(state_of(boxes))
    model, start = ExportedModel(local_file, "cpu"), 0
    for index, atoms in enumerate(boxes):
        wanted = model.evaluate(atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc)
        assert float(found["energy"][index]) == pytest.approx(wanted.energies.sum(), abs=1e-9)
        forces = found["forces"][start : start + len(atoms)].numpy()
        assert np.abs(forces - wanted.forces).max() <= 1e-8
        stress = -0.5 * (wanted.virial + wanted.virial.T) / atoms.get_volume()
        assert np.abs(found["stress"][index].numpy() - stress).max() <= 1e-9
        start += len(atoms)


def test_batch_of_molecules(ethanol_file, ethanol, bent):
    model = TransIPModel(ethanol_file, device="cpu")
    assert not model.compute_stress
    found = model(state_of([ethanol, bent]))
    assert set(found) == {"energy", "forces"}
    for index, atoms in enumerate((ethanol, bent)):
        wanted = ExportedModel(ethanol_file, "cpu").evaluate(atoms.numbers, atoms.positions)
        assert float(found["energy"][index]) == pytest.approx(wanted.energies.sum(), abs=1e-9)


def test_results_have_the_dtype_of_the_state(ethanol_file, ethanol):
    found = TransIPModel(ethanol_file, device="cpu", dtype=torch.float32)(state_of([ethanol], torch.float32))
    assert found["forces"].dtype == torch.float32


@pytest.fixture(scope="module")
def charged_file(tmp_path_factory):
    """A shipped model that knows charges."""
    import transip_md
    from transip_md.exporting.export import export

    file = tmp_path_factory.mktemp("charged") / "organic_broad.pt"
    export(transip_md.pretrained("organic_broad"), file)
    return file


@pytest.mark.parametrize("kernels", ["auto", "torch"])
@pytest.mark.parametrize("place", ["attribute", "extra"])
def test_charges_that_the_state_has(charged_file, ethanol, place, kernels):
    """Later versions of torch-sim have them as an attribute of a state, or among what they call extras."""
    values = dict(state_of([ethanol, ethanol, ethanol]).__dict__)
    stated = {"charge": torch.tensor([0.0, -1.0, 1.0]), "spin": torch.tensor([0.0, 1.0, 0.0])}
    values |= stated if place == "attribute" else {"_system_extras": stated}
    found = TransIPModel(charged_file, device="cpu", kernels=kernels)(values)
    single = ExportedModel(charged_file, "cpu")
    wanted = [single.evaluate(ethanol.numbers, ethanol.positions, charge).energies.sum() for charge in (0, -1, 1)]
    assert min(abs(wanted[1] - wanted[0]), abs(wanted[2] - wanted[0])) > 0.1
    assert np.abs(found["energy"].numpy() - wanted).max() <= 1e-9
    with pytest.raises(UsageError, match=r"System 1 \(counted from 0\) states charge -1, and charge 1 is asked for"):
        TransIPModel(charged_file, device="cpu", charge=1)(values)
    stated["spin"][2] = 1.5
    with pytest.raises(UsageError, match=r"System 2 \(counted from 0\): spin 1.5, expected an integer"):
        TransIPModel(charged_file, device="cpu")(values)


def test_charges_of_several_structures(charged_file, ethanol):
    from transip_md.evaluators.library_model import LibraryModel

    model, numbers, positions = LibraryModel(charged_file), [ethanol.numbers] * 3, [ethanol.positions] * 3
    together = model.evaluate_many(numbers, positions, [0, -1, 1])
    for charge, one in zip((0, -1, 1), together, strict=True):
        assert (one.forces == model.evaluate(ethanol.numbers, ethanol.positions, charge).forces).all()
    with pytest.raises(UsageError, match="charge must be one number or one for each of 3 structures; got 2"):
        model.evaluate_many(numbers, positions, [0, 1])
    with pytest.raises(UsageError, match="multiplicity"):
        model.evaluate_many(numbers, positions, multiplicity=[1, 1, 9])


def test_what_is_refused(ethanol_file, local_file):
    with pytest.raises(UsageError, match="attends all-to-all"):
        TransIPModel(ethanol_file, device="cpu")(state_of([crystal(0)]))
    with pytest.raises(UsageError, match="symmetry none or average N"):
        TransIPModel(ethanol_file, device="cpu", symmetry="frame")
    with pytest.raises(UsageError, match="got charge 9"):
        TransIPModel(local_file, device="cpu", charge=9)


def test_the_example(ethanol_file, repository):
    command = [
        sys.executable, str(repository / "examples" / "torch_sim" / "molecules.py"), str(ethanol_file),
        str(repository / "examples" / "ethanol.xyz"), "--steps", "5",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.split()) == 6
