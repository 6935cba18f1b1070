"""Derivatives by central differences, with their own uncertainty."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Number of step sizes, each half of the one before.
LEVELS = 4
#: Factors of the steps by which a derivative that is not as expected is computed anew.
FINER = (1 / 8, 1 / 16)


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


def derivative_beside(
    function: Callable[[float], float], step: float, expected: float, tolerance: float
) -> tuple[float, float]:
    """Derivative at zero as `derivative` gives it, and by smaller steps if it is not as expected.

    Extrapolation takes the function to be smooth over the largest step. Where a third derivative jumps within it, as
    where a repulsion ends, it may be wrong by more than its uncertainty. By smaller steps such a place is out of reach:
    they are believed if they contradict the first, agree with each other, and are the more certain, which rounding
    keeps them from.

    Args:
        function: of the displacement.
        step: the largest.
        expected: the derivative as it should be.
        tolerance: difference from it, beyond the uncertainty, up to which the first derivative is taken as it is.

    Returns:
        The derivative, and its uncertainty.
    """
    found, error = derivative(function, step)
    if abs(found - expected) - error <= tolerance:
        return found, error
    (finer, finer_error), (finest, finest_error) = (derivative(function, factor * step) for factor in FINER)
    agreed = abs(finest - finer) <= finer_error + finest_error and max(finer_error, finest_error) < error
    return (finer, finer_error) if agreed and abs(finer - found) > error + finer_error else (found, error)
