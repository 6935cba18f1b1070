"""Every case of model_files.py in Python and in libtransip: refused with a sentence, by both, before anything runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hostile.model_files import (
    ARCHITECTURE_CASES,
    METADATA_CASES,
    REFERENCE_CASES,
    TEXT_CASES,
    archives,
    damaged_copies,
    programs,
    rewritten,
    with_json,
)
from transip_md.common.errors import TransIPError
from transip_md.engines.ase import TransIPCalculator
from transip_md.modelfile.metadata import METADATA_NAME, REFERENCE_NAME, read_metadata

#: Seconds after which a file has hung its reader.
HANG = 300


@pytest.fixture(scope="session")
def loader(cpp_build) -> Path:
    return cpp_build / "load_model"


def in_cpp(loader: Path, files: list[Path], kernels: str = "auto") -> list[str]:
    """What libtransip says of each file, in one process that none of them ends."""
    result = subprocess.run([loader, kernels, *files], capture_output=True, text=True, timeout=HANG)
    lines = result.stdout.splitlines()
    assert result.returncode == 0, (
        f"{files[min(len(lines), len(files) - 1)]} ended it: {result.returncode} {result.stderr}"
    )
    assert len(lines) == len(files), "a message has several lines"
    return lines


def in_python(file: Path) -> str:
    """The same of ASE's calculator."""
    try:
        TransIPCalculator(file, device="cpu")
    except TransIPError as error:
        return f"refused: {error}"
    return "agrees"


def check_refused(loader: Path, cases: dict[str, tuple[Path, str]]) -> None:
    files = [path for path, _ in cases.values()]
    for (name, (path, word)), said in zip(cases.items(), in_cpp(loader, files), strict=True):
        for answer in (said, in_python(path)):
            assert answer.startswith("refused: "), f"{name}: {answer}"
            assert word in answer, f"{name}: {answer}"
            assert len(answer) < 700, f"{name}: {answer}"


@pytest.fixture(scope="session")
def model(molecule_file) -> Path:
    return molecule_file


def test_the_files_themselves_are_good(loader, model, local_file):
    assert in_cpp(loader, [model, local_file]) == ["agrees", "agrees"]
    assert in_cpp(loader, [model, local_file], "torch") == ["agrees", "agrees"]
    assert in_python(model) == in_python(local_file) == "agrees"


def test_metadata_out_of_its_schema(loader, model, tmp_path):
    cases = {}
    for name, (change, word) in METADATA_CASES.items():
        cases[name] = (with_json(model, tmp_path / f"{name}.pt", METADATA_NAME, change), word)
    check_refused(loader, cases)


def test_architectures_that_the_weights_contradict(loader, model, tmp_path):
    cases = {}
    for name, change in ARCHITECTURE_CASES.items():
        cases[name] = (with_json(model, tmp_path / f"{name}.pt", METADATA_NAME, change), "")
    check_refused(loader, cases)


def test_references_that_cannot_be(loader, model, tmp_path):
    check_refused(
        loader,
        {
            name: (with_json(model, tmp_path / f"{name}.pt", REFERENCE_NAME, change), word)
            for name, (change, word) in REFERENCE_CASES.items()
        },
    )


def test_text_that_is_no_json_of_ours(loader, model, tmp_path):
    name = f"extra/{METADATA_NAME}"
    cases = {n: (rewritten(model, tmp_path / f"{n}.pt", name, c), word) for n, (c, word) in TEXT_CASES.items()}
    check_refused(loader, cases)


def test_archives_that_contradict_themselves(loader, model, tmp_path):
    check_refused(loader, {name: (path, "not a TorchScript file") for name, path in archives(model, tmp_path).items()})


def test_programs_do_not_run(loader, tmp_path):
    """The operator is named before anything is executed; no file appears."""
    cases = programs(tmp_path)
    check_refused(loader, cases)
    for name, (path, word) in cases.items():
        assert word in in_cpp(loader, [path], "torch")[0], name
    assert not (tmp_path / "written").exists()


