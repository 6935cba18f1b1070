"""Two molecules side by side: in contact at any orientation, and with hydrogen bonds."""

from __future__ import annotations

from collections.abc import Sequence

import ase
import ase.data
import numpy as np

from transip_md.data.bonds import bonded_pairs
from transip_md.sampling.candidates import Candidate, Candidates, even_fraction, random_rotation
from transip_md.sampling.errors import NothingToSampleError
from transip_md.sampling.recipe import SamplingRecipe

#: Closest distance between two molecules, sums of van der Waals radii.
CLOSEST, FARTHEST = 0.6, 1.5
#: Length of a hydrogen bond, from the hydrogen to the acceptor, Angstrom.
SHORTEST_HYDROGEN_BOND, LONGEST_HYDROGEN_BOND = 1.4, 2.8
#: Standard deviation of a hydrogen bond's directions from straight ones.
CROOKED = 0.3
#: Elements that give and take hydrogen bonds.
DONORS = (7, 8, 9, 16)
ACCEPTORS = (7, 8, 9, 16, 17)


def dimer_candidates(start: ase.Atoms, partners: Sequence[Candidate], recipe: SamplingRecipe) -> Candidates:
    """Pairs of the structure and each partner in turn; where they can, every second one has a hydrogen bond.

    Args:
        start: an isolated molecule at rest.
        partners: molecules at rest. Those that carry a charge of the same sign are left out: the pair would fly apart.
        recipe: the seed, and the electronic state of the structure.

    Raises:
        NothingToSampleError: a periodic structure, or no partner is left.
    """
    assert recipe.charge is not None and recipe.multiplicity is not None
    if start.pbc.any():
        raise NothingToSampleError("pairs are made of isolated molecules only")
    own = Candidate(start, recipe.charge, recipe.multiplicity)
    others = [partner for partner in partners if partner.charge * own.charge <= 0 and not partner.atoms.pbc.any()]
    if not others:
        raise NothingToSampleError("it has a charge, and there is no partner without one of the same sign")

    def candidate(number: int) -> Candidate:
        generator = recipe.generator(number)
        round_, which = divmod(number, len(others))
        other = others[which]
        # Either may be the one that gives.
        first, second = (own, other) if generator.random() < 0.5 else (other, own)
        bonds = hydrogen_bonds(first.atoms, second.atoms) if round_ % 2 else []
        # Of rounds in a row, every second one is of each kind.
        fraction = even_fraction(round_ // 2, recipe)
        if bonds:
            pair = _bound(first.atoms, second.atoms, bonds[generator.integers(len(bonds))], fraction, generator)
        else:
            pair = _in_contact(first.atoms, second.atoms, fraction, generator)
        charge = own.charge + other.charge
        # Spins side by side; two closed shells make one.
        return Candidate(pair, charge, own.multiplicity + other.multiplicity - 1)

    return candidate


def hydrogen_bonds(donor: ase.Atoms, acceptor: ase.Atoms) -> list[tuple[int, int, int]]:
    """Every hydrogen bond between two molecules: heavy atom and hydrogen of the first, acceptor of the second."""
    hydrogens = [
        (heavy, hydrogen)
        for pair in bonded_pairs(donor)
        for heavy, hydrogen in (pair, pair[::-1])
        if donor.numbers[hydrogen] == 1 and donor.numbers[heavy] in DONORS
    ]
    takers = np.flatnonzero(np.isin(acceptor.numbers, ACCEPTORS)).tolist()
    return [(heavy, hydrogen, taker) for heavy, hydrogen in hydrogens for taker in takers]


def _bound(
    donor: ase.Atoms, acceptor: ase.Atoms, bond: tuple[int, int, int], fraction: float, generator: np.random.Generator
) -> ase.Atoms:
    """Both molecules, the acceptor in line with the donor's bond, its own neighbours on the far side."""
    heavy, hydrogen, taker = bond
    length = SHORTEST_HYDROGEN_BOND + fraction * (LONGEST_HYDROGEN_BOND - SHORTEST_HYDROGEN_BOND)
    outward = _crooked(donor.positions[hydrogen] - donor.positions[heavy], generator)
    neighbours = [b if a == taker else a for a, b in bonded_pairs(acceptor) if taker in (a, b)]
    backward = acceptor.positions[neighbours].mean(axis=0) - acceptor.positions[taker] if neighbours else outward
    rotated = acceptor.copy()
    arms = acceptor.positions - acceptor.positions[taker]
    # The acceptor's neighbours look away from the donor; about the line itself it may stand in any way.
    arms = arms @ _turning(backward, _crooked(outward, generator)).T
    arms = arms @ _about(outward, generator.uniform(0, 2 * np.pi)).T
    rotated.positions = donor.positions[hydrogen] + length * outward + arms
    return donor + rotated


def _in_contact(first: ase.Atoms, second: ase.Atoms, fraction: float, generator: np.random.Generator) -> ase.Atoms:
    """Both molecules, each rotated at random, at a fraction of the way from CLOSEST to FARTHEST."""
    scale = CLOSEST + fraction * (FARTHEST - CLOSEST)
    here, there = first.copy(), second.copy()
    for atoms in (here, there):
        atoms.positions = (atoms.positions - atoms.positions.mean(axis=0)) @ random_rotation(generator).T
    radii = [ase.data.vdw_radii[atoms.numbers] for atoms in (here, there)]
    # Elements without a van der Waals radius in ase's table count as 2 Angstrom.
    wanted = scale * np.add.outer(*(np.nan_to_num(values, nan=2.0) for values in radii))
    displacements = there.positions[None] - here.positions[:, None]
    # Along x the pair i, j is as far apart as wanted at the larger root of |d + s x|^2 = wanted^2.
    across = wanted**2 - displacements[..., 1] ** 2 - displacements[..., 2] ** 2
    roots = np.where(across > 0, np.sqrt(np.maximum(across, 0)) - displacements[..., 0], -np.inf)
    there.positions[:, 0] += roots.max()
    return here + there


def _crooked(direction: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A unit vector near a direction."""
    bent = direction / np.linalg.norm(direction) + generator.normal(scale=CROOKED, size=3)
    return bent / np.linalg.norm(bent)


def _turning(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """A rotation [3, 3] that brings one direction into another."""
    from scipy.spatial.transform import Rotation

    return Rotation.align_vectors(target[None], source[None])[0].as_matrix()


def _about(axis: np.ndarray, angle: float) -> np.ndarray:
    """The rotation [3, 3] about a unit vector by an angle, rad."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(angle * axis).as_matrix()
