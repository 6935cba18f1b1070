"""What is to be sampled, and into which files."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase
import ase.data
import numpy as np

from transip_md.common.errors import UsageError
from transip_md.data.bonds import covalent_length
from transip_md.sampling.recipe import SamplingRecipe, lowest_multiplicity

#: Endings of the files that are taken from a folder of structures.
STRUCTURE_SUFFIXES = (
    ".xyz", ".extxyz", ".pdb", ".cif", ".vasp", ".poscar", ".sdf", ".mol", ".gro", ".gen", ".xsf", ".traj",
)  # fmt: skip
#: Other structures that one makes dimers with, beside its own copy.
PARTNERS = 3
#: What names the file of a mode.
MODE_NAMES = {"bonds": "bonds", "torsions": "torsions", "compress": "compressed", "dimers": "dimers", "pair": "pair"}


@dataclass(frozen=True)
class SamplingTask:
    """One file to sample.

    Attributes:
        structure: file of the starting structure.
        output: file of frames.
        recipe: how.
        partners: files of the structures that dimers are made with.
    """

    structure: Path
    output: Path
    recipe: SamplingRecipe
    partners: tuple[Path, ...] = ()


def find_structures(paths: Iterable[Path]) -> list[Path]:
    """List the structure files among files and folders.

    Args:
        paths: structure files, and folders of which every file with a known ending is taken, in the order of the names.

    Returns:
        The files.

    Raises:
        UsageError: nothing is there, or a folder holds no structure.
    """
    files = []
    for path in paths:
        if not path.is_dir():
            if not path.is_file():
                raise UsageError(f"No such structure file or folder: {path}. Give a file that ase reads, or a folder.")
            files.append(path)
            continue
        inside = sorted(file for file in path.iterdir() if file.is_file() and file.suffix.lower() in STRUCTURE_SUFFIXES)
        if not inside:
            raise UsageError(
                f"{path} holds no structure file. Expected files that end in {', '.join(STRUCTURE_SUFFIXES)}."
            )
        files += inside
    return files


def plan(structures: Iterable[Path], folder: Path, recipes: Iterable[SamplingRecipe]) -> list[SamplingTask]:
    """Name the files of several structures by several recipes.

    ``<stem>_<temperature>K.extxyz`` of dynamics, ``<stem>_modes_<temperature>K.extxyz`` of normal modes, and
    ``<stem>_bonds``, ``_torsions``, ``_compressed``, ``_dimers`` and ``_pair``; where recipes differ in their charge,
    ``_charge`` and the charge stand before that.

    Args:
        structures: structure files.
        folder: where the files shall be.
        recipes: one for each mode, temperature and charge.

    Returns:
        One task for each structure and recipe, structure by structure.

    Raises:
        UsageError: two of them would have the same file.
    """
    structures, recipes = list(structures), list(recipes)
    charged = len({recipe.charge for recipe in recipes}) > 1
    tasks: dict[Path, SamplingTask] = {}
    for structure in structures:
        for recipe in recipes:
            charge = f"_charge{recipe.charge}" if charged else ""
            output = folder / f"{structure.stem}{charge}_{_mode_name(recipe)}.extxyz"
            if output in tasks:
                other = tasks[output]
                raise UsageError(
                    f"{other.structure} at {other.recipe.temperature} K and {structure} at {recipe.temperature} K "
                    f"would both be sampled into {output}. Expected names and temperatures that differ: "
                    "rename a file, or leave one out."
                )
            partners = _partners(structure, structures, recipe.seed) if recipe.mode == "dimers" else ()
            tasks[output] = SamplingTask(structure, output, recipe, partners)
    return list(tasks.values())


def _mode_name(recipe: SamplingRecipe) -> str:
    temperature = f"{recipe.temperature:g}K"
    if recipe.mode == "langevin":
        return temperature
    return f"modes_{temperature}" if recipe.mode == "normal-modes" else MODE_NAMES[recipe.mode]


def _partners(structure: Path, structures: Sequence[Path], seed: int) -> tuple[Path, ...]:
    """The structure itself and some others, drawn by the seed and its name."""
    others = [path for path in structures if path != structure]
    generator = np.random.default_rng([seed, zlib.crc32(structure.stem.encode())])
    drawn = generator.choice(len(others), min(PARTNERS, len(others)), replace=False) if others else []
    return (structure, *(others[index] for index in drawn))


def atom_pairs(structures: Iterable[ase.Atoms], charges: Sequence[int]) -> dict[str, ase.Atoms]:
    """Two bare atoms of each pair of elements that occur, a covalent length apart.

    Args:
        structures: which elements there are.
        charges: total charges, e, that pairs may have.

    Returns:
        Pairs by name, such as ``H-C``; in their info the first charge of which the pair has a closed shell, if there is
        one, and the lowest multiplicity.
    """
    elements = sorted({int(number) for atoms in structures for number in atoms.numbers})
    symbols = ase.data.chemical_symbols
    pairs = {}
    for first, second in itertools.combinations_with_replacement(elements, 2):
        numbers = np.array([first, second])
        charge = min(charges, key=lambda value: lowest_multiplicity(np.array([first, second]), value))
        atoms = ase.Atoms(numbers, [[0.0, 0.0, 0.0], [0.0, 0.0, covalent_length(first, second)]])
        atoms.info = {"charge": charge, "multiplicity": lowest_multiplicity(numbers, charge)}
        pairs[f"{symbols[first]}-{symbols[second]}"] = atoms
    return pairs
