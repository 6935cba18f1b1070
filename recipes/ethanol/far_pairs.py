"""Pairs of atoms farther apart than `transip-md sample --dimers atoms` sets them: `python far_pairs.py FOLDER`.

FOLDER/structures/X-Y.xyz hold the pairs (recipes/organic_broad/pairs.py); FOLDER/X-Y_far.extxyz get 60 frames of each,
from 3 covalent lengths to 6.1 Angstrom, labelled as those that are nearer. A pair that the teacher cannot do is named
and left out.
"""

import sys
from pathlib import Path

import ase.io

from transip_md.data.bonds import covalent_length
from transip_md.sampling.errors import FewerFramesError
from transip_md.sampling.recipe import COLD_ELECTRONS, WARM_ELECTRONS, SamplingRecipe
from transip_md.sampling.run import sample

FRAMES = 60
SHORTEST, LONGEST = 3.0, 6.1

folder = Path(sys.argv[1])
for structure in sorted((folder / "structures").glob("*.xyz")):
    recipe = SamplingRecipe(
        teacher="gfn2-xtb", mode="pair", temperature=COLD_ELECTRONS, electronic_temperature=WARM_ELECTRONS, seed=1,
        shortest=SHORTEST, longest=LONGEST / covalent_length(*ase.io.read(structure).numbers),
    )  # fmt: skip
    output = folder / f"{structure.stem}_far.extxyz"
    try:
        print(output, max(sample(structure, output, FRAMES, recipe), default=FRAMES), "frames")
    except FewerFramesError as error:
        print(error)
