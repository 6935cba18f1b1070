import json
import zipfile

import numpy as np
import pytest
import torch

from toys import bad_model_files, hollow_model_file, springs, toy_metadata, write_toy
from transip_md.common.errors import CheckFailedError, EnvironmentFaultError, UsageError
from transip_md.common.tolerances import FINITE_DIFFERENCE_FORCE, PARITY
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.exporting.engine_model import EngineModel
from transip_md.exporting.examples import random_structures
from transip_md.exporting.export import compare_with_eager, export, script
from transip_md.model.batch import MoleculeBatch
from transip_md.model.evaluate import predict
from transip_md.modelfile.metadata import Metadata, parse_metadata, read_metadata


def test_forces_against_central_differences_on_20_structures(ethanol_file, ethanol):
    model = ExportedModel(ethanol_file)
    rng = np.random.default_rng(7)
    step = 1e-4
    worst = 0.0
    # Along every coordinate for some structures, along three directions that move all atoms for the others.
    coordinates = np.eye(27).reshape(27, 9, 3)
    for number in range(20):
        positions = ethanol.positions + rng.normal(scale=0.1, size=(9, 3))
        _, forces, _ = model.evaluate(ethanol.numbers, positions)
        for direction in coordinates if number < 4 else rng.normal(scale=0.4, size=(3, 9, 3)):
            # Five-point difference: its own error is of order step^4.
            total = [
                model.evaluate(ethanol.numbers, positions + shift * step * direction)[0].sum()
                for shift in (-2, -1, 1, 2)
            ]
            slope = (total[0] - 8 * total[1] + 8 * total[2] - total[3]) / (12 * step)
            worst = max(worst, abs((forces * direction).sum() + slope))
    print(f"largest difference: {worst:.1e} eV/Angstrom")
    assert worst <= FINITE_DIFFERENCE_FORCE


def test_file_repeats_the_training_code(ethanol_files, ethanol_checkpoint, ethanol, dtype):
    """The exported file against the network as training calls it: another route to the same numbers."""
    model = ethanol_checkpoint.model
    batch = MoleculeBatch(
        species=torch.from_numpy(ethanol.numbers)[None],
        positions=torch.from_numpy(ethanol.positions)[None],
        charge=torch.tensor([0]),
        multiplicity=torch.tensor([1]),
        energy=torch.zeros(1),
        forces=torch.zeros((1, 9, 3)),
    )
    prediction = predict(model, batch)
    energy, forces = prediction.energies, prediction.forces
    energies, file_forces, _ = ExportedModel(ethanol_files[dtype]).evaluate(ethanol.numbers, ethanol.positions)
    # The checkpoint's weights are float32; the float64 file rounds less than the reference here.
    tolerance = PARITY["float32"]
    assert energies.sum() == pytest.approx(float(energy), abs=tolerance.energy)
    assert np.abs(file_forces - forces[0].numpy()).max() <= tolerance.force


def test_far_from_the_origin_nothing_changes(ethanol_files, ethanol, dtype):
    model = ExportedModel(ethanol_files[dtype])
    energies, forces, _ = model.evaluate(ethanol.numbers, ethanol.positions)
    far_energies, far_forces, _ = model.evaluate(ethanol.numbers, ethanol.positions + 1000.0)
    tolerance = PARITY[dtype]
    assert far_energies.sum() == pytest.approx(energies.sum(), abs=tolerance.energy)
    assert np.abs(far_forces - forces).max() <= tolerance.force


def test_no_atoms_and_one_atom(ethanol_file):
    model = ExportedModel(ethanol_file)
    energies, forces, _ = model.evaluate(np.zeros(0), np.zeros((0, 3)))
    assert energies.shape == (0,) and forces.shape == (0, 3)
    energies, forces, _ = model.evaluate([6], np.zeros((1, 3)))
    assert np.isfinite(energies).all()
    assert not forces.any()


def test_tokens_that_are_not_owned_have_no_energy(ethanol_file, ethanol):
    module = torch.jit.load(ethanol_file)
    owned = torch.ones(9, dtype=torch.bool)
    inputs = (torch.from_numpy(ethanol.numbers), torch.from_numpy(ethanol.positions), torch.arange(9))
    rest = (torch.empty((9, 0), dtype=torch.int64), torch.tensor(0), torch.tensor(1))
    everything, _ = module(*inputs, owned, *rest)
    owned[3:] = False
    part, _ = module(*inputs, owned, *rest)
    assert torch.equal(part[:3], everything[:3])
    assert not part[3:].any()


def test_images_are_refused_by_an_all_to_all_model(ethanol_file, ethanol):
    module = torch.jit.load(ethanol_file)
    rows = torch.cat([torch.from_numpy(ethanol.positions)] * 2)
    with pytest.raises(torch.jit.Error, match="isolated molecule"):
        module(
            torch.from_numpy(ethanol.numbers),
            rows,
            torch.arange(9).repeat(2),
            torch.ones(9, dtype=torch.bool),
            torch.empty((9, 0), dtype=torch.int64),
            torch.tensor(0),
            torch.tensor(1),
        )


