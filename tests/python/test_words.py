"""Documents and what programs print use the words of the field, and none that docs/glossary.md bans."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "recipes/**/*.md", "benchmarks/*.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
)

#: What is not written, and what is written instead.
BANNED = {
    r"turn(ed|s|ing)?": "rotated, rotation",
    r"places?": "positions, rows, device or path",
    r"guests?": "ghost atoms, halo tokens",
    r"(?<!halo )exchange[ds]?": "halo exchange",
    r"(go|goes|went|going|gone) on": "resumes, continues",
    r"(tells?|told|telling)": "reports, prints, states",
    r"(says?|said|saying)": "reports, prints, states",
    r"own kernels|kernels of the project's own": "native kernels",
    r"peers?": "baselines",
    r"of (one's|your) own": "your own ...",
}

#: Phrases with a banned word in another sense.
PHRASES = re.compile(
    # The last one is the name of a number in reports.
    r"\b(in turns?|take turns|by turns|in place|takes? place|no-peers|permutation\.exchange)\b",
    re.IGNORECASE,
)

#: What the program prints: text of help, messages and reports.
SOURCES = sorted(
    path
    for folder in ("python/transip_md", "benchmarks", "examples", "recipes", "scripts")
    for path in (ROOT / folder).rglob("*.py")
)
CXX_SOURCES = sorted(
    path
    for folder in ("libtransip", "libtransip_torch", "pair_style", "openmm_plugin", "benchmarks", "examples")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".c", ".cpp", ".cu", ".cuh", ".h", ".f90")
)

#: Text of the program with a banned word in another sense, or that files hold.
EXEMPT_TEXT = {
    '<Place x="',  # OpenMM's XML of systems that users have saved
    "Bonds rotated through a full turn",
    "Place",  # the same
    "transip_md.symmetry.turning",
    "turning",  # an attribute in pickles of earlier versions
    "_turns",
}

#: The document that must name the words.
EXEMPT = {"docs/glossary.md"}


def prose(text: str) -> str:
    """The text without code spans and addresses of links, which are quoted, and without `PHRASES`; lines stay lines."""
    text = re.sub(r"`[^`\n]*`", "", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return PHRASES.sub("", re.sub(r"(?<=\w)\n(?=\w)", " ", text))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_words(path):
    name = str(path.relative_to(ROOT))
    if name in EXEMPT:
        pytest.skip("names the words")
    require_words(prose(path.read_text()), name)


def require_words(text: str, where: str) -> None:
    """Fail at the first banned word of a text."""
    for pattern, instead in BANNED.items():
        found = re.search(rf"(?i)\b(?:{pattern})\b", text)
        assert not found, (
            f"{where}: {text[max(0, found.start() - 60) : found.end() + 30]!r}. Write {instead} (docs/glossary.md)."
        )


def printed_text(tree: ast.Module) -> list[ast.Constant]:
    """The strings of a module that are no docstrings."""
    bodies = (node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef))
    docstrings = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_words_that_the_program_prints(path):
    for node in printed_text(ast.parse(path.read_text())):
        if node.value.strip() not in EXEMPT_TEXT:
            require_words(prose(node.value), f"{path.name}:{node.lineno}")


#: A comment, a character, a raw string or a string of C and C++; the last two are captured. Fortran's are alike.
CXX_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|'(?:\\.|[^'\\\n])'|R"\((.*?)\)"|"((?:[^"\\\n]|\\.)*)"|#include[^\n]*""", re.DOTALL
)


def cxx_text(source: str) -> str:
    """The strings of a source of C or C++, one a line; parts that the compiler joins are joined."""
    joined = re.sub(r'"\s*\n\s*"', "", source)
    found = [match[1] or match[2] for match in CXX_TOKEN.finditer(joined) if match[1] or match[2]]
    return "\n\n".join(prose(text.replace("\\n", " ")) for text in found if text not in EXEMPT_TEXT)


@pytest.mark.parametrize("path", CXX_SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_words_that_compiled_code_prints(path):
    require_words(cxx_text(path.read_text()), str(path.relative_to(ROOT)))


def test_strings_of_cxx_are_found():
    source = (
        '#include "guest.h"\nf("a \\" b");  // says "no"\ng(\'"\', "one "\n  "two"); h(R"(raw "x")", "Place", "");\n'
    )
    assert cxx_text(source).split("\n\n") == ['a \\" b', "one two", 'raw "x"']
    with pytest.raises(AssertionError, match="halo exchange"):
        require_words(cxx_text('throw Error("no ex"\n    "change");'), "x.cpp")
