"""Committees in one file, in Python, ASE, C and the commands; pair_style transip is in tests/lammps."""

from __future__ import annotations

import pickle
import shutil
import subprocess

import ase
import numpy as np
import pytest
from typer.testing import CliRunner

from committees import MODELS, deviations, single_evaluations
from networks import crystal, small_checkpoint
from transip_md.cli.main import app
from transip_md.common.errors import UsageError
from transip_md.engines.ase import CommitteeCalculator, TransIPCalculator
from transip_md.evaluators.committee import Committee
from transip_md.evaluators.library_model import LibraryModel
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.model.checkpoint import save_checkpoint
from transip_md.modelfile.certificate import stamp
from transip_md.modelfile.committee_file import models_in, read_model, write_committee
from transip_md.modelfile.metadata import read_metadata

pytestmark = pytest.mark.usefixtures("library")

WATER = ase.Atoms([8, 1, 1], [[0.0, 0.0, 0.0], [0.96, 0.1, 0.0], [-0.2, 0.93, 0.1]])


@pytest.fixture(scope="module")
def file(local_committee, tmp_path_factory):
    path = tmp_path_factory.mktemp("committee") / "committee.pt"
    write_committee(local_committee, path)
    return path


def test_models_are_those_of_their_files(file, local_committee):
    assert models_in(file) == [f"{file}#{k}" for k in range(1, MODELS + 1)]
    assert models_in(local_committee[0]) == [str(local_committee[0])]
    atoms = crystal(3)
    for name, alone in zip(models_in(file), local_committee, strict=True):
        assert read_model(name) == alone.read_bytes()
        wanted = LibraryModel(alone).evaluate(atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc)
        for model in (LibraryModel(name), ExportedModel(name)):
            found = model.evaluate(atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc)
            assert np.abs(found.forces - wanted.forces).max() <= 1e-9
    assert LibraryModel(file).sha256 == LibraryModel(local_committee[0]).sha256
    assert read_metadata(file) == read_metadata(local_committee[0])


def test_committee_of_one_file(file, local_committee):
    atoms = crystal(0)
    _, wanted = Committee(local_committee).evaluate(
        atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc
    )
    _, found = Committee(file).evaluate(atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc)
    assert found.line(0) == wanted.line(0)
    assert len(Committee([file, local_committee[0]]).models) == MODELS + 1
    atoms.calc = pickle.loads(pickle.dumps(CommitteeCalculator(file, force="mean")))
    assert np.abs(atoms.get_forces() - single_evaluations(local_committee, atoms)[1].mean(axis=0)).max() <= 1e-9
    assert np.array_equal(atoms.calc.results["forces_std"], wanted.forces)
    alone = TransIPCalculator(file).get_forces(crystal(0))
    assert np.abs(alone - single_evaluations(local_committee, crystal(0))[1][0]).max() <= 1e-9


def test_in_c(file, local_committee, library, repository, tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("cc is not installed")
    command = [
        "cc", "-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{repository / 'libtransip' / 'include'}",
        str(repository / "tests" / "library" / "committee.c"), str(library), f"-Wl,-rpath,{library.parent}",
        "-o", "run",
    ]  # fmt: skip
    subprocess.run(command, cwd=tmp_path, check=True)
    energies, forces, virials = single_evaluations(local_committee, WATER)
    of_atoms = np.linalg.norm(forces.std(axis=0), axis=1)
    wanted = np.concatenate(
        [
            [energies.mean(), energies.std()],
            forces.mean(axis=0).ravel(),
            of_atoms,
            virials.mean(axis=0).ravel(),
            energies,
        ]
    )
    assert deviations(energies, forces, virials)[3] == of_atoms.max() > 0
    for paths in ([file], local_committee):
        result = subprocess.run(["./run", *paths], cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert np.abs(np.array(result.stdout.split(), dtype=float) - wanted).max() <= 1e-9
    for paths, words in (
        ([local_committee[0]], "two models or more; got 1"),
        ([f"{file}#9", file], f"holds {MODELS} models of a committee; got {file}#9"),
        ([tmp_path / "none.pt", file], "No such model file"),
    ):
        result = subprocess.run(["./run", *paths], cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 2 and words in result.stderr, result.stderr


def test_what_is_refused(file, local_committee, tmp_path):
    for load in (LibraryModel, ExportedModel, read_metadata):
        with pytest.raises(UsageError, match=rf"holds {MODELS} models of a committee; got .*#9"):
            load(f"{file}#9")
    with pytest.raises(UsageError, match="holds a committee"):
        stamp(file, None)
    with pytest.raises(UsageError, match="holds a committee"):
        stamp(f"{file}#2", None)
    content = bytearray(file.read_bytes())
    # A byte of the second model; in Python the CRC of the outer archive is looked at first.
    second = local_committee[1].read_bytes()
    content[content.index(second) + len(second) // 2] ^= 1
    (tmp_path / "damaged.pt").write_bytes(content)
    for load in (LibraryModel, ExportedModel):
        with pytest.raises(UsageError, match=r"damaged: .*models/2\.pt"):
            load(tmp_path / "damaged.pt#2")
        load(tmp_path / "damaged.pt#1")
    from transip_md.evaluators import binding

    with pytest.raises(UsageError, match=r"damaged: the model models/2\.pt"):
        binding.check(binding.library().transip_load(str(tmp_path / "damaged.pt#2").encode(), None, _handle()))


def _handle():
    import ctypes

    return ctypes.byref(ctypes.c_void_p())


def test_export(tmp_path):
    for name in ("a", "b"):
        save_checkpoint(tmp_path / f"{name}.ckpt", small_checkpoint().model, {})
    save_checkpoint(tmp_path / "local.ckpt", small_checkpoint(cutoff=3.0).model, {})

    def invoke(*words):
        return CliRunner().invoke(app, ["export", *map(str, words), "-o", str(tmp_path / "model.pt")])

    result = invoke("--committee", tmp_path / "a.ckpt", tmp_path / "b.ckpt")
    assert result.exit_code == 0 and "2 models" in result.output, result.output
    assert len(Committee(tmp_path / "model.pt").models) == 2
    shown = [CliRunner().invoke(app, ["info", f"{tmp_path / 'model.pt'}{which}"]).output for which in ("", "#2")]
    assert "2; this is the first" in " ".join(shown[0].split()) and "this is the first" not in shown[1]
    for words, said in (
        ((tmp_path / "a.ckpt", tmp_path / "b.ckpt"), "Type --committee"),
        (("--committee", tmp_path / "a.ckpt"), "two models or more; got 1"),
        (("--committee", tmp_path / "a.ckpt", tmp_path / "local.ckpt"), "either all or none have a cutoff"),
        (("--committee", tmp_path / "a.ckpt", tmp_path / "b.ckpt", "--format", "aoti"), "leave --format out"),
    ):
        result = invoke(*words)
        assert said in str(result.exception), result.output
