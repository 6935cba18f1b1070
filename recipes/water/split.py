"""Split the 400 frames of liquid water into 360 to train on and 40 held out: python split.py water.extxyz[.xz]."""

import sys
from pathlib import Path

import ase.io
import numpy as np

from transip_md.structures import read_frames

frames = read_frames(Path(sys.argv[1]))
order = np.random.default_rng(2026).permutation(len(frames))
folder = Path(__file__).resolve().parent / "data"
folder.mkdir(exist_ok=True)
ase.io.write(folder / "train.extxyz", [frames[row] for row in sorted(order[40:])])
ase.io.write(folder / "test.extxyz", [frames[row] for row in sorted(order[:40])])
print(f"{folder}: {len(frames) - 40} frames in train.extxyz, 40 in test.extxyz")
