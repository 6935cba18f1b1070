"""`transip-md bench` with all baselines: `python benchmarks/versus.py MODEL STRUCTURE... --vs mace --vs deepmd`.

Options are those of `transip-md bench`. Baselines are mace, nequip, esen, ani (in ase), deepmd (in LAMMPS) and
gfn2-xtb. All but the last are installed, once, into environments of their own in the cache folder: gigabytes.
"""

from __future__ import annotations

import sys

import baselines
from transip_md.cli.main import run

if __name__ == "__main__":
    baselines.register()
    sys.argv[1:1] = ["bench"]
    run()
