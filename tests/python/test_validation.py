"""Sound models pass, and each planted fault is caught by the check that is for it."""

from __future__ import annotations

import json
import re
import zipfile

import ase.io
import numpy as np
import pytest

from pair_toys import LennardJones, cluster_of_pairs, crystal_of_pairs, write_pairs
from toys import LENGTH, write_toy
from transip_md.common.errors import UsageError
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.modelfile.certificate import stamp
from transip_md.validation.certificate import certificate_of
from transip_md.validation.checks import all_checks, select
from transip_md.validation.differences import derivative, derivative_beside
from transip_md.validation.findings import Finding, Validation
from transip_md.validation.paths import Path
from transip_md.validation.run import validate
from transip_md.validation.subject import Point, Subject
from transip_md.validation.thresholds import thresholds
from transip_md.validation.words import sentences

#: Checks that need neither an engine nor many steps.
CHEAP = (
    "forces", "virial", "translation", "far_from_origin", "permutation", "wrapping", "rotation", "net_force",
    "net_torque", "extensivity", "locality", "cutoff", "bonds", "dimers",
)  # fmt: skip


def verdicts(result) -> dict[str, str]:
    """The worst verdict of each check."""
    order = ("INFO", "SKIP", "PASS", "WARN", "FAIL")
    found: dict[str, str] = {}
    for finding in result.findings:
        found[finding.check] = max(found.get(finding.check, "INFO"), finding.verdict, key=order.index)
    return found


@pytest.fixture(scope="module")
def structures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("structures")
    places = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * LENGTH / 8**0.5
    made = {
        "crystal": crystal_of_pairs(),
        "cluster": cluster_of_pairs(),
        "tetrahedron": ase.Atoms("CCOH", places),
        "pair": ase.Atoms("CO", [[0, 0, 0], [LENGTH, 0, 0]]),
    }
    for name, atoms in made.items():
        atoms.write(folder / f"{name}.extxyz")
    return {name: folder / f"{name}.extxyz" for name in made}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("sound") / "lj.pt")


def test_sound_lennard_jones_passes(sound, structures):
    result = validate(sound, [structures["crystal"], structures["cluster"]], skip=["conservation", "engines"])
    bad = [finding for finding in result.of("WARN", "FAIL")]
    assert not bad, bad
    found = verdicts(result)
    assert {name for name, verdict in found.items() if verdict == "PASS"} == set(CHEAP)
    assert found["embedding"] == found["precision"] == found["labels"] == "SKIP"
    assert all(finding.note for finding in result.of("SKIP"))


@pytest.mark.long
def test_sound_lennard_jones_conserves_energy(sound, structures):
    result = validate(sound, [structures["crystal"], structures["cluster"]], only=["conservation"])
    assert verdicts(result) == {"conservation": "PASS"}


def test_sound_springs_pass(toy_file, structures):
    result = validate(toy_file, [structures["tetrahedron"], structures["pair"]], skip=["engines"])
    bad = [finding for finding in result.of("WARN", "FAIL")]
    assert not bad, bad
    assert {"extensivity", "locality", "cutoff", "wrapping"} <= {f.check for f in result.of("SKIP")}


#: Fault, structure, checks that must fail, and checks that must not notice.
FAULTS = [
    ("scaled", "crystal", {"forces"}, {"translation", "permutation", "rotation", "net_force", "cutoff"}),
    ("no envelope", "cluster", {"cutoff"}, {"translation", "permutation", "rotation", "net_force", "extensivity"}),
    ("origin", "cluster", {"translation", "far_from_origin"}, {"forces", "permutation", "cutoff", "bonds"}),
    ("float32", "cluster", {"far_from_origin"}, {"permutation", "rotation", "net_torque"}),
    ("folded", "crystal", {"virial"}, {"forces", "translation", "rotation", "net_force"}),
    ("misplaced", "crystal", {"forces", "virial"}, {"translation", "net_force"}),
    ("lopsided", "cluster", {"rotation", "net_torque"}, {"forces", "virial", "translation", "extensivity", "cutoff"}),
    ("crowd", "cluster", {"extensivity"}, {"forces", "translation", "rotation", "permutation"}),
    ("far", "cluster", {"locality"}, {"forces", "translation", "rotation", "permutation"}),
    ("order", "cluster", {"permutation"}, {"forces", "translation", "rotation"}),
    ("step", "cluster", {"bonds", "dimers"}, {"forces", "translation", "rotation", "permutation", "cutoff"}),
    ("hole", "cluster", {"bonds"}, {"forces", "translation", "rotation", "permutation", "cutoff"}),
]


