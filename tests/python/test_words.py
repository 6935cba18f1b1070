"""Documents use the field's words, and none of those that the glossary lists as not to be used (docs/glossary.md)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "recipes/**/*.md", ".github/**/*.md")
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
PHRASES = re.compile(r"\b(in turns?|take turns|by turns|in place|takes? place|no-peers)\b", re.IGNORECASE)

#: What the program prints: text of help, messages and reports.
SOURCES = sorted((ROOT / "python" / "transip_md").rglob("*.py"))

#: Text of the program with a banned word in another sense, or that files hold.
EXEMPT_TEXT = {
    '<Place x="',  # OpenMM's XML of systems that users have saved
    "Bonds rotated through a full turn",
    "permutation.exchange",
    "transip_md.symmetry.turning",
    "turning",  # an attribute in pickles of earlier versions
    "_turns",
}

#: Documents that must name the words: the table of the glossary. Generated reports quote the program.
EXEMPT = {"docs/glossary.md", "docs/reports/ethanol.md", "docs/reports/organic.md", "docs/reports/water.md"}


def prose(text: str) -> str:
    """The text without code spans and addresses of links, which are quoted, and without `PHRASES`; lines stay lines."""
    text = re.sub(r"`[^`\n]*`", "", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return PHRASES.sub("", re.sub(r"(?<=\w)\n(?=\w)", " ", text))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_words(path):
    name = str(path.relative_to(ROOT))
    if name in EXEMPT:
        pytest.skip("names the words, or quotes the program")
    text = prose(path.read_text())
    for pattern, instead in BANNED.items():
        found = re.search(rf"(?i)\b(?:{pattern})\b", text)
        assert not found, (
            f"{name}: {text[max(0, found.start() - 60) : found.end() + 30]!r}. Write {instead} (docs/glossary.md)."
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


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "python")))
def test_words_that_the_program_prints(path):
    for node in printed_text(ast.parse(path.read_text())):
        text = "" if node.value.strip() in EXEMPT_TEXT else prose(node.value)
        for pattern, instead in BANNED.items():
            found = re.search(rf"(?i)\b(?:{pattern})\b", text)
            assert not found, f"{path.name}:{node.lineno}: {node.value!r}. Write {instead} (docs/glossary.md)."
