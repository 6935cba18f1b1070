"""OpenMM: make a force from a model file, report how far several models lie apart, or atoms from the training set.

Nothing here imports torch before a force needs it, so that importing openmmml, which imports what is registered with
it, stays quick.
"""

from transip_md.engines.openmm.deviation import DeviationReporter
from transip_md.engines.openmm.distance import DistanceReporter
from transip_md.engines.openmm.force import BACKENDS, Backend, create_force
from transip_md.engines.openmm.native import load_plugin

__all__ = ["BACKENDS", "Backend", "DeviationReporter", "DistanceReporter", "create_force", "load_plugin"]