@pytest.mark.parametrize(("fault", "structure", "caught", "unaware"), FAULTS, ids=[fault for fault, *_ in FAULTS])
def test_fault_is_caught(tmp_path, structures, fault, structure, caught, unaware):
    file = write_pairs(tmp_path / "faulty.pt", fault)
    found = verdicts(validate(file, [structures[structure]], only=sorted(caught | unaware)))
    assert {name for name in caught if found[name] == "FAIL"} == caught, found
    assert {name for name in unaware if found[name] in ("PASS", "SKIP")} == unaware, found


def test_wrong_sign_of_the_virial(sound, structures, monkeypatch):
    right = ExportedModel.evaluate

    def wrong(self, *args, **kwargs):
        result = right(self, *args, **kwargs)
        return result._replace(virial=-result.virial)

    monkeypatch.setattr(ExportedModel, "evaluate", wrong)
    found = verdicts(validate(sound, [structures["crystal"]], only=["forces", "virial"]))
    assert found == {"forces": "PASS", "virial": "FAIL"}


def test_forces_that_are_no_gradient_drift(tmp_path, structures):
    file = write_toy(tmp_path / "unfair.pt", unfair=True, conservative=False)
    result = validate(file, [structures["tetrahedron"]], only=["forces", "virial", "conservation"])
    found = verdicts(result)
    assert found["forces"] == "FAIL" and found["conservation"] == "FAIL" and found["virial"] == "SKIP"
    assert result.value("conservation.drift") > 1.0


def test_model_that_answers_with_no_number_fails(sound, structures, monkeypatch):
    def nothing(self):
        raise UsageError("The model gave an energy or a force that is not finite")

    monkeypatch.setattr(LennardJones, "forward", nothing, raising=False)
    from transip_md.validation import subject

    monkeypatch.setattr(subject.Subject, "shaken_point", property(nothing))
    result = validate(sound, [structures["crystal"]], only=["translation"])
    assert result.verdict == "FAIL" and "not finite" in result.findings[0].note


def test_float32_model_is_judged_by_what_float32_can_do(ethanol_files, repository):
    result = validate(
        ethanol_files["float32"], [repository / "examples/ethanol.xyz"],
        only=["forces", "virial", "translation", "far_from_origin", "permutation", "net_force", "precision"],
    )  # fmt: skip
    bad = [finding for finding in result.of("WARN", "FAIL")]
    assert not bad, bad
    assert result.value("precision.force") > 1e-8


def test_labels_and_embedding(ethanol_file, ethanol, tmp_path):
    from ase.calculators.singlepoint import SinglePointCalculator

    exported = ExportedModel(ethanol_file)
    frames = []
    for shift in (0.0, 0.01):
        frame = ethanol.copy()
        frame.rattle(0.03, seed=1)
        point = exported.evaluate(frame.numbers, frame.positions)
        # Labels that are known to be off: 9 meV of 9 atoms, and 10 meV/Angstrom.
        frame.calc = SinglePointCalculator(
            frame, energy=point.energies.sum() + 0.009, forces=point.forces + np.where(shift, shift, -0.01)
        )
        frames.append(frame)
    ase.io.write(tmp_path / "labelled.extxyz", frames)
    result = validate(ethanol_file, [tmp_path / "labelled.extxyz"], only=["labels", "embedding"])
    assert result.value("labels.energy") == pytest.approx(1.0, rel=1e-3)
    assert result.value("labels.force") == pytest.approx(10.0, rel=1e-3)
    assert 0 < result.value("embedding.invariant") < 2


