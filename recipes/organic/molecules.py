"""The broad list of molecules: assembled of fragments, sifted, and split into those that are trained on and the rest.

    python recipes/organic/molecules.py

writes ``broad_train.smi`` and ``broad_held_out.smi`` beside this file. Molecules of H, C, N, O, F, S and Cl, of 2 to 50
atoms, closed shells of charge -1, 0 and +1. Which of the assembled ones are taken, and which of these are held out, is
drawn by the SHA-256 of their SMILES as assembled: neither the version of RDKit nor the order decides.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from fragments import KEPT_OUT, SMALL, SMALL_IONS, assembled
from rdkit import Chem, rdBase

HERE = Path(__file__).resolve().parent
TRAIN, HELD_OUT = HERE / "broad_train.smi", HERE / "broad_held_out.smi"
ELEMENTS = {1, 6, 7, 8, 9, 16, 17}
FEWEST_ATOMS, MOST_ATOMS = 2, 50
#: Molecules that are taken from each rule.
SHARES = {
    "chain": 180, "ring": 240, "two": 180, "linked": 260, "drug": 100, "peptide": 40, "anion": 90, "cation": 90,
    "ion_ring": 60,
}  # fmt: skip
#: One of so many assembled molecules is held out; with the small ones, which never are, that is one in ten of all.
HELD_OUT_OF = 9
#: Groups that fall apart, rearrange, or that nobody simulates.
UNWANTED = (
    "[OX2][OX2]", "[OX2,NX3,SX2][F,Cl]", "[CX4]([OX2H,SX2H,NX3H2])[F,Cl]", "[CX4]([OX2H])[OX2H,NX3H2,SX2H]",
    "[NX3][NX3][NX3]", "[CX4]([NX3H2])[NX3H2]", "C=C[OX2H]", "C=C[NX3H2]", "C#C[OX2H,NX3,SX2H,F,Cl]", "[SX2][OX2]",
    "[NX3][OX2][NX3,OX2]", "[OX2H,SX2H,NX3H2]C#N", "N=N=[N+]", "[NX3]N=C=O", "[OX2,SX2]N=C=O",
    "[#7]~[#7]~[#7]~[#7]~[#7]", "[OX2,NX3,SX2][NX2]=[N+]", "S[SX2]S", "[SX2,NX3,OX2][SX2H]",
    "[CX4;!$(C(F)F)]([F,Cl])[NX3,OX2H,SX2]", "[NX3][OX2]C=[OX1]", "[SX4](=O)(=O)[OX2][NX3]", "[SX3](=O)[NX3]",
    "[SX3](=O)[OX2]", "C(=O)([OX2H])[OX2,NX3,SX2]", "[#7]C(=O)[F,Cl]", "[NX3]N=O",
)  # fmt: skip


class Molecule(NamedTuple):
    """A molecule of the list.

    Attributes:
        smiles: as assembled.
        name: the rule and the beginning of the SHA-256.
        held_out: whether it is kept from training.
    """

    smiles: str
    name: str
    held_out: bool


def identity(smiles: str) -> str | None:
    """What two SMILES of one molecule share, whatever their stereochemistry; None unless it is wanted here."""
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or len(Chem.GetMolFrags(molecule)) > 1:
        return None
    whole = Chem.AddHs(molecule)
    atoms = list(whole.GetAtoms())
    fits = (
        FEWEST_ATOMS <= len(atoms) <= MOST_ATOMS
        and {atom.GetAtomicNum() for atom in atoms} <= ELEMENTS
        and not any(atom.GetNumRadicalElectrons() for atom in atoms)
        and abs(Chem.GetFormalCharge(whole)) <= 1
    )
    if not fits:
        return None
    return Chem.MolToSmiles(molecule, isomericSmiles=False)


_UNWANTED = [Chem.MolFromSmarts(smarts) for smarts in UNWANTED]


def _wanted(smiles: str) -> bool:
    """False for what holds an unwanted group, and for charges of both signs that are not of one group."""
    molecule = Chem.MolFromSmiles(smiles)
    if any(molecule.HasSubstructMatch(group) for group in _UNWANTED):
        return False
    charged = [atom for atom in molecule.GetAtoms() if atom.GetFormalCharge()]
    return all(
        Chem.GetFormalCharge(molecule) * atom.GetFormalCharge() > 0
        or any(other.GetFormalCharge() * atom.GetFormalCharge() < 0 for other in atom.GetNeighbors())
        for atom in charged
    )


def _draw(smiles: str) -> str:
    return hashlib.sha256(smiles.encode()).hexdigest()


def molecules() -> list[Molecule]:
    """The list, rule by rule, each in the order of the draw."""
    kept_out = {identity(smiles) for smiles in KEPT_OUT}
    found = [Molecule(smiles, f"kept_out_{_draw(smiles)[:8]}", True) for smiles in KEPT_OUT]
    taken = set(kept_out)
    for smiles in (*SMALL, *SMALL_IONS):
        if _take(smiles, taken):
            found.append(Molecule(smiles, f"small_{_draw(smiles)[:8]}", False))
    for rule, candidates in assembled().items():
        drawn = sorted(set(candidates), key=_draw)
        chosen = _first(drawn, SHARES[rule], taken)
        for number, smiles in enumerate(chosen):
            found.append(Molecule(smiles, f"{rule}_{_draw(smiles)[:8]}", number % HELD_OUT_OF == 0))
    return found


def _first(drawn: Iterable[str], count: int, taken: set[str | None]) -> Iterator[str]:
    """The first molecules of a draw that are wanted and not taken yet."""
    for smiles in drawn:
        if not count:
            return
        if _take(smiles, taken, sift=True):
            count -= 1
            yield smiles


def _take(smiles: str, taken: set[str | None], sift: bool = False) -> bool:
    """Whether a molecule is wanted and not taken yet; it is taken then."""
    same = identity(smiles)
    if same is None or same in taken or (sift and not _wanted(smiles)):
        return False
    taken.add(same)
    return True


def text_of(chosen: Iterable[Molecule]) -> str:
    """The lines of a file of SMILES."""
    return "".join(f"{molecule.smiles} {molecule.name}\n" for molecule in chosen)


def main() -> int:
    """Write both files."""
    found = molecules()
    for path, held_out in ((TRAIN, False), (HELD_OUT, True)):
        chosen = [molecule for molecule in found if molecule.held_out is held_out]
        path.write_text(text_of(chosen), encoding="utf-8")
        print(f"{path.name}: {len(chosen)} molecules")
    return 0


if __name__ == "__main__":
    sys.exit(main())
