"""What a LAMMPS run leaves on disk beside its log: frames, and restart files from which it resumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transip_md.engines.base import Dynamics

#: Lines above the atoms of a frame.
DUMP_HEADER = 9


def output_lines(dynamics: Dynamics, name: str, *, append: bool, rotated: bool) -> str:
    """Lines of a deck that write unwrapped positions and restart files, as far as the run wants them.

    Args:
        dynamics: what is run.
        name: of the files.
        append: the run resumes: frames are added.
        rotated: LAMMPS rotates the box; frames are wanted in the given one.
    """
    lines = ""
    general = " triclinic/general yes" if rotated else ""
    if dynamics.frames_every:
        lines += f"dump          1 all custom {dynamics.frames_every * dynamics.every} {name}.dump id xu yu zu\n"
        lines += f"dump_modify   1 sort id format float %.9g{general}{' append yes' if append else ''}\n"
    if dynamics.save_every:
        lines += f"restart       {dynamics.save_every * dynamics.every} {name}.restart.*\n"
    return lines


def last_restart(folder: Path, name: str) -> Path | None:
    """The last whole restart file; None if there is none. Files of one run have one size, but for a broken last one."""
    files = sorted(folder.glob(f"{name}.restart.*"), key=lambda path: int(path.suffix[1:]))
    whole = [path for path in files if path.stat().st_size == max(other.stat().st_size for other in files)]
    return whole[-1] if whole else None


def frames_of(dump: Path, dynamics: Dynamics) -> tuple[np.ndarray, np.ndarray]:
    """Positions, Angstrom, [m, N, 3], and times, ps, [m], of a dump of ``id xu yu zu``; of equal steps the last."""
    frames: dict[int, np.ndarray] = {}
    with dump.open() as lines:
        while header := [lines.readline() for _ in range(DUMP_HEADER)]:
            if not header[-1]:
                break
            step, count = int(header[1]), int(header[3])
            rows = [lines.readline().split() for _ in range(count)]
            if len(rows[-1]) == 4:
                frames[step] = np.array(rows, dtype=np.float32)[:, 1:]
    steps = np.array(sorted(frames))
    return np.stack([frames[step] for step in steps]), steps * dynamics.timestep / 1000.0
