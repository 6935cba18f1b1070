"""What the repository states of itself in several files is the same in all: versions, pins, formats."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml

import transip_md


def test_one_version(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    assert transip_md.__version__ == project["version"] == str(citation["version"])


def test_citation_has_what_its_format_requires(repository):
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    (paper,) = citation["references"]
    assert {"authors", "title", "type"} <= paper.keys()
    names = [author["family-names"] for author in paper["authors"]]
    # The README cites the same authors in the same order.
    readme = (repository / "README.md").read_text()
    assert names == sorted(names, key=readme.index)


def test_hooks_pin_the_locked_versions(repository):
    """Hooks of pre-commit run the versions of requirements.lock, where it has them."""
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)$", (repository / "requirements.lock").read_text(), flags=re.MULTILINE))
    config = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text())
    pins = [pin for repo in config["repos"] for hook in repo["hooks"] for pin in hook["additional_dependencies"]]
    assert pins
    for pin in pins:
        name, _, version = pin.partition("==")
        assert version, f"{pin} is not pinned"
        assert locked.get(name, version) == version


@pytest.mark.parametrize("pattern", [".github/workflows/*.yml", ".github/ISSUE_TEMPLATE/*.yml", ".clang-format"])
def test_yaml_reads(repository, pattern):
    files = list(repository.glob(pattern))
    assert files
    for file in files:
        assert yaml.safe_load(file.read_text()), file


def test_workflows_run_what_is_there(repository):
    """Commands of the workflows name files and targets of make that exist."""
    text = "".join(file.read_text() for file in (repository / ".github/workflows").glob("*.yml"))
    assert "bash .ci/run" in text
    for path in re.findall(r"\btests/[\w/]+\.py\b", text):
        assert (repository / path).is_file(), path
    makefile = (repository / "Makefile").read_text()
    for target in re.findall(r"run: make (\S+)", text):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target}"


def test_changelog_has_the_sections_of_its_format(repository):
    sections = re.findall(r"^### (.+)$", (repository / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert set(sections) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
