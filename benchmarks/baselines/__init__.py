"""Other potentials that could drive the same simulation, each in a Python environment of its own."""

from baselines.catalogue import BASELINES
from transip_md.bench.baselines import registered


def register() -> None:
    """Let `transip_md.bench` time all of the catalogue."""
    registered.update(BASELINES)
