"""What the README shows is what lies in examples/, which other tests run; it stays short."""

import re

import pytest


@pytest.mark.parametrize("example", ["lammps/in.water_nvt", "openmm/ethanol.py", "ase/vibrations.py"])
def test_readme_shows_lines_of_the_examples(repository, example):
    """One block's lines stand in the example, in the same order; blank lines and indentation do not count."""
    blocks = re.findall(r"```\w*\n(.*?)```", (repository / "README.md").read_text(), flags=re.DOTALL)
    there = [line.strip() for line in (repository / "examples" / example).read_text().splitlines()]

    def is_excerpt(block: str) -> bool:
        rest = iter(there)
        return all(line.strip() in rest for line in block.splitlines() if line.strip())

    assert [block for block in blocks if is_excerpt(block)], f"no block of README.md is an excerpt of {example}"


def test_readme_is_a_screen_and_a_half(repository):
    assert len((repository / "README.md").read_text().splitlines()) <= 110


def test_conventions_list_every_key_of_the_file(repository):
    from transip_md.modelfile.metadata import Metadata

    text = (repository / "docs/conventions.md").read_text()
    for key in Metadata.model_fields:
        assert f"`{key}`" in text, key
