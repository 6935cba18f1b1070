"""The part of the OpenMM plugin for OpenMM's CUDA platform, on machines that have neither GPU nor driver.

Its kernels run under the emulator and are compiled by NVRTC; its library is compiled and linked with the headers and
libraries that PyPI's wheels bring.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nvrtc
import pytest

from made_once import built_by_cmake, made_once
from transip_md.plugins.build import find_tool
from transip_md.plugins.locate import openmm_folder, version_of

#: With OpenMM's CUDA platform five megabytes, without the libraries that it asks for where it runs.
WHEELS = ("nvidia-cuda-runtime==13.0.*", "nvidia-cuda-crt==13.0.*")
#: What OpenMM writes before a kernel's source, by precision.
COORDINATES = {"single": "float4", "mixed": "float4", "double": "double4"}


def test_emulated_kernels(tmp_path_factory):
    programs = built_by_cmake(tmp_path_factory, "test_particles")
    result = subprocess.run([programs / "test_particles"], capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout.endswith(" checks, 0 failed\n"), result.stdout + result.stderr


def test_no_races(tmp_path_factory):
    programs = built_by_cmake(tmp_path_factory, "test_particles_thread")
    result = subprocess.run([programs / "test_particles_thread", "--few"], capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout.endswith(" checks, 0 failed\n"), result.stdout + result.stderr


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[Path]:
    """Untrained models of the shapes in emulated_kernels.cpp: one with a cutoff of 3 Angstrom, one all-to-all."""
    from networks import make_model
    from transip_md.exporting.export import export
    from transip_md.model.checkpoint import Checkpoint

    folder = tmp_path_factory.mktemp("models")
    bias = {"dim": 32, "feedforward": 44, "radial_functions": 12, "radial_hidden": 8, "cutoff": 3.0}
    plain = {"dim": 128, "feedforward": 100, "radial_bias": False, "rotary_values": False, "coordinates": True}
    shapes = {"local": bias, "molecule": plain}
    for name, shape in shapes.items():
        model = make_model(heads=2, **shape)
        export(Checkpoint(model.config, model), folder / f"{name}.pt", "float64")
    return [folder / f"{name}.pt" for name in shapes]


def test_the_force_on_an_emulated_platform(tmp_path_factory, repository, models):
    openmm = pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")
    platforms = [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]
    if "CUDA" in platforms:
        pytest.skip("this machine has OpenMM's CUDA platform: tests/gpu run there")
    library = built_by_cmake(tmp_path_factory, "emulated_platform") / "emulated_platform.so"
    program = repository / "tests" / "cuda" / "openmm_on_emulated_cuda.py"
    paths = [str(repository / "tests"), os.environ.get("PYTHONPATH", "")]
    result = subprocess.run(
        [sys.executable, str(program), str(library), *map(str, models)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )  # fmt: skip
    print(result.stdout, result.stderr)
    assert result.returncode == 0
    assert result.stdout.count("PASS") > 40


def source_for_openmm(repository: Path, real4: str) -> str:
    """The kernels as CMake puts them together, behind the type that OpenMM writes before them."""
    folder = repository / "openmm_plugin" / "cuda"
    text = "".join((folder / name).read_text() for name in ("particles.h", "particles.cuh", "particles.cu"))
    return f"typedef {real4} real4;\n" + re.sub(r'#pragma once\n|#include "particles\.h"\n', "", text)


@pytest.mark.skipif(nvrtc.library() is None, reason="NVRTC is not installed (pip install nvidia-cuda-nvrtc)")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_120"])
@pytest.mark.parametrize("real4", sorted(set(COORDINATES.values())))
def test_kernels_compile_without_spills(repository, real4, architecture):
    source = source_for_openmm(repository, real4)
    # By the oldest standard that OpenMM may ask for.
    cubin, usage = nvrtc.compile_source(source, "particles.cu", architecture, standard="c++11")
    assert cubin.startswith(b"\x7fELF")
    assert usage.keys() == {"take_positions", "add_forces", "find_cut"}
    assert {name: found.spilled for name, found in usage.items() if found.spilled} == {}


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Path:
    """A folder with what the wheels of OpenMM's CUDA platform and of CUDA's headers hold."""
    pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")
    wheels = [f"OpenMM-CUDA-13=={version_of('openmm')}", *WHEELS]

    def make(folder: Path) -> None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        got = subprocess.run([*command, "--dest", str(folder), *wheels], capture_output=True, text=True)
        if got.returncode:
            folder.rmdir()
            pytest.skip(f"pip cannot get {', '.join(wheels)}: {got.stderr.strip().splitlines()[-1]}")
        for wheel in folder.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
            wheel.unlink()

    return made_once(tmp_path_factory, "openmm_cuda_wheels", str(version_of("openmm")), make)


def test_the_library_compiles_and_links(repository, parts, tmp_path):
    cmake = str(find_tool("cmake"))
    for command in (
        [
            cmake, "-S", str(repository / "openmm_plugin" / "cuda"), "-B", str(tmp_path), "-G", "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={find_tool('ninja')}", "-DCMAKE_CXX_FLAGS=-Werror", f"-DOPENMM={openmm_folder()}",
            f"-DOPENMM_CUDA={parts / 'OpenMM.libs' / 'lib' / 'plugins' / 'libOpenMMCUDA.so'}",
            f"-DCUDA_INCLUDE={parts / 'nvidia' / 'cu13' / 'include'}",
        ],
        [cmake, "--build", str(tmp_path)],
    ):  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
    library = tmp_path / "libOpenMMTransIPCUDA.so"
    needed = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    # No toolkit and no driver by name: OpenMM's platform brings them.
    assert set(re.findall(r"NEEDED.*\[(lib[^.\]]+)", needed)) <= {
        "libOpenMM", "libOpenMMCUDA", "libstdc++", "libgcc_s", "libc", "libm"
    }  # fmt: skip
    symbols = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    assert {"registerPlatforms", "registerKernelFactories"} <= set(symbols.split())