def test_a_file_without_a_reference_is_not_checked_and_that_is_said(loader, model, tmp_path):
    bare = tmp_path / "bare.pt"
    from transip_md.modelfile.archive import Archive, write_archive

    with Archive(model) as source, bare.open("wb") as target:
        names = [name for name in source.entries if name != f"extra/{REFERENCE_NAME}"]
        write_archive(
            target, "model", [(name, source.read(name), source.entries[name].compress_type) for name in names]
        )
    assert in_cpp(loader, [bare]) == ["unchecked"]


@pytest.mark.parametrize("form", ["native", "torch"])
def test_no_damaged_copy_gives_a_number_that_differs(loader, model, tmp_path, form):
    """A flip in padding or in a date changes no number and may pass; what passes agrees with the reference."""
    files = damaged_copies(model, tmp_path, 150, seed=1)
    for file, said in zip(files, in_cpp(loader, files, "auto" if form == "native" else "torch"), strict=True):
        assert said == "agrees" or re.match("refused: ", said), f"{file}: {said}"


def test_no_damaged_copy_passes_with_other_weights(model, tmp_path):
    """In Python: what loads has the very tensors that were exported."""
    from transip_md.evaluators.torch_model import ExportedModel

    wanted = {name: tensor.clone() for name, tensor in ExportedModel(model, "cpu").scripted.state_dict().items()}
    loaded = 0
    for file in damaged_copies(model, tmp_path, 100, seed=2):
        try:
            found = ExportedModel(file, "cpu").scripted.state_dict()
        except TransIPError:
            continue
        loaded += 1
        assert all((found[name] == tensor).all() for name, tensor in wanted.items()), file
    assert loaded < 50


def test_a_changed_weight_with_a_right_crc_is_refused(loader, model, tmp_path):
    entry = read_metadata(model).weights["model.energy_head.0.weight"].entry

    def nudge(content: bytes) -> bytes:
        return content[:-1] + bytes([content[-1] ^ 1])

    file = rewritten(model, tmp_path / "nudged.pt", entry, nudge)
    check_refused(loader, {"nudged": (file, "model.energy_head.0.weight")})


def test_stamping_keeps_a_file_valid(loader, model, tmp_path):
    from transip_md.modelfile.certificate import stamp

    copy = tmp_path / "stamped.pt"
    copy.write_bytes(model.read_bytes())
    stamp(copy, {"summary": "PASS", "verdict": "PASS"})
    assert in_cpp(loader, [copy]) == ["agrees"]
    assert in_python(copy) == "agrees"


def test_the_two_lists_of_operators_are_equal(repository):
    from transip_md.modelfile.operators import ALLOWED_OPERATORS

    header = (repository / "libtransip_torch/src/operators.h").read_text()
    assert set(re.findall(r'"((?:aten|prim)::\w+)"', header)) == ALLOWED_OPERATORS


@pytest.mark.parametrize("seconds", [5, pytest.param(600, marks=pytest.mark.long)])
def test_fuzzed_files_are_refused_or_read(cpp_build, model, local_file, seconds):
    """AddressSanitizer and UndefinedBehaviorSanitizer watch the readers of archive, metadata and reference."""
    command = [cpp_build / "fuzz_model_file", str(seconds), "1", model, local_file]
    result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + HANG)
    assert result.returncode == 0, result.stdout + result.stderr
    tried = int(result.stdout.split()[0])
    assert tried > 100 * seconds


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.long)])
def test_no_engine_takes_a_damaged_copy(tmp_path, count, lammps_plugin, openmm_plugin):
    """In ASE, LAMMPS and OpenMM themselves, of the shipped models: what is not refused gives the very same numbers."""
    import transip_md
    from transip_md.exporting.export import export

    names = ("ethanol", "water", "organic")
    for name in names:
        source = tmp_path / f"{name}.pt"
        export(transip_md.pretrained(name), source, "float32")
        folder = tmp_path / name
        folder.mkdir()
        damaged_copies(source, folder, -(-count // len(names)), seed=3)
    program = Path(__file__).with_name("damaged_in_engines.py")
    result = subprocess.run(
        [sys.executable, program, *(tmp_path / name for name in names)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
