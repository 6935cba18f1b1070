"""Derivatives by central differences, with their own uncertainty."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Number of step sizes, each half of the one before.
LEVELS = 4


def derivative(function: Callable[[float], float], step: float) -> tuple[float, float]:
    """Derivative at zero by Ridders' method: central differences extrapolated to a step of zero.

    Differences D(h) = [f(h) - f(-h)] / 2h at h, h/2, h/4 ... are extrapolated as polynomials in h^2 (Neville); the
    entry with the smallest estimated error is taken, and that error is the larger of its distances from its two
    parents: truncation and rounding alike. Source: Ridders, Adv. Eng. Softw. 4, 75 (1982); Numerical Recipes, 5.7;
    OpenKIM's vc-forces-numerical-derivative uses it.

    Args:
        function: of the displacement.
        step: the largest.

    Returns:
        The derivative, and its uncertainty.
    """
    table = np.empty((LEVELS, LEVELS))
    best, error = np.nan, np.inf
    for row in range(LEVELS):
        h = step / 2**row
        table[row, 0] = (function(h) - function(-h)) / (2.0 * h)
        for column in range(1, row + 1):
            factor = 4.0**column
            table[row, column] = (factor * table[row, column - 1] - table[row - 1, column - 1]) / (factor - 1.0)
            found = max(
                abs(table[row, column] - table[row, column - 1]), abs(table[row, column] - table[row - 1, column - 1])
            )
            if found < error:
                best, error = table[row, column], found
    return float(best), float(error)
