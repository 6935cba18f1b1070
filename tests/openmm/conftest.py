"""Shipped models that the tests of OpenMM share."""

from __future__ import annotations

from pathlib import Path

import ase
import ase.io
import pytest


def _exported(name: str, folder: Path) -> Path:
    import transip_md
    from transip_md.exporting.export import export

    export(transip_md.pretrained(name), folder / f"{name}.pt")
    return folder / f"{name}.pt"


@pytest.fixture(scope="session")
def organic_file(tmp_path_factory) -> Path:
    """The shipped organic model, float64."""
    return _exported("organic", tmp_path_factory.mktemp("organic"))


@pytest.fixture(scope="session")
def water_file(tmp_path_factory) -> Path:
    """The shipped water model, float64."""
    return _exported("water", tmp_path_factory.mktemp("water"))


@pytest.fixture
def water(repository) -> ase.Atoms:
    """64 molecules of liquid water in their periodic box."""
    return ase.io.read(repository / "examples" / "openmm" / "water.pdb")
