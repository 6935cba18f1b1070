"""Split the 400 frames of liquid water into 360 to train on and 40 held out: python split.py water.extxyz[.xz]."""

from __future__ import annotations

import sys
from pathlib import Path

import ase.io
import numpy as np

from transip_md.data.structures import read_frames


def rows(frames: int) -> tuple[list[int], list[int]]:
    """Frames to train on and frames held out, drawn by a fixed seed."""
    order = np.random.default_rng(2026).permutation(frames)
    return sorted(order[40:].tolist()), sorted(order[:40].tolist())


def main() -> None:
    """Write data/train.extxyz and data/test.extxyz beside this file."""
    frames = read_frames(Path(sys.argv[1]))
    folder = Path(__file__).resolve().parent / "data"
    folder.mkdir(exist_ok=True)
    for name, part in zip(("train", "test"), rows(len(frames)), strict=True):
        ase.io.write(folder / f"{name}.extxyz", [frames[row] for row in part])
        print(f"{folder / name}.extxyz: {len(part)} frames")


if __name__ == "__main__":
    main()