def test_transport_that_knows_the_answer(tmp_path, ethanol):
    """A network without positional weights has an invariant embedding; a T that hands it on explains it all."""
    import torch

    from networks import make_model
    from transip_md.exporting.export import export
    from transip_md.model.checkpoint import load_checkpoint, save_checkpoint
    from transip_md.training.objective import Transport

    torch.manual_seed(1)
    model = make_model(dim=8, feedforward=8)
    record = {"recipe": {"objective": {"equivariance": {"embedding": "atoms", "loss": "squared", "normalise": False}}}}
    transport = Transport(8, 64)
    embedding_scale = 200.0
    with torch.no_grad():
        # silu(a x) - silu(-a x) = a x: the identity out of two halves of the hidden layer.
        for parameter in transport.parameters():
            parameter.zero_()
        for axis in range(8):
            transport.hidden.weight[2 * axis, axis], transport.hidden.weight[2 * axis + 1, axis] = 1.0, -1.0
            transport.output.weight[axis, 2 * axis], transport.output.weight[axis, 2 * axis + 1] = 1.0, -1.0
        for attention in (block.attention for block in model.blocks):
            for parameter in attention.parameters():
                parameter.mul_(0.0)
    assert embedding_scale
    save_checkpoint(tmp_path / "t.ckpt", model.float(), record, transport.state_dict())
    export(load_checkpoint(tmp_path / "t.ckpt"), tmp_path / "t.pt")
    ethanol.write(tmp_path / "ethanol.xyz")
    result = validate(tmp_path / "t.pt", [tmp_path / "ethanol.xyz"], only=["embedding"], checkpoint=tmp_path / "t.ckpt")
    assert result.value("embedding.invariant") == pytest.approx(0.0, abs=1e-12)
    assert result.value("embedding.transport") == pytest.approx(0.0, abs=1e-9)
    # A T that says nothing leaves everything unexplained.
    silent = {name: torch.zeros_like(value) for name, value in transport.state_dict().items()}
    save_checkpoint(tmp_path / "s.ckpt", model, record, silent)
    export(load_checkpoint(tmp_path / "s.ckpt"), tmp_path / "s.pt")
    result = validate(tmp_path / "s.pt", [tmp_path / "ethanol.xyz"], only=["embedding"], checkpoint=tmp_path / "s.ckpt")
    assert result.value("embedding.transport") > 0.5
    with pytest.raises(UsageError, match="not the checkpoint"):
        from transip_md.validation.run import read_subjects
        from transip_md.validation.symmetry import _trained_transport

        (subject,) = read_subjects(
            tmp_path / "s.pt", [tmp_path / "ethanol.xyz"], tmp_path, checkpoint=tmp_path / "t.ckpt"
        )
        _trained_transport(subject)


def test_ridders_knows_its_error():
    slope, error = derivative(lambda x: np.exp(2 * x), 0.1)
    assert abs(slope - 2.0) <= error < 1e-8
    rng = np.random.default_rng(0)
    off, claimed = [], []
    for _ in range(200):
        slope, error = derivative(lambda x: x + rng.normal(scale=1e-4), 0.04)
        off.append(abs(slope - 1.0))
        claimed.append(error)
    # Noise of 1e-4 over 0.08: an error of some 1e-3, and claimed to be so.
    assert np.median(off) < 3 * np.median(claimed) and np.median(claimed) > 3e-4


def test_a_jump_of_the_third_derivative_is_no_wrong_force():
    """A repulsion that ends 0.012 from here: extrapolation is wrong by twice what it claims."""

    def energy(x: float) -> float:
        return np.sin(x) + 1000.0 * max(0.0, 0.012 - x) ** 3

    exact = 1.0 - 3000.0 * 0.012**2
    slope, error = derivative(energy, 0.04)
    assert abs(slope - exact) > 1.5 * error > 1e-4
    slope, error = derivative_beside(energy, 0.04, exact, 1e-6)
    assert abs(slope - exact) <= error + 1e-12 and error < 1e-10
    # A force that is wrong is so by smaller steps too.
    slope, error = derivative_beside(energy, 0.04, exact + 0.01, 1e-6)
    assert abs(abs(slope - exact - 0.01) - 0.01) < 1e-9 and error < 1e-10
    # Rounding makes smaller steps worse: the first are kept.
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(50):
        noise = rng.normal(scale=1e-6, size=24)
        first, every = iter(noise), iter(noise)
        plain = derivative(lambda x, noise=first: np.sin(x) + next(noise), 0.04)
        kept += derivative_beside(lambda x, noise=every: np.sin(x) + next(noise), 0.04, 1.05, 1e-6) == plain
    assert kept == 50


