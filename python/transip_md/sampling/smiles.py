"""Starting structures from SMILES, by RDKit."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import ase
import ase.io

from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.common.outputs import make_folder

#: RDKit's generator has so many seeds, from 1 on; its 0 is another name of 1, and -1 would be a seed of its own choice.
SEEDS = 2**31 - 2
#: Conformers differ by more than this RMSD, Angstrom; how many are tried for each that is wanted.
DIFFERENT = 0.3
CONFORMER_TRIES = 3
#: Ways to map a molecule onto itself that are compared at most.
MOST_MATCHES = 1000


class SmilesEntry(NamedTuple):
    """A molecule that somebody asked for."""

    smiles: str
    #: Stem of its files.
    name: str
    #: Where it was asked for, as an error names it.
    origin: str


def _require_rdkit() -> None:
    try:
        import rdkit  # noqa: F401
    except ImportError as error:
        raise EnvironmentFaultError("SMILES need RDKit. Type `pip install 'transip-md[smiles]'`.") from error


def _parse(smiles: str) -> Any:
    """Make the RDKit molecule, hydrogens included."""
    from rdkit import Chem, rdBase

    # What RDKit prints of a bad SMILES would come on top of the error.
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None or not molecule.GetNumAtoms():
            raise UsageError(
                f"{smiles!r} is not a SMILES that RDKit understands. Expected one such as CCO for ethanol."
            )
        if any(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms()):
            raise UsageError(f"{smiles!r} has an atom without an element. Write an element for each *.")
        parts = len(Chem.GetMolFrags(molecule))
        if parts > 1:
            # RDKit puts them on top of, or hundreds of Angstrom away from, each other.
            raise UsageError(
                f"{smiles!r} is {parts} molecules. Expected one: give a cluster of several as a structure file."
            )
        return Chem.AddHs(molecule)


def _embed_conformer(molecule: Any, smiles: str, seed: int) -> None:
    """Give an RDKit molecule positions: distance geometry, then a force field that has parameters for it, if any."""
    from rdkit import rdBase
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = 1 + seed % SEEDS
    with rdBase.BlockLogs():
        if rdDistGeom.EmbedMolecule(molecule, parameters) < 0:
            # Slower, but finds positions for crowded molecules, too.
            parameters.useRandomCoords = True
            if rdDistGeom.EmbedMolecule(molecule, parameters) < 0:
                raise UsageError(f"RDKit finds no positions for {smiles!r}. Give it as a structure file.")
        if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
            rdForceFieldHelpers.MMFFOptimizeMolecule(molecule, maxIters=2000)
        elif rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
            rdForceFieldHelpers.UFFOptimizeMolecule(molecule, maxIters=2000)


def embed(smiles: str, seed: int) -> ase.Atoms:
    """Build a molecule from its SMILES: ETKDGv3 distance geometry, relaxed with MMFF94 or, failing that, UFF.

    Args:
        smiles: one molecule; hydrogens are added, isotopes keep their masses.
        seed: of the distance geometry. The same seed gives the same positions with the same RDKit.

    Returns:
        The isolated molecule, positions in Angstrom. Formal charge (e), and the multiplicity of all radical electrons
        being parallel, are in its info as ``charge`` and ``multiplicity`` where they are not 0 and 1.

    Raises:
        UsageError: not a SMILES of one molecule, or RDKit finds no positions for it.
        EnvironmentFaultError: RDKit is not installed.
    """
    _require_rdkit()
    molecule = _parse(smiles)
    _embed_conformer(molecule, smiles, seed)
    return _as_atoms(molecule)


def conformers(smiles: str, seed: int, most: int) -> list[ase.Atoms]:
    """Embed a molecule several times over and keep the conformers that differ.

    Args:
        smiles: see `embed`.
        seed: of the first, which is that of `embed`; the others have the following ones.
        most: conformers that are kept at most; three times as many are tried.

    Returns:
        Conformers, no two of which are within 0.3 Angstrom RMSD of each other, hydrogens on carbon not counted.

    Raises:
        UsageError: as of `embed`.
        EnvironmentFaultError: RDKit is not installed.
    """
    _require_rdkit()
    from rdkit.Chem import rdMolAlign

    kept: list[Any] = []
    shapes: list[Any] = []
    for number in range(CONFORMER_TRIES * most if most > 1 else 1):
        molecule = _parse(smiles)
        try:
            _embed_conformer(molecule, smiles, seed + number)
        except UsageError:
            if kept:
                continue
            raise
        shape = _without_carbon_hydrogens(molecule)
        # Alignment moves the first of the two.
        if all(rdMolAlign.GetBestRMS(shape, other, maxMatches=MOST_MATCHES) > DIFFERENT for other in shapes):
            kept.append(molecule)
            shapes.append(shape)
        if len(kept) == most:
            break
    return [_as_atoms(molecule) for molecule in kept]


def _without_carbon_hydrogens(molecule: Any) -> Any:
    """A copy of an RDKit molecule whose hydrogens stand on other elements than carbon only."""
    from rdkit import Chem

    copy = Chem.RWMol(molecule)
    copy.BeginBatchEdit()
    for atom in molecule.GetAtoms():
        if atom.GetAtomicNum() == 1 and any(other.GetAtomicNum() == 6 for other in atom.GetNeighbors()):
            copy.RemoveAtom(atom.GetIdx())
    copy.CommitBatchEdit()
    return copy.GetMol()


def _as_atoms(molecule: Any) -> ase.Atoms:
    """An RDKit molecule with positions as ase has it."""
    from rdkit import Chem

    rdkit_atoms = list(molecule.GetAtoms())
    atoms = ase.Atoms(
        numbers=[atom.GetAtomicNum() for atom in rdkit_atoms], positions=molecule.GetConformer().GetPositions()
    )
    if any(atom.GetIsotope() for atom in rdkit_atoms):
        atoms.set_masses([atom.GetMass() for atom in rdkit_atoms])
    charge = Chem.GetFormalCharge(molecule)
    unpaired = sum(atom.GetNumRadicalElectrons() for atom in rdkit_atoms)
    if charge:
        atoms.info["charge"] = charge
    if unpaired:
        atoms.info["multiplicity"] = unpaired + 1
    return atoms


def _file_name(text: str) -> str:
    """A name, or a SMILES instead of one, as it can stand in the name of a file."""
    return re.sub(r"[^\w.+=-]+", "_", text).strip("._")


def _entries_of_file(path: Path) -> list[SmilesEntry]:
    if not path.is_file():
        raise UsageError(f"No such file of SMILES: {path}. Expected one molecule a line: SMILES, space, name.")
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        # Within a SMILES # is a triple bond.
        smiles, *name = re.split(r"(?:^|\s)#", line)[0].split(maxsplit=1) or [""]
        if smiles:
            entries.append(SmilesEntry(smiles, _file_name(*name or [smiles]), f"{path}, line {number}"))
    if not entries:
        raise UsageError(f"{path} holds no SMILES. Expected one molecule a line: SMILES, space, name.")
    return entries


def read_entries(values: Iterable[str]) -> list[SmilesEntry]:
    """Read what ``--smiles`` was given: SMILES, and files that end in ``.smi``.

    A file holds one molecule a line, ``SMILES name``; a ``#`` that starts a line or follows a space starts a comment. A
    molecule without a name goes by its SMILES. What cannot stand in the name of a file becomes ``_``.

    Args:
        values: SMILES or paths.

    Returns:
        The molecules, in order.

    Raises:
        UsageError: no such file, an empty one, or two molecules of one name.
    """
    entries: list[SmilesEntry] = []
    for value in values:
        if value.endswith(".smi"):
            entries += _entries_of_file(Path(value))
        else:
            entries.append(SmilesEntry(value, _file_name(value), f"--smiles {value!r}"))
    first: dict[str, SmilesEntry] = {}
    for entry in entries:
        other = first.setdefault(entry.name, entry)
        if other is not entry:
            raise UsageError(
                f"{other.origin} and {entry.origin} would both be called {entry.name}. Expected names that differ: "
                "give each a name of its own in a .smi file."
            )
    return entries


def write_structures(entries: Iterable[SmilesEntry], folder: Path, seed: int, most: int = 1) -> list[Path]:
    """Embed molecules and write each into a file from which it can be sampled without RDKit.

    Args:
        entries: the molecules, from `read_entries`.
        folder: where ``<name>.xyz`` (extended XYZ, Angstrom) shall be, and ``<name>_c1.xyz`` and so on of further
            conformers; made if missing.
        seed: see `embed`.
        most: conformers of each molecule, at most.

    Returns:
        The files, in the order of the entries.

    Raises:
        UsageError: a bad SMILES, or a file is there that holds another structure. Nothing is written then.
        EnvironmentFaultError: RDKit is not installed.
    """
    texts: dict[Path, str] = {}
    for entry in entries:
        try:
            found = conformers(entry.smiles, seed, most)
        except UsageError as error:
            raise UsageError(f"{entry.origin}: {error}") from error
        for number, atoms in enumerate(found):
            path = folder / (f"{entry.name}_c{number}.xyz" if number else f"{entry.name}.xyz")
            text = as_extended_xyz(atoms)
            if texts.setdefault(path, text) is not text:
                raise UsageError(
                    f"{entry.origin}: {path} would be another molecule's conformer, too. Rename the molecule."
                )
            if path.exists() and path.read_text() != text:
                raise UsageError(
                    f"{path} exists and is not {entry.smiles!r} as embedded with seed {seed} by this RDKit. Remove it, "
                    f"choose another output folder, or continue from that file: `transip-md sample {path}`."
                )
    make_folder(folder)
    for path, text in texts.items():
        if not path.exists():
            path.write_text(text)
    return list(texts)


def as_extended_xyz(atoms: ase.Atoms) -> str:
    """The text of an extended XYZ file of a structure."""
    with io.StringIO() as file:
        ase.io.write(file, atoms, format="extxyz")
        return file.getvalue()
