"""Hooks of MkDocs: pages that are generated, files from outside of docs/, formulas as MathML."""

from __future__ import annotations

import html
import os
import posixpath
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "python")]

from docs_site import notebooks, reference  # noqa: E402 - MkDocs loads this file by its path

#: Pages outside of docs/ that the navigation names; others come in when a page links to them.
OUTSIDE = ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")
#: Folder of the site that holds files from outside of docs/, by their path in the repository.
FOLDER = "repository"
#: A self-hosted copy, for readers without network; without it the theme fetches mermaid from a CDN.
MERMAID = ROOT / "build" / "mermaid.min.js"

LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
#: A link to a page of the site, in a notebook beside it.
LINK_TO_PAGE = re.compile(r"(\]\((?!\w+:)[^)\s#]+)\.md((?:#[^)\s]*)?\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add generated pages, and files from outside of docs/ that pages link to, and those that these link to."""
    for name, text in reference.pages(ROOT).items():
        files.append(File.generated(config, f"reference/{name}", content=text))
    for path in sorted((ROOT / "docs/tutorials").glob("*.md")):
        if path.stem != "index":
            name = f"tutorials/{path.stem}"
            text = LINK_TO_PAGE.sub(r"\1.html\2", _with_links_of_the_site(path.read_text(), f"{name}.md"))
            files.append(File.generated(config, f"{name}.ipynb", content=notebooks.as_text(text)))
    if MERMAID.is_file():
        files.append(File.generated(config, "javascripts/mermaid.min.js", abs_src_path=str(MERMAID)))
        config.extra_javascript.append("javascripts/mermaid.min.js")
    wanted = [*OUTSIDE, *_outside((ROOT / "docs").rglob("*.md"))]
    while wanted:
        path = wanted.pop()
        name = f"{FOLDER}/{path}"
        if files.get_file_from_path(name) is None and (ROOT / path).is_file():
            files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
            if path.endswith(".md"):
                wanted += _outside([ROOT / path])
    return files


def _outside(documents: Iterable[Path]) -> list[str]:
    """Files in the repository, outside of docs/, that documents link to; paths from the repository's top."""
    found = []
    for document in documents:
        for _before, target, _after in LINK.findall(document.read_text()):
            place = Path(os.path.normpath(document.parent / target))
            if "://" not in target and place.is_file() and ROOT in place.parents and ROOT / "docs" not in place.parents:
                found.append(str(place.relative_to(ROOT)))
    return found


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links between docs/ and the rest of the repository to where the files stand in the site."""
    source = page.file.src_uri
    folder, _, name = source.rpartition("/")
    if folder == "tutorials" and name != "index.md":
        title, _, rest = markdown.partition("\n")
        markdown = f"{title}\n\n[This page as a notebook]({name.removesuffix('.md')}.ipynb)\n{rest}"
    return _with_links_of_the_site(markdown, source)


def _with_links_of_the_site(markdown: str, source: str) -> str:
    """The text of a page of the site, its links to files of the repository changed to where these stand in the site."""
    outside = source.startswith(f"{FOLDER}/")
    path = source.removeprefix(f"{FOLDER}/") if outside else f"docs/{source}"

    def moved(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        if "://" in target or target.startswith(("mailto:", "/")):
            return match[0]
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        there = wanted.removeprefix("docs/") if wanted.startswith("docs/") else f"{FOLDER}/{wanted}"
        return f"{before}{posixpath.relpath(there, posixpath.dirname(source) or '.')}{after}"

    return LINK.sub(moved, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas, which arithmatex left as TeX, as MathML: browsers show it without a script."""
    content = re.sub(r'<span class="arithmatex">\\\((.*?)\\\)</span>', _inline, content, flags=re.DOTALL)
    return re.sub(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', _block, content, flags=re.DOTALL)


def _inline(match: re.Match[str]) -> str:
    return _mathml(match[1], "inline")


def _block(match: re.Match[str]) -> str:
    return _mathml(match[1], "block")


def _mathml(tex: str, display: str) -> str:
    """MathML of a formula; bold letters as letters of their own, since browsers no longer know mathvariant="bold"."""
    made = convert(html.unescape(tex), display=display)
    return re.sub(r'<mi mathvariant="bold">([A-Za-z])</mi>', _bold, made)


def _bold(match: re.Match[str]) -> str:
    letter = match[1]
    first = 0x1D400 if letter.isupper() else 0x1D41A
    return f"<mi>{chr(first + ord(letter) - ord('A' if letter.isupper() else 'a'))}</mi>"