def test_every_threshold_belongs_to_a_check_and_has_a_source():
    checks = all_checks()
    for key, threshold in thresholds().items():
        assert key.split(".")[0] in checks, key
        assert len(threshold.source) > 5 and threshold.label, key
        for dtype in ("float64", "float32"):
            good, bad = threshold.levels(dtype)
            assert good is not None or bad is None, key
            if good is not None:
                assert threshold.judge(good, dtype) == "PASS" and threshold.judge(float("nan"), dtype) == "FAIL", key


def test_choice_of_checks():
    assert [check.name for check in select(["virial", "forces"])] == ["forces", "virial"]
    assert "engines" not in {check.name for check in select(skip=["engines"])}
    with pytest.raises(UsageError, match=r"No check is called 'force'\. Checks: known, forces"):
        select(["force"])
    with pytest.raises(UsageError, match="No check is left"):
        select(["forces"], ["forces"])


@pytest.mark.parametrize("form", ["torchscript", "aoti"])
def test_stamp_changes_nothing_but_the_certificate(tmp_path, all_to_all_files, structures, form):
    file = tmp_path / all_to_all_files[form].name
    file.write_bytes(all_to_all_files[form].read_bytes())
    result = validate(file, [structures["tetrahedron"]], only=["translation", "net_force"])
    metadata = stamp(file, certificate_of(result))
    with zipfile.ZipFile(all_to_all_files[form]) as before, zipfile.ZipFile(file) as after:
        assert before.namelist() == after.namelist()
        changed = [name for name in before.namelist() if before.read(name) != after.read(name)]
        assert [name.split("/", 1)[1] for name in changed] == ["extra/transip.json"]
        # torch reads tensors in place: their contents stay aligned.
        for entry in after.infolist():
            assert (entry.header_offset + 30 + len(entry.filename) + len(entry.extra)) % 64 == 0
    atoms = ase.io.read(structures["tetrahedron"])
    old, new = (ExportedModel(path).evaluate(atoms.numbers, atoms.positions) for path in (all_to_all_files[form], file))
    assert np.array_equal(old.energies, new.energies) and np.array_equal(old.forces, new.forces)
    certificate = metadata.certificate
    assert certificate["verdict"] == "PASS" and certificate["checks"] == {"translation": "PASS", "net_force": "PASS"}
    assert "PASS in 2 checks" in certificate["summary"] and "tetrahedron" in certificate["summary"]
    assert not list(tmp_path.glob("*.part"))
    # Twice is once, and it can be taken out.
    stamp(file, certificate)
    assert stamp(file, None).certificate is None


