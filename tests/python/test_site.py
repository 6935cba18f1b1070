"""The documentation site: links, generated pages, and that it builds without a warning."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "recipes/**/*.md", "benchmarks/*.md", "examples/**/*.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
    if "data" not in path.parts
)
#: Pages that `make docs` generates; their anchors are those of headings that do not stand in a file.
GENERATED = {"cli.md", "summary.md", "recipe.md", "python.md", "c.md"}


@pytest.fixture(scope="module")
def pages():
    """The generated pages by name."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return importlib.import_module("docs_site.reference").pages(ROOT)
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def headings(text: str) -> set[str]:
    """Anchors of a document's headings, as MkDocs makes them (GitHub keeps several dashes)."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    found = set()
    for title in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE):
        plain = unicodedata.normalize("NFKD", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title))
        plain = plain.encode("ascii", "ignore").decode()
        words = re.sub(r"[^\w\s-]", "", plain).strip().lower()
        found |= {re.sub(r"[-\s]+", "-", words), words.replace(" ", "-")}
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_of_a_table_have_as_many_cells(document):
    """A heading with other cells than the line of dashes below it makes no table."""
    text = re.sub(r"`[^`\n]*`|\\\|", "", document.read_text())
    for heading, dashes, rest in re.findall(r"^(\|.*\n)(\|(?:[ :]*-+[ :]*\|)+\n)((?:\|.*\n)*)", text, re.MULTILINE):
        for line in (heading, *rest.splitlines()):
            assert line.count("|") == dashes.count("|"), f"{document.name}: {line}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    # Code may look like a link, as some SMILES do.
    text = re.sub(r"`[^`\n]*`", "", text)
    for target, anchor in re.findall(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        there = document if not target else (document.parent / target).resolve()
        if there.parent == ROOT / "docs/reference" and there.name in GENERATED:
            continue
        assert there.exists(), f"{document.name}: {target} leads nowhere"
        if anchor:
            assert anchor in headings(there.read_text()), f"{document.name}: {target}#{anchor} is no heading"


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if "docs" in path.parts], ids=lambda path: path.name)
def test_paths_in_documents_exist(document):
    """Paths of the repository in code spans; `*` matches."""
    top = "python|libtransip|libtransip_torch|pair_style|openmm_plugin|tests|scripts|benchmarks|recipes|examples|docs"
    for path in re.findall(rf"`((?:{top})/[\w./*-]+)`", document.read_text()):
        assert "/data/" in f"{path}/" or list(ROOT.glob(path.rstrip("/"))), f"{document.name}: no {path}"


def test_navigation_has_every_page(pages):
    """Every document under docs/ is in the navigation, or is reached from the page of reports."""
    listed = set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text()))
    there = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    there |= {f"reference/{name}" for name in pages}
    assert {name for name in there - listed if not name.startswith("reports/")} == set()
    assert {name for name in listed - there if not name.startswith("repository/")} == set()


def test_commands_are_all_there(pages):
    from transip_md.cli.main import app

    for command in app.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        assert f"\n## {name}\n" in pages["cli.md"]
    for option in ("`--output`, `-o`", "`--format`", "`--set`"):
        assert option in pages["cli.md"]


def test_page_of_summaries_has_every_key(pages):
    from transip_md.cli.main import app
    from transip_md.cli.summary import Summary

    for name in Summary.model_fields:
        assert f"\n| `{name}` |" in pages["summary.md"], name
    own = set(re.findall(r"^\| `(\w+)` \|", pages["summary.md"].split("## Keys of single commands")[1], re.MULTILINE))
    assert own < {command.name for command in app.registered_commands}


def test_recipe_has_every_key(pages):
    from transip_md.model.config import ModelConfig
    from transip_md.training.config import DataConfig, EquivarianceConfig, ObjectiveConfig, TrainConfig

    sections = {"": TrainConfig, "data.": DataConfig, "objective.": ObjectiveConfig, "model.": ModelConfig}
    sections["objective.equivariance."] = EquivarianceConfig
    for prefix, section in sections.items():
        for name in section.model_fields:
            assert f"`{prefix}{name}`" in pages["recipe.md"]


def test_c_page_has_every_function(pages):
    header = (ROOT / "libtransip/include/transip.h").read_text()
    functions = re.findall(r"^TRANSIP_API [\w ]+?\**(transip_\w+)\(", header, flags=re.MULTILINE)
    assert len(functions) > 10
    for name in functions:
        assert re.search(rf"^## .*`{name}`", pages["c.md"], flags=re.MULTILINE), name


def test_public_names_exist(pages):
    for name in re.findall(r"^::: ([\w.]+)$", pages["python.md"], flags=re.MULTILINE):
        module, _, member = name.rpartition(".")
        if name == "transip_md.common.errors":
            importlib.import_module(name)
        elif member == "TransIPModel":
            pytest.importorskip("torch_sim")
            assert hasattr(importlib.import_module(module), member)
        else:
            assert hasattr(importlib.import_module(module), member), name


def test_public_docstrings_name_every_parameter(pages):
    """A public function, or class by its initialiser or attributes, explains each of its parameters."""
    for name in re.findall(r"^::: ([\w.]+)$", pages["python.md"], flags=re.MULTILINE):
        module, _, member = name.rpartition(".")
        if name == "transip_md.common.errors":
            continue
        try:
            thing = getattr(importlib.import_module(module), member)
        except ImportError as error:
            pytest.skip(str(error))
        text = f"{thing.__doc__}\n{thing.__init__.__doc__ if isinstance(thing, type) else ''}"
        # Fields of pydantic have descriptions of their own, and protocols are not made by anybody.
        if hasattr(thing, "model_fields") or getattr(thing, "_is_protocol", False):
            continue
        for parameter in inspect.signature(thing).parameters:
            assert re.search(rf"^\s+\*{{0,2}}{parameter}\b.*:", text, flags=re.MULTILINE), f"{name}: {parameter}"


def test_site_builds_without_warnings(tmp_path):
    for module in ("mkdocs", "material", "mkdocstrings_handlers.python", "latex2mathml"):
        pytest.importorskip(module, reason="the extra docs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "<math" in (tmp_path / "site/theory/network.html").read_text()
    notebook = json.loads((tmp_path / "site/tutorials/first_run.ipynb").read_text())
    linked = re.findall(r"\]\((?!\w+:)([^)\s#]+)", "".join(cell["source"] for cell in notebook["cells"]))
    assert len(linked) > 5
    for target in linked:
        assert (tmp_path / "site/tutorials" / target).exists(), target
    assert 'href="first_run.ipynb"' in (tmp_path / "site/tutorials/first_run.html").read_text()
    assert "TransIPCalculator" in (tmp_path / "site/reference/python.html").read_text()
