"""ASE: a calculator, and the engine that drives it."""

from transip_md.engines.ase.calculator import TransIPCalculator

__all__ = ["TransIPCalculator"]
