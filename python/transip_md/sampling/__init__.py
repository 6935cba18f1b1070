"""Training data of one's own making: structures sampled in several modes, labelled by a semi-empirical teacher.

Isolated molecules and crystals that are periodic in all three directions. The teacher samples a crystal at the Gamma
point alone, so labels come close to those of the infinite crystal only in a cell of some 10 Angstrom or more.
"""

from transip_md.sampling.errors import FewerFramesError, NothingToSampleError, SamplingError
from transip_md.sampling.frame_files import dropped
from transip_md.sampling.plan import SamplingTask, atom_pairs, find_structures, plan
from transip_md.sampling.recipe import SamplingRecipe
from transip_md.sampling.run import sample
from transip_md.sampling.tasks import SamplingProgress, sample_all
from transip_md.sampling.teacher import teacher_calculator

__all__ = [
    "FewerFramesError",
    "NothingToSampleError",
    "SamplingError",
    "SamplingProgress",
    "SamplingRecipe",
    "SamplingTask",
    "atom_pairs",
    "dropped",
    "find_structures",
    "plan",
    "sample",
    "sample_all",
    "teacher_calculator",
]
