"""Errors of models on labelled frames, and the commands `eval` and `presets`."""

import dataclasses
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator

import transip_md
from networks import make_model
from toys import springs, write_toy
from transip_md.cli.console import console
from transip_md.cli.main import run
from transip_md.common.errors import UsageError
from transip_md.data.frames import open_frames
from transip_md.model.checkpoint import load_checkpoint, save_checkpoint
from transip_md.model.evaluate import Prediction, predict
from transip_md.model.presets import PRESETS
from transip_md.model.rotations import random_rotations
from transip_md.training import evaluation
from transip_md.training.batches import Collate
from transip_md.training.evaluation import Report, Tally, measure_errors, tally_errors

CUTOFF = 3.0


def labelled(atoms: ase.Atoms, labels: tuple | None = None) -> ase.Atoms:
    """With an energy and forces, those of springs unless given."""
    if labels is None:
        energies, forces = springs(atoms.positions)
        labels = energies.sum(), forces
    atoms.calc = SinglePointCalculator(atoms, energy=labels[0], forces=np.array(labels[1]))
    return atoms


def molecules(count: int, seed: int = 0) -> list[ase.Atoms]:
    """Of three and of four atoms, by turns."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0, 0, 0], [1.5, 0, 0], [0, 1.5, 0], [0, 0, 1.5]])
    frames = []
    for index in range(count):
        symbols = "CHH" if index % 2 else "COHH"
        frames.append(ase.Atoms(symbols, corners[: len(symbols)] + rng.normal(scale=0.15, size=(len(symbols), 3))))
    return [labelled(atoms) for atoms in frames]


def crystals(count: int, seed: int = 0) -> list[ase.Atoms]:
    """The same molecules in skewed cells, smaller than the sphere of the cutoff."""
    frames = molecules(count, seed)
    for atoms in frames:
        atoms.cell, atoms.pbc = [[4.0, 0, 0], [1.0, 4.2, 0], [-0.5, 0.7, 4.4]], True
    return frames


def write(path: Path, frames: list[ase.Atoms]) -> Path:
    ase.io.write(path, frames)
    return path


LAYOUTS = {"molecules": (molecules, {}), "crystals": (crystals, {"cutoff": CUTOFF})}


@pytest.fixture(params=LAYOUTS)
def case(request, tmp_path):
    """A model and nine labelled frames, for isolated molecules and for periodic ones."""
    make, shape = LAYOUTS[request.param]
    return make_model(**shape), open_frames([write(tmp_path / "a.extxyz", make(9))])


def errors_by_hand(model, frames, rows) -> dict:
    """Frame by frame, in numpy."""
    energy, force, elements, sizes = [], [], [], []
    for row in rows:
        frame = frames[row]
        said = predict(model, Collate(model.config.cutoff)([frame]))
        size = len(frame.numbers)
        energy.append((float(said.energies) - frame.energy) / size)
        force.append(said.forces.numpy().reshape(size, 3) - frame.forces)
        elements.append(frame.numbers)
        sizes.append(size)
    return {"energy": np.array(energy), "force": force, "elements": elements, "sizes": np.array(sizes)}


def mae(values) -> float:
    return 1e3 * np.abs(values).mean()


def rmse(values) -> float:
    return 1e3 * np.sqrt(np.square(values).mean())


def same(value: float):
    return pytest.approx(value, rel=1e-9, abs=1e-9)


def flat(values: dict, place: str = "") -> dict[str, float | None]:
    """A report as one mapping."""
    leaves = {}
    for key, value in values.items():
        leaves |= flat(value, f"{place}{key}.") if isinstance(value, dict) else {f"{place}{key}": value}
    return leaves


def test_errors_of_a_constant_model(tmp_path):
    """A model that knows the reference energies only: every number can be written down."""
    model = make_model()
    with torch.no_grad():
        model.energy_head[2].weight.zero_()
        model.energy_head[2].bias.zero_()
    # References are -1, -2 and -3 eV for H, C and O: the model says -3 and -6.
    forces = [[[1.0, -2.0, 0.0], [0.0, 0.0, 4.0]], [[0.5, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, -1.0]]]
    frames = [
        labelled(ase.Atoms("CH", [[0, 0, 0], [0, 0, 1]]), (-2.5, forces[0])),
        labelled(ase.Atoms("OCH", [[0, 0, 0], [0, 0, 1], [0, 1, 0]]), (-7.5, forces[1])),
    ]
    report = measure_errors(model, open_frames([write(tmp_path / "a.extxyz", frames)]))
    assert (report.structures, set(report.sizes), set(report.elements)) == (2, {2, 3}, {"H", "C", "O"})
    assert report.energy_mae == same((250 + 500) / 2)
    assert report.energy_rmse == same(np.sqrt((250**2 + 500**2) / 2))
    assert report.force_mae == same(8500 / 15)
    assert report.force_rmse == same(1e3 * np.sqrt((1 + 4 + 16 + 0.25 + 1) / 15))
    assert dataclasses.astuple(report.sizes[2]) == same((1, 250, 250, 7000 / 6, 1e3 * np.sqrt(21 / 6)))
    assert dataclasses.astuple(report.sizes[3]) == same((1, 500, 500, 1500 / 9, 1e3 * np.sqrt(1.25 / 9)))
    assert dataclasses.astuple(report.elements["H"]) == same((5000 / 6, 1e3 * np.sqrt(17 / 6), 6))
    assert dataclasses.astuple(report.elements["C"]) == same((3000 / 6, 1e3 * np.sqrt(5 / 6), 6))
    assert dataclasses.astuple(report.elements["O"]) == same((500 / 3, 1e3 * np.sqrt(0.25 / 3), 3))
    # No force at all has rotated as it should.
    assert dataclasses.astuple(report.rotation) == (0, 0, 0, 1)


def test_errors_are_those_of_numpy(case, monkeypatch):
    """Batches of frames of both sizes, against frames one by one."""
    monkeypatch.setattr(evaluation, "EVALUATION_ATOMS", 16)
    model, frames = case
    rows = np.array([8, 1, 0, 5, 3, 4, 6])
    done = []
    report = measure_errors(model, frames, rows, advanced=done.append)
    assert len(done) > 1 and done[-1] == 7 and done == sorted(done)
    by_hand = errors_by_hand(model, frames, rows)
    every = np.concatenate(by_hand["force"])
    assert report.structures == 7
    assert (report.energy_mae, report.energy_rmse) == same((mae(by_hand["energy"]), rmse(by_hand["energy"])))
    assert (report.force_mae, report.force_rmse) == same((mae(every), rmse(every)))
    assert list(report.sizes) == [3, 4]
    for size, found in report.sizes.items():
        of_size = np.flatnonzero(by_hand["sizes"] == size)
        energy, force = by_hand["energy"][of_size], np.concatenate([by_hand["force"][index] for index in of_size])
        assert dataclasses.astuple(found) == same((len(of_size), mae(energy), rmse(energy), mae(force), rmse(force)))
    numbers = np.concatenate(by_hand["elements"])
    assert list(report.elements) == ["H", "C", "O"]
    for z, found in zip((1, 6, 8), report.elements.values(), strict=True):
        force = every[numbers == z]
        assert dataclasses.astuple(found) == same((mae(force), rmse(force), force.size))


def test_a_model_that_knows_no_rotation(case):
    model, frames = case
    rotated = measure_errors(model, frames).rotation
    assert rotated.energy_mae > 0.1 and rotated.force_worst >= rotated.force_mae > 0.1
    assert rotated.force_cosine < 0.999
    assert measure_errors(model, frames, seed=1).rotation != rotated
    assert measure_errors(model, frames, seed=0).rotation == rotated
    assert measure_errors(model, frames, rotations=False).rotation is None


def test_a_model_of_distances_only_is_invariant(case):
    model, frames = case
    with torch.no_grad():
        model.rotary.frequencies.zero_()
    report = measure_errors(model, frames)
    rotated = report.rotation
    assert rotated.energy_mae < 1e-9 and rotated.force_mae <= rotated.force_worst < 1e-9
    assert rotated.force_cosine == pytest.approx(1.0, abs=1e-12)
    assert report.force_rmse > 1.0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rotation_error_of_planted_predictions(tmp_path, layout):
    """Off by known amounts, and by nonsense where there is only padding."""
    make, shape = LAYOUTS[layout]
    model, frames = make_model(**shape), open_frames([write(tmp_path / "a.extxyz", make(2))])
    batch = Collate(model.config.cutoff)([frames[0], frames[1]])
    rotations = random_rotations(2, torch.Generator().manual_seed(5))
    straight = predict(model, batch)
    wanted = torch.einsum("lij,lj->li", batch.real(batch.per_atom(rotations)), batch.real(straight.forces))
    off = torch.from_numpy(np.random.default_rng(1).normal(scale=0.1, size=(7, 3)))
    forces = torch.full_like(straight.forces, 1e6)
    padded = batch.real(torch.ones(batch.species.shape)).numel() < batch.species.numel()
    assert padded == (layout == "molecules")
    if padded:
        forces[batch.present] = wanted + off
    else:
        forces = wanted + off
    rotated = Prediction(straight.energies + torch.tensor([0.4, -0.6], dtype=torch.float64), forces, straight.embedding)
    tally = Tally(4)
    tally.add_rotation(batch, straight, rotated, rotations)
    found = tally._rotation()
    assert found.energy_mae == same(1e3 * (0.4 / 4 + 0.6 / 3) / 2)
    assert found.force_mae == same(1e3 * float(off.abs().mean()))
    assert found.force_worst == same(1e3 * float(off.abs().max()))
    a, b = wanted.numpy(), (wanted + off).numpy()
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert found.force_cosine == same(cosines.mean())


def test_several_batches_are_one(case):
    model, frames = case
    rotations = random_rotations(9, torch.Generator().manual_seed(3))

    def count(tally: Tally, rows: list[int]) -> Tally:
        batch = Collate(model.config.cutoff)([frames[row] for row in rows])
        straight, rotated = predict(model, batch), predict(model, batch.rotated(rotations[rows]))
        tally.add(batch, straight)
        tally.add_rotation(batch, straight, rotated, rotations[rows])
        return tally

    wanted = flat(count(Tally(4), list(range(9))).report().to_dict())
    pieces, parts = Tally(4), [[0, 1], [2, 4, 6, 8], [3, 5], [7]]
    for rows in parts:
        count(pieces, rows)
    assert flat(pieces.report().to_dict()) == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    total = Tally.total([count(Tally(4), rows) for rows in parts])
    assert flat(total.report().to_dict()) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_sum_of_sets_of_different_sizes(case):
    model, frames = case
    large, small = (tally_errors(model, frames, np.arange(start, 9, 2)) for start in (0, 1))
    for tallies in ([large, small], [small, large]):
        whole = Tally.total(tallies).report()
        assert whole.sizes == {3: small.report().sizes[3], 4: large.report().sizes[4]}
        parts = [large.report().rotation, small.report().rotation]
        assert whole.structures == 9
        assert whole.rotation.force_worst == max(part.force_worst for part in parts)
        assert whole.rotation.energy_mae == same((5 * parts[0].energy_mae + 4 * parts[1].energy_mae) / 9)
        assert whole.rotation.force_mae == same((20 * parts[0].force_mae + 12 * parts[1].force_mae) / 32)


def test_sums_are_untouched_by_their_total(case):
    model, frames = case
    tally = tally_errors(model, frames)
    before = tally.report()
    Tally.total([tally, tally])
    assert tally.report() == before


def test_summary_leaves_out_the_parts(case):
    report = measure_errors(*case)
    summary = report.summary()
    assert set(summary) == {"structures", "energy_mae", "energy_rmse", "force_mae", "force_rmse", "rotation"}
    assert json.loads(json.dumps(summary))["rotation"]["force_worst"] == report.rotation.force_worst


def test_frames_that_the_model_does_not_know(tmp_path):
    frames = molecules(3)
    frames[1].info = {"charge": 1}
    frames[2].info = {"multiplicity": 3}
    path = write(tmp_path / "a.extxyz", frames)
    with pytest.raises(UsageError, match=r"a\.extxyz, frame 1 has charge 1, expected 0, which .*`--charge`"):
        measure_errors(make_model(), open_frames([path]), np.array([0, 1]))
    with pytest.raises(UsageError, match=r"frame 2 has multiplicity 3, expected 1 to 2"):
        measure_errors(make_model(charge=(-1, 1), multiplicity=(1, 2)), open_frames([path]))
    with pytest.raises(UsageError, match=r"frame 0 has charge 0, expected 1"):
        measure_errors(make_model(charge=(1, 1), multiplicity=(1, 3)), open_frames([path]))
    assert measure_errors(make_model(charge=(0, 1), multiplicity=(1, 3)), open_frames([path])).structures == 3
    box = write(tmp_path / "b.extxyz", crystals(2))
    with pytest.raises(UsageError, match=r"b\.extxyz, frame 0 is periodic, but an all-to-all model"):
        measure_errors(make_model(), open_frames([box]))


# The commands.


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `transip-md` in this process: exit code, what it printed, and its errors."""
    # The console looks at COLUMNS when it is made, which another test may have done.
    monkeypatch.setattr(console, "_width", 300)

    def invoke(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["transip-md", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            run()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return invoke


@pytest.fixture
def files(tmp_path):
    """A folder with checkpoints of all-to-all, local and direct-force models, and labelled files for them."""
    shapes = {"all": {}, "local": {"cutoff": CUTOFF}, "direct": {"force_head": "direct"}}
    for name, shape in shapes.items():
        save_checkpoint(tmp_path / f"{name}.ckpt", make_model(**shape), {"data": "none"})
    write(tmp_path / "one.extxyz", molecules(5))
    write(tmp_path / "two.extxyz.xz", molecules(4, seed=1)[1::2])
    write(tmp_path / "box.extxyz", crystals(3))
    return tmp_path


def row(output: str, label: str) -> list[str]:
    """The cells of the table row that begins so."""
    (line,) = [line for line in output.splitlines() if line.startswith(f"│ {label} ")]
    return [cell.strip() for cell in line.strip("│").split("│")]


def as_read(report: Report) -> dict:
    return json.loads(json.dumps(report.to_dict()))


def numbers(*values: float) -> list[str]:
    return [f"{value:.4g}" for value in values]


def test_eval_of_several_files(command, files):
    result = files / "errors.json"
    data = [files / "one.extxyz", files / "two.extxyz.xz"]
    code, said, _ = command("eval", files / "all.ckpt", *data, "--json", result, "--device", "cpu")
    assert code == 0
    found = json.loads(result.read_text())
    loaded = load_checkpoint(files / "all.ckpt")
    tallies = [tally_errors(loaded.model, open_frames([path])) for path in data]
    wanted = [tally.report() for tally in tallies]
    whole = Tally.total(tallies).report()
    assert found["files"] == [{"file": str(path), **as_read(report)} for path, report in zip(data, wanted, strict=True)]
    assert found["whole"] == as_read(whole)
    assert found["model"] == str(files / "all.ckpt") and found["sha256"] == loaded.sha256
    assert found["conservative"] is True and found["assumed"] == {"charge": 0, "multiplicity": 1}
    assert found["versions"]["transip-md"] == transip_md.__version__
    assert found["versions"]["torch"] == torch.__version__ and found["versions"]["ase"] == ase.__version__
    assert not list(files.glob("*.part"))

    for path, report in zip(data, wanted, strict=True):
        errors = (report.energy_mae, report.force_mae, report.force_rmse, report.rotation.force_mae)
        assert row(said, path.name) == [path.name, str(report.structures), *numbers(*errors)]
    assert said.index("two.extxyz.xz") < said.index("energy RMSE")
    rotated = whole.rotation
    shown = {
        "structures": "7",
        "energy MAE": f"{whole.energy_mae:.4g}",
        "energy RMSE": f"{whole.energy_rmse:.4g}",
        "force component MAE": f"{whole.force_mae:.4g}",
        "force component RMSE": f"{whole.force_rmse:.4g}",
        "rotation: energy, mean": f"{rotated.energy_mae:.4g}",
        "rotation: force component, mean": f"{rotated.force_mae:.4g}",
        "rotation: force component, worst": f"{rotated.force_worst:.4g}",
        "rotation: force, mean cosine": f"{rotated.force_cosine:.7f}",
    }
    for label, value in shown.items():
        assert row(said, label)[1] == value, label
    hydrogen = whole.elements["H"]
    assert row(said, "H") == ["H", str(hydrogen.components), *numbers(hydrogen.mae, hydrogen.rmse)]
    triatomic = whole.sizes[3]
    errors = (triatomic.energy_mae, triatomic.energy_rmse, triatomic.force_mae, triatomic.force_rmse)
    assert row(said, "3") == ["3", "4", *numbers(*errors)]
    assert "gradient" not in said


def test_eval_of_one_file_without_rotation(command, files):
    result = files / "errors.json"
    code, said, _ = command("eval", files / "all.ckpt", files / "one.extxyz", "--no-rotation", "--json", result)
    assert code == 0 and "rotation" not in said and "one.extxyz" not in said
    assert json.loads(result.read_text())["whole"]["rotation"] is None
    code, said, _ = command("eval", files / "all.ckpt", files / "one.extxyz", files / "two.extxyz.xz", "--no-rotation")
    assert code == 0 and row(said, "one.extxyz")[-1] == "-"


def test_eval_of_files_of_one_name(command, files):
    """Only the paths tell them apart; brackets are no markup."""
    for folder in ("[red]", "b"):
        (files / folder).mkdir()
        write(files / folder / "same.extxyz", molecules(2))
    paths = [files / folder / "same.extxyz" for folder in ("[red]", "b")]
    code, said, _ = command("eval", files / "all.ckpt", *paths)
    assert code == 0
    for path in paths:
        assert row(said, str(path))[1] == "2"


def test_eval_of_a_shipped_model_on_what_it_says(command, tmp_path, ethanol, ethanol_checkpoint):
    write(tmp_path / "zero.extxyz", [labelled(ethanol)])
    (frame,) = open_frames([tmp_path / "zero.extxyz"])
    said = predict(ethanol_checkpoint.model, Collate(None)([frame]))
    labelled(ethanol, (float(said.energies), said.forces[0].numpy()))
    result = tmp_path / "errors.json"
    code, _, _ = command("eval", "ethanol", write(tmp_path / "a.extxyz", [ethanol]), "--json", result)
    found = json.loads(result.read_text())
    assert code == 0 and found["model"] == "ethanol" and found["sha256"] == ethanol_checkpoint.sha256
    assert found["whole"]["force_rmse"] < 1e-4 and found["whole"]["energy_rmse"] < 1e-4
    assert found["whole"]["rotation"]["force_mae"] > 1e-3


def test_eval_of_a_local_model(command, files):
    """Periodic and isolated files, which are no one set, in one go."""
    result = files / "errors.json"
    code, said, _ = command("eval", files / "local.ckpt", files / "box.extxyz", files / "one.extxyz", "--json", result)
    assert code == 0 and row(said, "box.extxyz")[1] == "3"
    assert json.loads(result.read_text())["whole"]["structures"] == 8


def test_eval_of_direct_forces(command, files):
    result = files / "errors.json"
    code, said, _ = command("eval", files / "direct.ckpt", files / "one.extxyz", "--json", result)
    assert code == 0 and "not the gradient of the energy" in said
    assert json.loads(result.read_text())["conservative"] is False


def test_eval_of_charged_frames(command, files):
    save_checkpoint(files / "ions.ckpt", make_model(charge=(1, 2), multiplicity=(2, 2)), {})
    arguments = ["eval", files / "ions.ckpt", files / "one.extxyz"]
    code, _, said = command(*arguments)
    assert code == 2 and "one.extxyz, frame 1 has charge 0, expected 1 to 2" in said
    code, _, said = command(*arguments, "--charge", "2")
    assert code == 2 and "has multiplicity 1, expected 2" in said and "`--multiplicity`" in said
    assert command(*arguments, "--charge", "2", "--multiplicity", "2")[0] == 0


def test_eval_refuses(command, files):
    strange = molecules(3)
    strange[1].numbers[0] = 7
    write(files / "nitrogen.extxyz", strange)
    write(files / "unlabelled.xyz", ase.Atoms("CO", [[0, 0, 0], [0, 0, 1.1]]))
    model, data = files / "all.ckpt", files / "one.extxyz"
    exported = write_toy(files / "springs.pt", source_sha256="abc123")
    cases = [
        ([model, files / "nitrogen.extxyz"], "nitrogen.extxyz, frame 1 has the element N, expected only H, C, O"),
        ([model, data, files / "box.extxyz"], "box.extxyz, frame 0 is periodic, but an all-to-all model"),
        ([model, files / "none.extxyz"], "No such structure file"),
        ([model, files / "unlabelled.xyz"], "has no energy"),
        (["methanol", data], "No such checkpoint: methanol"),
        ([data, data], "is not a transip-md checkpoint"),
        ([exported, data], "`transip-md export`. Expected the checkpoint that it was made from (sha256 abc123)"),
        ([model, data, "--json", files / "no" / "a.json"], "There is no folder"),
        ([model, data, "--device", "abacus"], "device must be auto, cpu, cuda"),
        ([model], "Missing argument"),
        ([model, data, "--multiplicity", "0"], "multiplicity"),
    ]
    for arguments, words in cases:
        code, _, said = command("eval", *arguments)
        assert code == 2, (arguments, said)
        assert words in said, said


def test_eval_of_values_that_are_not_finite(command, files):
    place = ase.Atoms("HCO", [[0, 0, 0], [0, 0, 0], [0, 0, 1]])
    write(files / "place.extxyz", [labelled(place, (0.0, np.zeros((3, 3))))])
    result = files / "errors.json"
    code, _, said = command("eval", files / "all.ckpt", files / "place.extxyz", "--json", result)
    assert code == 1 and "place.extxyz: the model gives energies or forces that are not finite" in said
    found = json.loads(result.read_text())
    assert found["verdict"] == "FAIL" and "whole" not in found


def test_eval_in_a_process_of_its_own(files):
    entry = Path(sysconfig.get_path("scripts")) / "transip-md"
    result = subprocess.run(
        [entry, "eval", "all.ckpt", "box.extxyz"], cwd=files, capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.lstrip().startswith("Error: box.extxyz, frame 0 is periodic")


def weights(dim: int, layers: int, heads: int, feedforward: int) -> int:
    """Counted on paper, for four elements, one charge and one multiplicity."""
    embeddings = 6 * dim
    rotary = 3 * layers * dim // 2
    radial = 32 * 64 + 64 + (64 + 1) * layers * heads
    attention = 4 * (dim * dim + dim)
    swiglu = 2 * (dim + 1) * feedforward + (feedforward + 1) * dim
    head = 2 * dim + dim * dim + dim + dim + 1
    return embeddings + rotary + radial + layers * (4 * dim + attention + swiglu) + head


def test_presets(command):
    code, said, _ = command("presets")
    assert code == 0 and "H C N O" in said
    for name, shape in PRESETS.items():
        fields = [shape[field] for field in ("dim", "layers", "heads", "feedforward")]
        assert row(said, name) == [name, *map(str, fields), f"{weights(*fields):,}"]
