"""OpenMM: make a force from an exported model file, and report how far those of several models lie apart.

Nothing here imports torch before a force needs it, so that importing openmmml, which imports what is registered with
it, stays quick.
"""

from transip_md.engines.openmm.deviation import DeviationReporter
from transip_md.engines.openmm.force import BACKENDS, Backend, create_force
from transip_md.engines.openmm.native import load_plugin

__all__ = ["BACKENDS", "Backend", "DeviationReporter", "create_force", "load_plugin"]
