"""The broad list of molecules in recipes/organic: valid, disjoint, and what its script makes."""

import sys
from collections import Counter

import pytest

pytest.importorskip("rdkit", reason="RDKit is not installed (pip install rdkit)")

from rdkit import Chem

from transip_md.sampling.smiles import embed, read_entries


@pytest.fixture(scope="module")
def script(repository):
    sys.path.insert(0, str(repository / "recipes/organic"))
    try:
        import molecules
    finally:
        sys.path.pop(0)
    return molecules


@pytest.fixture(scope="module")
def lists(script):
    return read_entries([str(script.TRAIN)]), read_entries([str(script.HELD_OUT)])


def canonical(smiles):
    return Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False)


def test_the_script_makes_the_files(script):
    made = script.molecules()
    for path, held_out in ((script.TRAIN, False), (script.HELD_OUT, True)):
        assert script.text_of(m for m in made if m.held_out is held_out) == path.read_text()


def test_every_molecule_is_what_the_card_says(lists):
    charges = Counter()
    for entry in (*lists[0], *lists[1]):
        molecule = Chem.AddHs(Chem.MolFromSmiles(entry.smiles))
        atoms = list(molecule.GetAtoms())
        assert 2 <= len(atoms) <= 50, entry
        assert {atom.GetSymbol() for atom in atoms} <= {"H", "C", "N", "O", "F", "S", "Cl"}, entry
        assert sum(atom.GetNumRadicalElectrons() for atom in atoms) == 0, entry
        charge = Chem.GetFormalCharge(molecule)
        assert (sum(atom.GetAtomicNum() for atom in atoms) - charge) % 2 == 0, entry
        charges[charge] += 1
    assert set(charges) == {-1, 0, 1} and min(charges.values()) > 100
    assert charges.total() >= 1000


def test_no_molecule_is_in_both_files_or_twice(lists):
    train, held_out = ([canonical(entry.smiles) for entry in entries] for entries in lists)
    assert len({*train, *held_out}) == len(train) + len(held_out)
    assert len(held_out) / (len(train) + len(held_out)) == pytest.approx(0.1, abs=0.005)


def test_what_was_held_out_before_still_is(repository, lists):
    before = [canonical(entry.smiles) for entry in read_entries([str(repository / "recipes/organic/held_out.smi")])]
    trained = [canonical(entry.smiles) for entry in read_entries([str(repository / "recipes/organic/train.smi")])]
    train, held_out = ({canonical(entry.smiles) for entry in entries} for entries in lists)
    assert set(before) <= held_out and set(trained) <= train | held_out


def test_a_sample_of_them_has_positions(lists):
    for entry in (*lists[0][::40], *lists[1][::20]):
        assert len(embed(entry.smiles, 0)) == Chem.AddHs(Chem.MolFromSmiles(entry.smiles)).GetNumAtoms()
