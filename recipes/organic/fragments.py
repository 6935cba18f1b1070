"""Fragments that molecules of the broad list are assembled of, and the rules by which they are.

A fragment is a SMILES whose first atom makes the bond; ``{}`` takes one. Rings of fragments are numbered from 5, those
that carry them up to 4, so that one may stand within the other.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

#: Molecules too small to be assembled, and those that the first edition was trained on.
SMALL = """
[H][H] O N C F Cl S CC C=C C#C C=O CO CN CF CCl CS C#N CCO COC CC=O CC(C)=O O=CO CC(=O)O NC=O CC(=O)NC NCC(=O)O
c1ccccc1 Cc1ccccc1 Oc1ccccc1 c1ccncc1 CC(=O)Oc1ccccc1C(=O)O CC(=O)N[C@@H](C)C(=O)NC O=C=O N#N [C-]#[O+] OO NN NO FF
ClCl FC(F)F ClC(Cl)Cl FC(F)(F)F ClC(Cl)(Cl)Cl FCl O=C(F)F O=C(Cl)Cl O=S=O CSC CSSC C=C=C C=C=O N=C=O N=C=S CN=C=O
CN=C=S O=C=S S=C=S O=NO ON=O CON=O C[N+](=O)[O-] O[N+](=O)[O-] C[N+]#[C-] CN=[N+]=[N-] C=[N+]=[N-] N=N CN=NC C=N C=NO
CC=NO C1CC1 C1CO1 C1CN1 C1CS1 C1CCC1 C1COC1 C1=CC1 [O-][O+]=O CS(C)=O CS(C)(=O)=O CS(=O)(=O)O O=S(=O)(O)O CS(=O)(=O)N
NC(N)=O NC(N)=S CC(N)=S NC(=N)N COC(=O)OC FS(F)(=O)=O ClS(Cl)(=O)=O OC(=O)C(=O)O O=CC=O CC(=O)C(C)=O OCC=O OCCO NCCO
NCCN NC#N N#CC#N C#CC#C C=CC=C C=CC#N C=CC=O C#CC=O CC#CC c1cc[nH]c1 c1ccoc1 c1ccsc1 c1c[nH]cn1 c1cn[nH]c1 c1cocn1
c1cscn1 c1cnccn1 c1cncnc1 c1ccnnc1 c1ncncn1 c1nnc[nH]1 c1nnn[nH]1 c1nnco1 c1nncs1
""".split()  # noqa: SIM905 - lines of SMILES are easier to read than a list of strings

#: Of the first edition, never seen in training.
KEPT_OUT = ("CCCO", "CC(N)=O", "C[C@H](N)C(=O)O", "Nc1ccccc1", "CC(=O)Nc1ccc(O)cc1")

#: Closed shells of charge -1 and +1, too small to be assembled.
SMALL_IONS = """
[OH-] [SH-] [NH2-] C[O-] C[S-] [C-]#N O=C[O-] CC(=O)[O-] OC(=O)[O-] O=N[O-] O=[N+]([O-])[O-] [N-]=[N+]=[N-] [N-]=C=O
[N-]=C=S [O-]Cl [O-]O CS(=O)(=O)[O-] CS(=O)[O-] OS(=O)(=O)[O-] [CH2-]C#N C[N-]C=O [CH2-][N+](=O)[O-] [C-]#C [OH3+]
[NH4+] C[NH3+] C[NH2+]C C[NH+](C)C C[N+](C)(C)C C=[NH2+] C=[OH+] C[OH2+] C[SH2+] C[S+](C)C NC(N)=[NH2+] CC(N)=[NH2+]
C[N+]#N O=[NH2+] c1cc[nH+]cc1 c1c[nH]c[nH+]1 C=[N+](C)C O=[N+]=O N[NH3+] O[NH3+] [SH3+] CC#[NH+] CC=[OH+] CC(O)=[OH+]
NC=[OH+]
""".split()  # noqa: SIM905

#: Chains and rings of carbon and hydrogen, and some with halogens.
ALKYLS = (
    "C", "CC", "CCC", "C(C)C", "CCCC", "CC(C)C", "C(C)(C)C", "C5CC5", "C5CCC5", "C5CCCC5", "C5CCCCC5", "CC=C",
    "CC#C", "C=C", "C#C", "CC(F)(F)F", "C(F)F", "C(F)(F)F", "CCCl", "CCF", "C(Cl)Cl", "CC=CC", "C(C)=C",
    "Cc5ccccc5",
)  # fmt: skip
#: Rings that carry a group, aromatic or not; the group stands at {}.
RINGS = (
    "c1ccccc1{}", "c1ccncc1{}", "c1cccnc1{}", "c1ccnc({})c1", "c1cnc({})nc1", "c1nccnc1{}", "c1cc({})oc1",
    "c1coc({})c1", "c1csc({})c1", "c1cc({})cs1", "c1cc({})[nH]c1", "Cn1ccc({})c1", "c1c({})[nH]cn1", "Cn1cnc({})c1",
    "c1c({})ocn1", "c1c({})scn1", "Cc1noc({})c1", "Cn1nnc({})c1", "C1CCCCC1{}", "C1CCCC1{}", "C1CC1{}", "C1CCC1{}",
    "C1CCOC1{}", "C1COCCC1{}", "C1CNCC1{}", "C1CCNCC1{}", "C1CN({})CCO1", "C1CCN({})CC1", "CN1CCN({})CC1",
    "C1CCN({})C1", "C1CSCC1{}", "C1=CCCCC1{}", "C1=CCC=CC1{}", "C1CC2CCC1C2{}", "O=C1CCCN1{}", "O=C1CCN({})CC1",
    "O=C1CCCO1{}", "O=C1CCCCC1{}", "c1ccc2[nH]cc({})c2c1", "c1ccc2cc({})ccc2c1", "c1ccc2ncc({})cc2c1",
    "c1ccc2oc({})cc2c1", "c1ccc2sc({})nc2c1", "c1ccc2[nH]c({})nc2c1", "c1nc({})c2nc[nH]c2n1", "O=c1ccn({})cc1",
    "O=c1ccn({})c(=O)[nH]1", "O=c1cccc({})[nH]1",
)  # fmt: skip
#: Rings with two places.
TWO_PLACES = (
    "c1cc({})ccc1{}", "c1c({})cccc1{}", "c1ccc({})c({})c1", "c1nc({})ccc1{}", "C1CC({})CCC1{}", "c1sc({})cc1{}",
)  # fmt: skip
#: Groups that end a molecule.
GROUPS = (
    "O", "N", "S", "F", "Cl", "C#N", "C(=O)O", "C=O", "C(=O)C", "C(=O)N", "C(=O)OC", "OC", "SC", "NC", "N(C)C",
    "OC(=O)C", "NC(=O)C", "N=C=O", "[N+](=O)[O-]", "S(=O)(=O)N", "S(=O)(=O)C", "S(=O)C", "C(=O)Cl", "C(=O)F",
    "C(F)(F)F", "C", "CC", "C#C", "C=C", "CO", "CN", "CCl", "CS", "OC(F)F", "N=[N+]=[N-]", "C(=N)N", "C=NO", "NN",
    "ON", "NC(=O)N", "C(=S)N", "NC=O", "S(=O)(=O)F", "C(=O)NO", "OC=C", "CC(=O)O", "CCN", "CCO",
)  # fmt: skip
#: What joins two parts.
LINKERS = (
    "C(=O)O{}", "C(=O)N{}", "O{}", "N{}", "S{}", "C(=O){}", "S(=O)(=O)N{}", "S(=O)(=O){}", "NC(=O)N{}", "OC(=O)N{}",
    "C=C{}", "C#C{}", "CC{}", "N=N{}", "C=N{}", "CO{}", "CN{}", "SS{}", "C(=O)NN{}", "C(O){}", "C(=O)CC(=O){}",
    "C(=S)N{}", "C(=O)OC(=O){}", "C(=O)N(C){}", "NC(=S)N{}",
)  # fmt: skip
#: Parts that linkers join; the bond is at the first atom.
PARTS = (
    "C", "CC", "C(C)C", "C5CC5", "C5CCCC5", "C5CCOCC5", "C5CCNC5", "c5ccccc5", "c5ccncc5", "c5ccc(F)cc5",
    "c5ccc(Cl)cc5", "c5ccc(O)cc5", "c5ccc(OC)cc5", "c5ccco5", "c5cccs5", "c5cncnc5", "c5nccs5", "CC5CC5",
    "Cc5ccccc5", "CC(F)(F)F", "CCO", "CCN(C)C", "CCOC", "CC#N", "Cc5ccco5", "CC=C", "c5c[nH]cn5", "CCSC", "CCCl",
    "c5ccc(N)cc5", "CCc5ccccc5", "c5ccc(C#N)cc5",
)  # fmt: skip
#: Rings with two places, linkers and parts that drug-like molecules are made of.
DRUG_RINGS = ("c1ccc({})cc1{}", "c1cc({})cnc1{}", "C1CN({})CCN1{}", "c1nc({})sc1{}")
DRUG_LINKERS = ("C(=O)N{}", "NC(=O){}", "S(=O)(=O)N{}", "CN{}", "O{}", "CO{}", "NC(=O)N{}", "C(=O){}")
DRUG_PARTS = (
    "C5CC5", "C5CCOCC5", "Cc5ccccc5", "c5ccc(F)cc5", "c5cccc(Cl)c5", "c5ccc(OC)cc5", "Cc5ccco5", "c5nccs5",
    "CCN(C)C", "CC(F)(F)F", "c5cn(C)nc5", "CC(C)C",
)  # fmt: skip
#: Side chains of amino acids.
SIDE_CHAINS = (
    "[H]", "C", "C(C)C", "CC(C)C", "CO", "CS", "CCSC", "Cc5ccccc5", "Cc5ccc(O)cc5", "CC(=O)N", "CC(=O)O", "C(C)O",
    "CCC(=O)N", "Cc5c[nH]cn5", "CCCCN", "Cc5c[nH]c6ccccc56", "C(C)CC",
)  # fmt: skip
#: Groups with a charge.
ANIONS = ("C(=O)[O-]", "[O-]", "[S-]", "S(=O)(=O)[O-]", "C(=O)[N-]C", "S(=O)[O-]", "OS(=O)(=O)[O-]", "CC(=O)[O-]")
CATIONS = (
    "[NH3+]", "[NH2+]C", "[NH+](C)C", "[N+](C)(C)C", "C[NH3+]", "CC[NH3+]", "NC(N)=[NH2+]", "C(N)=[NH2+]",
    "[S+](C)C",
)  # fmt: skip
#: Rings with a charge.
CHARGED_RINGS = (
    "c1cc[nH+]cc1{}", "C[n+]1ccc({})cc1", "c1c({})[nH]c[nH+]1", "C1C[NH2+]CC1{}", "C1CC[NH2+]CC1{}",
    "C1C[NH2+]CCN1{}", "C1C[NH+]({})CCO1", "C[n+]1cn({})cc1", "c1ccc2[nH+]cc({})cc2c1", "[n-]1cc({})nc1",
    "[n-]1ccc({})n1", "[n-]1nnc({})n1", "O=C1CC({})C(=O)[N-]1", "c1cc({})[n-]c1",
)  # fmt: skip
#: The first atom of a SMILES.
_FIRST_ATOM = re.compile(r"\[[^\]]*\]|Cl|.")


def filled(rule: str, *fragments: str) -> str:
    """The SMILES of a rule with a fragment in each of its places."""
    for fragment in fragments:
        before, after = rule.split("{}", 1)
        rule = before + (fragment if before.endswith("(") else f"({fragment})") + after
    return rule


def joined(first: str, linker: str, second: str = "") -> str:
    """The SMILES of a linker, or of a group, that a part stands before and another one in its place ``{}``."""
    atom = _FIRST_ATOM.match(linker)[0]
    return f"{atom}({first}){linker.removeprefix(atom)}".replace("{}", second)


def peptide(side_chains: tuple[str, ...]) -> str:
    """A peptide of L amino acids with acetyl and N-methyl caps."""
    return "CC(=O)" + "".join(f"N[C@@H]({chain})C(=O)" for chain in side_chains).replace("[C@@H]([H])", "C") + "NC"


def assembled() -> dict[str, Iterator[str]]:
    """SMILES by the name of the rule that made them, in a fixed order; some are no molecules that anybody wants."""
    return {
        "chain": (joined(alkyl, group) for alkyl, group in itertools.product(ALKYLS, GROUPS)),
        "ring": (filled(ring, group) for ring, group in itertools.product(RINGS, GROUPS)),
        "two": (filled(ring, *pair) for ring in TWO_PLACES for pair in itertools.combinations(GROUPS, 2)),
        "linked": (
            joined(first, linker, second) for linker in LINKERS for first, second in itertools.product(PARTS, repeat=2)
        ),
        "drug": (
            filled(ring, here.replace("{}", first), there.replace("{}", second))
            for ring in DRUG_RINGS
            for here, there in itertools.product(DRUG_LINKERS, repeat=2)
            for first, second in itertools.product(DRUG_PARTS, repeat=2)
        ),
        "peptide": (peptide(chains) for length in (1, 2) for chains in itertools.product(SIDE_CHAINS, repeat=length)),
        "anion": itertools.chain(
            (joined(alkyl, group) for alkyl, group in itertools.product(ALKYLS, ANIONS)),
            (filled(ring, group) for ring, group in itertools.product(RINGS, ANIONS)),
        ),
        "cation": itertools.chain(
            (joined(alkyl, group) for alkyl, group in itertools.product(ALKYLS, CATIONS)),
            (filled(ring, group) for ring, group in itertools.product(RINGS, CATIONS)),
        ),
        "ion_ring": (filled(ring, group) for ring, group in itertools.product(CHARGED_RINGS, GROUPS)),
    }