def test_stamp_that_is_interrupted_leaves_the_file(tmp_path, sound, monkeypatch):
    file = tmp_path / "lj.pt"
    file.write_bytes(sound.read_bytes())
    monkeypatch.setattr(zipfile.ZipFile, "writestr", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        stamp(file, {"verdict": "PASS"})
    assert file.read_bytes() == sound.read_bytes() and not list(tmp_path.glob("*.part"))


def test_json_is_plain(sound, structures):
    result = validate(sound, [structures["crystal"]], only=["rotation", "cutoff"])
    again = json.loads(json.dumps(result.to_dict()))
    assert again["verdict"] == result.verdict and len(again["findings"]) == len(result.findings)


def test_bad_input(sound, toy_file, structures, tmp_path):
    with pytest.raises(UsageError, match="periodic"):
        validate(toy_file, [structures["crystal"]])
    with pytest.raises(UsageError, match="No such structure file"):
        validate(sound, [tmp_path / "none.xyz"])
    ase.Atoms("N").write(tmp_path / "n.xyz")
    with pytest.raises(UsageError, match="does not know N"):
        validate(sound, [tmp_path / "n.xyz"])


def test_engines_print_the_certificate(tmp_path, toy_file, structures, lammps_plugin, openmm_plugin, capfd):
    from transip_md.engines import make_engine
    from transip_md.engines.base import Job

    file = tmp_path / "toy.pt"
    file.write_bytes(toy_file.read_bytes())
    job = Job(file, ase.io.read(structures["tetrahedron"]), tmp_path)
    make_engine("lammps").single_point(job)
    assert "validated: no; type `transip-md validate`" in (tmp_path / "point.log").read_text()
    stamp(file, certificate_of(validate(file, [structures["tetrahedron"]], only=["net_force"])))
    make_engine("lammps").single_point(job)
    assert "validated: PASS in 1 checks (on tetrahedron" in (tmp_path / "point.log").read_text()
    make_engine("openmm").single_point(job)
    assert f"{file}: validated: PASS in 1 checks (on tetrahedron" in capfd.readouterr().err


def morse(x: np.ndarray, *, bump: float = 0.0, at: float = 0.0) -> Path:
    """A Morse curve of 4 eV about 1 Angstrom with a Gaussian bump (eV) of width 0.05 Angstrom at some length."""
    fade = np.exp(-2.0 * (x - 1.0))
    hill = bump * np.exp(-(((x - at) / 0.05) ** 2))
    slope = 4.0 * 2 * (1 - fade) * 2.0 * fade - hill * 2 * (x - at) / 0.05**2
    return Path(x, 4.0 * (1 - fade) ** 2 + hill, slope, 1.0)


def test_reach_of_a_bond_is_where_its_first_flaw_lies():
    x = np.linspace(0.5, 2.0, 601)
    assert morse(x).first_flaw(0.5) is None and morse(x).falls() is None
    assert morse(x).roughness() == pytest.approx(0.0, abs=1e-9)
    # Stretched: a barrier that holds another well behind it.
    barrier = morse(x, bump=0.8, at=1.3)
    place, height = barrier.first_flaw(0.5)
    behind = x > 1.2
    top = int(barrier.energy[behind & (x < 1.35)].argmax())
    assert place == pytest.approx(x[behind][top], abs=0.01)
    assert height == pytest.approx(barrier.energy[behind][top], rel=0.02) and barrier.minima() == 2
    # Compressed: a dent that makes no minimum, but that forces feel.
    dent = morse(x, bump=-0.4, at=0.8)
    place, height = dent.first_flaw(0.5)
    assert dent.minima() == 1 and 0.75 < place < 0.9 and height < morse(x).energy[np.abs(x - 0.75).argmin()]


def test_wall_ends_where_the_energy_first_falls():
    """Behind the hole the energy climbs higher than before: an atom that got in there stays all the same."""
    x = np.linspace(0.5, 2.0, 601)
    hole = morse(x, bump=-6.0, at=0.7)
    top = hole.energy[(x > 0.7) & (x < 1.0)].max()
    assert hole.energy[0] > 2 * top
    assert hole.wall() == pytest.approx(top, rel=1e-3) and 0.7 < hole.falls() < 0.9


def test_teacher_of_the_shipped_molecules_passes_the_bond_scans(ethanol_file, repository, monkeypatch):
    """GFN2-xTB itself: one smooth well to 2 covalent lengths, and walls that hold. What the models miss is theirs."""
    tblite = pytest.importorskip("tblite.ase")
    calculator = tblite.TBLite(method="GFN2-xTB", verbosity=0, max_iterations=500)

    def taught(self, atoms, forward=None):
        copy = atoms.copy()
        copy.calc = calculator
        return Point(copy.get_potential_energy(), copy.get_forces(), None)

    monkeypatch.setattr(Subject, "evaluate", taught)
    result = validate(ethanol_file, [repository / "examples/ethanol.xyz"], only=["bonds"])
    assert not list(result.of("WARN", "FAIL")), result.findings
    assert result.value("bonds.roughness") < 0.01 and result.value("bonds.wall") > 20


def test_models_say_how_hot_their_bonds_may_get(tmp_path, structures):
    result = validate(write_pairs(tmp_path / "dented.pt", "dent"), [structures["cluster"]], only=["bonds"])
    (reach,) = (finding for finding in result.findings if finding.key == "bonds.reach")
    assert 0.5 < reach.value < result.value("bonds.wall") and reach.verdict == "WARN"
    # E = kT ln(nu t): at a nanosecond ln(1e5) = 11.5, and a microsecond 18.4.
    hot, warm = (int(kelvin) for kelvin in re.findall(r"at (\d+) K", reach.note))
    assert hot == pytest.approx(reach.value / 8.617e-5 / 11.51, rel=0.01)
    assert warm == pytest.approx(reach.value / 8.617e-5 / 18.42, rel=0.01)
    (said,) = sentences(result)
    assert f"smooth wells up to {reach.value:.2g} eV" in said and reach.note in said


@pytest.mark.parametrize(("symmetry", "exact"), [("none", False), ("average 4", False), ("average 12", True)])
def test_average_removes_what_theory_says(tmp_path, structures, symmetry, exact):
    """The planted fault goes as z^2 / r^2, l = 2: twelve rotations take that away, four do not."""
    file = write_pairs(tmp_path / "lopsided.pt", "lopsided")
    only = ["forces", "virial", "rotation", "net_torque", "cutoff", "extensivity"]
    result = validate(file, [structures["cluster"]], only=only, symmetry=symmetry)
    found = verdicts(result)
    assert result.symmetry == symmetry and found["forces"] == found["virial"] == found["cutoff"] == "PASS"
    assert (found["rotation"] == found["net_torque"] == "PASS") is exact, found
    assert (result.value("rotation.force_worst") < 1e-9) is exact


def test_frame_is_exact_and_says_what_it_gives_up(ethanol_file, repository, lammps_plugin):
    structure = repository / "examples/ethanol.xyz"
    only = [
        "forces", "virial", "far_from_origin", "permutation", "rotation", "embedding", "net_torque", "extensivity",
        "dimers", "precision", "engines", "conservation",
    ]  # fmt: skip
    result = validate(ethanol_file, [structure], only=only, symmetry="frame")
    assert not list(result.of("WARN", "FAIL")), result.findings
    assert result.value("rotation.force_worst") < 1e-8 and result.value("net_torque.torque") < 1e-8
    assert result.value("conservation.angular_momentum") < 1e-10
    # Hydrogens that change places are told apart by the reference: the rotation error is seen there.
    exchange = result.value("permutation.exchange")
    assert 1e-4 < exchange < 1.0 and result.value("permutation.energy") < 1e-9
    skipped = {finding.check: finding.note for finding in result.of("SKIP")}
    assert {"embedding", "extensivity", "dimers", "precision"} <= skipped.keys()
    plain = validate(ethanol_file, [structure], only=["permutation", "rotation"])
    assert plain.value("permutation.exchange") is None and plain.value("rotation.force_worst") > 0.1


def test_symmetry_that_cannot_be(sound, toy_file, structures, tmp_path):
    with pytest.raises(UsageError, match="offers symmetry average, random; got frame"):
        validate(sound, [structures["cluster"]], symmetry="frame")
    with pytest.raises(UsageError, match="random rotates anew"):
        validate(sound, [structures["cluster"]], symmetry="random 1")
    with pytest.raises(UsageError, match="symmetry must be"):
        validate(sound, [structures["cluster"]], symmetry="average")
    with pytest.raises(UsageError, match="offers no symmetry"):
        validate(toy_file, [structures["pair"]], symmetry="frame")


@pytest.mark.long
def test_words_say_what_the_numbers_say(ethanol_file, repository):
    structure = repository / "examples/ethanol.xyz"
    plain = validate(ethanol_file, [structure], only=["rotation", "net_torque", "bonds", "dimers"])
    said = " ".join(sentences(plain))
    for key in ("rotation.force", "rotation.force_worst", "rotation.spread", "net_torque.torque"):
        assert f"{plain.value(key):.2g}" in said, key
    assert "has learned its symmetry" in said and "smooth wells, walls that hold" in said and "Two atoms alone" in said
    exact = validate(ethanol_file, [structure], only=["rotation", "net_torque", "conservation"], symmetry="frame")
    said = " ".join(sentences(exact))
    assert "rotation is exact" in said and "angular momentum is conserved" in said and "learned" not in said


def test_words_of_angular_momentum_that_wanders():
    change = Finding(
        "conservation", "x", "conservation.angular_momentum", "", 0.05, "1/ps", 0.01, 1.0, "WARN"
    )  # fmt: skip
    (said,) = sentences(Validation("m", {}, ["x"], [change]))
    assert "not conserved" in said and "0.05 of its thermal size" in said and "after some 20 ps" in said


@pytest.mark.parametrize(
    ("verdict", "words"), [("PASS", []), ("WARN", ["a bump or a minimum more"]), ("FAIL", ["means nothing"])]
)
def test_words_of_pairs_of_atoms_go_by_the_verdict(verdict, words):
    flips = Finding("dimers", "x", "dimers.flips", "", 2.0, "", 1.0, 5.0, verdict)
    said = sentences(Validation("m", {}, ["x"], [flips]))
    assert len(said) == len(words) and all(word in line for word, line in zip(words, said, strict=True))
