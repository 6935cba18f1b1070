"""Starting structures from SMILES."""

from __future__ import annotations

import sys

import ase.io
import numpy as np
import pytest

from transip_md.cli import sampling_commands
from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.sampling import SamplingRecipe, sample
from transip_md.sampling.smiles import SmilesEntry, embed, read_entries, write_structures


@pytest.fixture(autouse=True)
def rdkit(request):
    """Every test but the one of its absence needs RDKit."""
    if "without_rdkit" not in request.node.name:
        pytest.importorskip("rdkit", reason="RDKit is not installed (pip install rdkit)")


def test_ethanol():
    atoms = embed("CCO", 1)
    assert atoms.get_chemical_formula() == "C2H6O"
    assert not atoms.info and not atoms.pbc.any()
    distances = atoms.get_all_distances()
    assert distances[0, 1] == pytest.approx(1.52, abs=0.04)
    assert distances[1, 2] == pytest.approx(1.42, abs=0.04)
    hydrogens = atoms.numbers == 1
    bonds = np.sort(distances[hydrogens][:, ~hydrogens], axis=1)
    # Each hydrogen has one neighbour, and it is a bond's length away.
    assert np.all((bonds[:, 0] > 0.94) & (bonds[:, 0] < 1.13)) and bonds[:, 1].min() > 1.7
    assert atoms.get_angle(0, 1, 2) == pytest.approx(109, abs=5)
    assert np.array_equal(embed("CCO", 1).positions, atoms.positions)
    for other in (0, 2, 2**40):
        assert not np.allclose(embed("CCO", other).positions, atoms.positions)


@pytest.mark.parametrize(
    ("smiles", "formula", "info"),
    [
        ("[NH4+]", "H4N", {"charge": 1}),
        ("[CH3]", "CH3", {"multiplicity": 2}),
        ("[O][O]", "O2", {"multiplicity": 3}),
        ("[O-]", "O", {"charge": -1, "multiplicity": 2}),
        ("[He]", "He", {}),
        ("C#N", "CHN", {}),
    ],
)
def test_charge_and_multiplicity(smiles, formula, info):
    atoms = embed(smiles, 0)
    assert atoms.get_chemical_formula() == formula
    assert atoms.info == info


def test_isotopes_keep_their_masses():
    assert sorted(embed("[2H]O", 0).get_masses()) == pytest.approx([1.008, 2.0141, 15.999], abs=1e-3)


@pytest.mark.parametrize(
    ("smiles", "words"),
    [
        ("C(C", "not a SMILES"),
        ("ethanol", "not a SMILES"),
        ("", "not a SMILES"),
        ("C(C)(C)(C)(C)C", "not a SMILES"),
        ("*C", "without an element"),
        ("[Na+].[Cl-]", "2 molecules"),
    ],
)
def test_bad_smiles(smiles, words, capfd):
    with pytest.raises(UsageError, match=words):
        embed(smiles, 0)
    assert capfd.readouterr().err == ""


def test_file_of_smiles(tmp_path):
    file = tmp_path / "molecules.smi"
    file.write_text("# alcohols\nCCO ethanol\n\n[NH4+]\tammonium ion # a cation\nC#N\nCC(=O)O  acetic/acid.2\n")
    assert read_entries([str(file), "[CH3]"]) == [
        ("CCO", "ethanol", f"{file}, line 2"),
        ("[NH4+]", "ammonium_ion", f"{file}, line 4"),
        ("C#N", "C_N", f"{file}, line 5"),
        ("CC(=O)O", "acetic_acid.2", f"{file}, line 6"),
        ("[CH3]", "CH3", "--smiles '[CH3]'"),
    ]
    with pytest.raises(UsageError, match=r"line 2 and --smiles 'ethanol' would both be called ethanol"):
        read_entries([str(file), "ethanol"])
    with pytest.raises(UsageError, match="No such file of SMILES"):
        read_entries([str(tmp_path / "none.smi")])
    file.write_text("# nothing\n")
    with pytest.raises(UsageError, match="holds no SMILES"):
        read_entries([str(file)])


def test_a_bad_line_is_named_and_nothing_is_written(tmp_path):
    file = tmp_path / "molecules.smi"
    file.write_text("O water\nC(C broken\n")
    with pytest.raises(UsageError, match=r"molecules\.smi, line 2: 'C\(C' is not a SMILES"):
        write_structures(read_entries([str(file)]), tmp_path / "structures", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["molecules.smi"]


def test_other_structures_are_not_overwritten(tmp_path):
    entries = [SmilesEntry("CCO", "ethanol", "here")]
    (path,) = write_structures(entries, tmp_path, 0)
    before = path.read_bytes()
    assert write_structures(entries, tmp_path, 0) == [path]
    with pytest.raises(UsageError, match=r"ethanol\.xyz exists and is not 'CCO' as embedded with seed 1"):
        write_structures(entries, tmp_path, 1)
    assert path.read_bytes() == before


def test_without_rdkit(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(EnvironmentFaultError, match=r"pip install 'transip-md\[smiles\]'") as caught:
        embed("CCO", 0)
    assert caught.value.exit_code == 3


def test_sampled_from_smiles_and_again_without(tmp_path):
    pytest.importorskip("tblite", reason="tblite is not installed (pip install tblite)")
    output = tmp_path / "out"
    sampling_commands.sample(output, 2, smiles=["[OH3+]", "[OH]"], temperature=[300.0], seed=4, stride=2)
    assert sorted(path.name for path in (output / "structures").iterdir()) == ["OH.xyz", "OH3+.xyz"]
    recipe = SamplingRecipe(teacher="gfn2-xtb", temperature=300, seed=4, stride=2)
    for name, info in {"OH3+": {"charge": 1}, "OH": {"multiplicity": 2}}.items():
        sampled = output / f"{name}_300K.extxyz"
        start = ase.io.read(output / "structures" / f"{name}.xyz")
        assert np.abs(start.positions - embed(f"[{name}]", 4).positions).max() < 1e-8
        frame = ase.io.read(sampled)
        assert {key: frame.info[key] for key in frame.info if key in ("charge", "multiplicity")} == info
        list(sample(output / "structures" / f"{name}.xyz", tmp_path / "again.extxyz", 2, recipe))
        assert (tmp_path / "again.extxyz").read_bytes() == sampled.read_bytes()
        (tmp_path / "again.extxyz").unlink()
    with pytest.raises(UsageError, match="Expected a folder"):
        sampling_commands.sample(tmp_path / "one.extxyz", 1, smiles=["O"])
