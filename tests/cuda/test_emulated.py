"""The CUDA kernels without a GPU: every thread emulated on the CPU, against the CPU's own kernels."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import ase
import ase.io
import numpy as np
import nvrtc
import pytest

from made_once import built_by_cmake


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    """A folder with the programs of CMakeLists.txt."""
    return built_by_cmake(tmp_path_factory, "cuda_tests")


def run(program: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    command = [str(program), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    print(result.stdout, result.stderr)
    return result


def write_structure(path: Path, atoms: ase.Atoms) -> Path:
    """As tests/cuda/structures.h reads it."""
    cell = atoms.cell.array if atoms.pbc.all() else np.zeros((3, 3))
    lines = [str(len(atoms)), " ".join(repr(float(x)) for x in cell.ravel())]
    lines += [
        f"{z} " + " ".join(repr(float(x)) for x in place)
        for z, place in zip(atoms.numbers, atoms.positions, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_emulator(programs):
    assert run(programs / "test_emulator").returncode == 0


@pytest.mark.parametrize(("kernel", "line"), [("threads", "sum_block"), ("blocks", "count_blocks"), ("none", "")])
def test_emulated_races_are_found(programs, kernel, line):
    result = run(programs / "test_emulator_thread", kernel)
    assert (result.returncode != 0) == bool(line)
    assert line in result.stderr


def test_products_and_tensor_cores(programs):
    assert run(programs / "test_dense").returncode == 0


@pytest.mark.parametrize("network", ["water", "organic", "wide"])
def test_the_estimate_knows_every_launch(programs, repository, network):
    script = [sys.executable, repository / "benchmarks" / "cuda" / "estimate.py", "--program", programs / "print_plan"]
    result = run(*script, "--network", network, "--atoms", "192")
    assert result.returncode == 0
    launches = {"water": 22, "organic": 22, "wide": 41}[network]
    assert f"\nall {launches:>29}" in result.stdout
    assert "in one launch" not in result.stdout
    assert ("by a library at its peak" in result.stdout) == (network == "wide")


def test_the_estimate_knows_molecules_in_one_launch(programs, repository):
    script = [sys.executable, repository / "benchmarks" / "cuda" / "estimate.py", "--program", programs / "print_plan"]
    result = run(*script, "--network", "ethanol", "--atoms", "9")
    assert result.returncode == 0
    assert f"\nall {22:>29}" in result.stdout
    assert "9 atoms, a whole step in one launch by one block of 384 threads" in result.stdout
    assert re.search(r"\none launch: \d+ us; 26 launches: \d+ us\n", result.stdout)


def test_search_for_neighbours(programs):
    assert run(programs / "test_search").returncode == 0


def test_steps_of_structures_that_move(programs):
    result = run(programs / "test_dynamics")
    assert result.returncode == 0
    assert result.stdout.endswith(" 0 failed\n")


def test_kernels_of_random_networks(programs):
    result = run(programs / "test_kernels")
    assert result.returncode == 0
    assert result.stdout.endswith(" 0 failed\n")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["ethanol", "water"])
def test_kernels_of_shipped_models(programs, repository, tmp_path, name, dtype):
    import transip_md
    from transip_md.exporting.export import export

    structures = {"ethanol": "examples/ethanol.xyz", "water": "examples/openmm/water.pdb"}
    atoms = ase.io.read(repository / structures[name])
    assert len(atoms) == {"ethanol": 9, "water": 192}[name]
    model = tmp_path / f"{name}.pt"
    export(transip_md.pretrained(name), model, dtype)
    structure = write_structure(tmp_path / f"{name}.txt", atoms)
    assert run(programs / "test_kernels", model, structure).returncode == 0
    # A whole step, from positions to forces of atoms.
    assert run(programs / "test_dynamics", model, structure).returncode == 0


def test_no_races_and_no_undefined_behaviour(programs):
    for sanitizer in ("thread", "undefined"):
        assert run(programs / f"test_kernels_{sanitizer}", "--few").returncode == 0
        assert run(programs / f"test_search_{sanitizer}", "--few").returncode == 0
        assert run(programs / f"test_dynamics_{sanitizer}", "--few").returncode == 0


def test_planted_faults_are_found(programs):
    race = run(programs / "test_kernels_thread", "--few", "--missing-barriers", TSAN_OPTIONS="halt_on_error=1")
    assert race.returncode != 0
    assert "data race" in race.stderr and "dense.cuh" in race.stderr
    assert run(programs / "test_kernels", "--few", "--missing-row").returncode == 1


@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="this machine has a GPU")
def test_without_a_driver_an_error_says_so(programs):
    result = run(programs / "test_gpu")
    assert result.returncode == 3
    assert "This machine has no CUDA driver" in result.stderr
    assert "use the device cpu" in result.stderr


def test_compiled_kernels_are_kept(programs, tmp_path):
    program, environment = programs / "test_gpu", {"TRANSIP_MD_CACHE": str(tmp_path / "cache")}
    absent = run(program, "compile", "sm_90", **environment, TRANSIP_NVRTC="/nowhere/libnvrtc.so")
    assert absent.returncode == 3
    assert "pip install nvidia-cuda-nvrtc" in absent.stderr
    if nvrtc.library() is None:
        pytest.skip("NVRTC is not installed (pip install nvidia-cuda-nvrtc)")
    first = run(program, "compile", "sm_90", **environment, TRANSIP_NVRTC=str(nvrtc.path()))
    assert first.returncode == 0
    (kept,) = (tmp_path / "cache").iterdir()
    again = run(program, "compile", "sm_90", **environment, TRANSIP_NVRTC="/nowhere/libnvrtc.so")
    assert (again.returncode, again.stdout) == (0, first.stdout)
    # What is not what was written is compiled anew.
    kept.write_bytes(kept.read_bytes()[:-100])
    assert run(program, "compile", "sm_90", **environment, TRANSIP_NVRTC="/nowhere/libnvrtc.so").returncode == 3


@pytest.mark.parametrize(("kind", "files"), [("molecule", 2), ("box", 3)])
def test_files_are_compiled_side_by_side(programs, tmp_path, kind, files):
    if nvrtc.library() is None:
        pytest.skip("NVRTC is not installed (pip install nvidia-cuda-nvrtc)")
    environment = {"TRANSIP_MD_CACHE": str(tmp_path / "cache"), "TRANSIP_NVRTC": str(nvrtc.path())}
    said = run(programs / "test_gpu", "first", kind, "sm_90", **environment)
    assert said.returncode == 0, said.stderr
    assert f"{kind}: {files} files" in said.stdout
    assert len(list((tmp_path / "cache").iterdir())) == files


def test_a_cache_that_others_may_write_is_refused(programs, tmp_path):
    if nvrtc.library() is None:
        pytest.skip("NVRTC is not installed (pip install nvidia-cuda-nvrtc)")
    cache = tmp_path / "cache"
    environment = {"TRANSIP_MD_CACHE": str(cache), "TRANSIP_NVRTC": str(nvrtc.path())}
    assert run(programs / "test_gpu", "compile", "sm_90", **environment).returncode == 0
    cache.chmod(0o777)
    refused = run(programs / "test_gpu", "compile", "sm_90", **environment)
    assert refused.returncode == 3
    assert "chmod" in refused.stderr
