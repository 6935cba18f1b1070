"""ASE: a calculator, and the engine that drives it."""

from transip_md.engines.ase.calculator import TransIPCalculator
from transip_md.engines.ase.committee import CommitteeCalculator

__all__ = ["CommitteeCalculator", "TransIPCalculator"]
