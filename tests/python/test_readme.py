"""What the README shows is what lies in examples/, which other tests run."""

import re

import pytest


@pytest.mark.parametrize("example", ["lammps/in.ethanol", "lammps/in.water_nvt", "openmm/ethanol.py"])
def test_readme_shows_the_examples(repository, example):
    blocks = re.findall(r"```\w*\n(.*?)```", (repository / "README.md").read_text(), flags=re.DOTALL)
    assert (repository / "examples" / example).read_text() in blocks


def test_conventions_list_every_key_of_the_file(repository):
    from transip_md.modelfile.metadata import Metadata

    text = (repository / "docs/conventions.md").read_text()
    for key in Metadata.model_fields:
        assert f"`{key}`" in text, key