def test_metadata_of_the_file(ethanol_files, ethanol_checkpoint, dtype):
    metadata = read_metadata(ethanol_files[dtype])
    assert metadata.species == (1, 6, 8)
    assert metadata.dtype == dtype
    assert metadata.cutoff is None and metadata.interaction_range is None
    assert metadata.conservative
    assert metadata.source_sha256 == ethanol_checkpoint.sha256
    assert metadata.made_with["torch"] == torch.__version__
    with zipfile.ZipFile(ethanol_files[dtype]) as archive:
        name = next(name for name in archive.namelist() if name.endswith("extra/transip.json"))
        keys = set(json.loads(archive.read(name)))
    # docs/conventions.md
    assert keys == {
        "format", "species", "cutoff", "interaction_range", "dtype", "units", "conservative", "charge", "multiplicity",
        "architecture", "training", "certificate", "made_with", "source_sha256", "symmetry",
        "weights", "network",
    }  # fmt: skip


def test_weights_have_the_dtype_and_references_keep_float64(ethanol_files, dtype):
    module = torch.jit.load(ethanol_files[dtype])
    assert {p.dtype for p in module.parameters()} == {getattr(torch, dtype)}
    buffers = dict(module.named_buffers())
    assert buffers["model.reference_energies"].dtype == torch.float64


def test_a_file_that_differs_is_not_written(ethanol_checkpoint, tmp_path, monkeypatch):
    honest = script

    def spoil(model, metadata, path, reference):
        with torch.no_grad():
            model.model.energy_head[2].bias += 1.0
        honest(model, metadata, path, reference)
        with torch.no_grad():
            model.model.energy_head[2].bias -= 1.0

    monkeypatch.setattr("transip_md.exporting.export.script", spoil)
    with pytest.raises(CheckFailedError, match="does not repeat the eager model"):
        export(ethanol_checkpoint, tmp_path / "m.pt", "float64")
    assert list(tmp_path.iterdir()) == []


def test_comparison_sees_wrong_forces(tmp_path, ethanol_checkpoint):
    model = EngineModel(ethanol_checkpoint.model)
    toy = ExportedModel(write_toy(tmp_path / "toy.pt", charge=(0, 0), multiplicity=(1, 1)))
    with pytest.raises(CheckFailedError):
        compare_with_eager(model, toy)


def test_random_structures_have_no_overlaps():
    sizes = []
    for atoms in random_structures((1, 8), 4):
        sizes.append(len(atoms))
        assert not atoms.pbc.any()
        for periodic in (False, True):
            atoms.pbc = periodic
            assert atoms.get_all_distances(mic=True)[~np.eye(len(atoms), dtype=bool)].min() > 0.9
        assert set(atoms.numbers.tolist()) <= {1, 8}
    assert sizes == sorted(set(sizes))


def test_analytic_model_through_the_file_format(toy_file, ethanol):
    energies, forces, _ = ExportedModel(toy_file).evaluate(ethanol.numbers, ethanol.positions)
    wanted_energies, wanted_forces = springs(ethanol.positions)
    assert np.allclose(energies, wanted_energies, rtol=0, atol=1e-12)
    assert np.allclose(forces, wanted_forces, rtol=0, atol=1e-12)


def test_bad_files(tmp_path):
    for path, words in bad_model_files(tmp_path).values():
        with pytest.raises(UsageError, match=words):
            read_metadata(path)
        with pytest.raises(UsageError):
            ExportedModel(path)


def test_file_without_its_code(tmp_path):
    with pytest.raises(UsageError, match="cannot load its TorchScript"):
        ExportedModel(hollow_model_file(tmp_path / "hollow.pt"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"units": {"energy": "hartree", "length": "angstrom"}}, "eV"),
        ({"units": {"energy": "eV", "length": "angstrom", "time": "fs"}}, "time"),
        ({"dtype": "bfloat16"}, "dtype"),
        ({"species": []}, "species"),
        ({"charge": "zero"}, "charge"),
    ],
)
def test_bad_metadata(changes, words):
    values = {**json.loads(toy_metadata().to_json()), **changes}
    with pytest.raises(UsageError, match=words):
        parse_metadata(json.dumps(values), "m.pt")
    with pytest.raises(UsageError, match="not JSON"):
        parse_metadata("{", "m.pt")
    incomplete = json.loads(toy_metadata().to_json())
    del incomplete["species"]
    with pytest.raises(UsageError, match="species"):
        parse_metadata(json.dumps(incomplete), "m.pt")


def test_metadata_round_trip():
    metadata = toy_metadata()
    assert parse_metadata(metadata.to_json(), "m.pt") == metadata
    assert Metadata.model_fields.keys() == json.loads(metadata.to_json()).keys()


def test_bad_input_to_evaluate(toy_file):
    model = ExportedModel(toy_file)
    with pytest.raises(UsageError, match="does not know N"):
        model.evaluate([7], np.zeros((1, 3)))
    with pytest.raises(UsageError, match="charge -1 to 1; got charge 2"):
        model.evaluate([6], np.zeros((1, 3)), charge=2)
    with pytest.raises(UsageError, match="multiplicity 1 to 2; got multiplicity 3"):
        model.evaluate([6], np.zeros((1, 3)), multiplicity=3)
    with pytest.raises(UsageError, match=r"\[1, 3\], got \[2, 3\]"):
        model.evaluate([6], np.zeros((2, 3)))
    with pytest.raises(UsageError, match="not finite"):
        model.evaluate([6], np.full((1, 3), np.nan))
    with pytest.raises(UsageError, match="at one position"):
        model.evaluate([6, 6], np.zeros((2, 3)))
    with pytest.raises(UsageError, match="device must be"):
        ExportedModel(toy_file, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(EnvironmentFaultError, match="sees 0 CUDA"):
            ExportedModel(toy_file, device="cuda")
