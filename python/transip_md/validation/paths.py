"""Energy along a path of structures: jumps, wells, walls and how rough its force is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: The part of a scan that is judged for smoothness: energies up to this above the well, eV.
WINDOW = 10.0
#: Minima less deep than this are not counted, eV.
SHALLOW = 0.005
#: A wall has a hole where the energy falls by more than this behind its top, eV: four kT at 300 K, which hold an atom.
HOLE = 0.1
#: Steps that are looked at more closely at most, and into how many parts each is cut (a power of two).
SUSPECTS, PARTS = 24, 8
#: Discrepancies below this are not looked at, eV.
NO_SUSPICION = 2e-4

#: Energy (eV) and dE/dx at a coordinate.
Scan = Callable[[float], tuple[float, float]]


@dataclass(frozen=True)
class Path:
    """A scan.

    Attributes:
        x: coordinate, even steps; Angstrom or rad.
        energy: eV.
        slope: dE/dx from the model's forces.
        start: the coordinate of the structure that the scan is about.
    """

    x: np.ndarray
    energy: np.ndarray
    slope: np.ndarray
    start: float

    def discrepancies(self) -> np.ndarray:
        """|energy step - work of the force| of each step, eV; zero where an end lies outside the window.

        Work by the corrected trapezoidal rule, h (g0 + g1) / 2 - h^2 (g'1 - g'0) / 12 (Davis and Rabinowitz, Methods of
        Numerical Integration, 2.9.2).
        """
        h = self.x[1] - self.x[0]
        work = h * (self.slope[:-1] + self.slope[1:]) / 2 - h**2 * np.diff(np.gradient(self.slope, h)) / 12
        inside = self.energy < self.energy[self.home] + WINDOW
        return np.where(inside[:-1] & inside[1:], np.abs(np.diff(self.energy) - work), 0.0)

    @property
    def home(self) -> int:
        """Row of the well that holds the start: downhill from there."""
        row = int(np.abs(self.x - self.start).argmin())
        while 0 < row < len(self.x) - 1:
            lower = row + int(np.sign(self.energy[row - 1] - self.energy[row + 1]))
            if lower == row or self.energy[lower] >= self.energy[row]:
                break
            row = lower
        return row

    def minima(self, *, around: bool = False) -> int:
        """Number of minima that are deeper than `SHALLOW`; `around`: the path closes on itself."""
        from scipy.signal import find_peaks

        values = -self.energy
        if around:
            # From the highest point once around: no minimum is cut in two.
            values = np.roll(values[:-1], -int(self.energy[:-1].argmax()))
            values = np.append(values, values[0])
        return len(find_peaks(values, prominence=SHALLOW)[0])

    def flips(self) -> int:
        """Number of times that the force changes its direction."""
        signs = np.sign(self.slope[np.abs(self.slope) > 1e-3])
        return int((np.diff(signs) != 0).sum())

    def _top(self) -> tuple[int, bool]:
        """Row of the first barrier on compression and whether the energy falls behind it by more than `HOLE`."""
        top = self.home
        for row in range(self.home - 1, -1, -1):
            if self.energy[row] > self.energy[top]:
                top = row
            elif self.energy[top] - self.energy[row] > HOLE:
                return top, True
        return top, False

    def wall(self) -> float:
        """How high above the well the energy climbs on compression before it falls, or the path ends; eV."""
        return float(self.energy[self._top()[0]] - self.energy[self.home])

    def falls(self) -> float | None:
        """Coordinate at which the repulsive wall ends and the energy falls by more than `HOLE`; None if it holds."""
        top, falls = self._top()
        return float(self.x[top]) if falls else None

    def roughness(self) -> float:
        """Variation of the slope beyond that of a smooth well, eV/Angstrom, within the window."""
        return _beyond_a_well(self.slope[self.energy < self.energy[self.home] + WINDOW])

    def first_flaw(self, roughest: float) -> tuple[float, float] | None:
        """Where the well that holds the start ceases to be one smooth well.

        Args:
            roughest: roughness that is let pass, eV/Angstrom.

        Returns:
            The coordinate at which the well, filled step by step from its bottom, takes in a step with which it is
            rougher than that, or the top before it, and the energy there above the bottom, eV; None if that never
            happens within the window.
            A barrier to another well is such a step, and so is a dent that forces feel and no minimum shows.
        """
        low = high = self.home
        last = len(self.x) - 1
        while low > 0 or high < last:
            left = self.energy[low - 1] if low > 0 else np.inf
            right = self.energy[high + 1] if high < last else np.inf
            new = low - 1 if left <= right else high + 1
            if self.energy[new] > self.energy[self.home] + WINDOW:
                return None
            low, high = min(low, new), max(high, new)
            if _beyond_a_well(self.slope[low : high + 1]) > roughest:
                # Behind a barrier the energy is lower again: the barrier counts.
                near, far = sorted((self.home, new))
                top = near + int(self.energy[near : far + 1].argmax())
                return float(self.x[top]), float(self.energy[top] - self.energy[self.home])
        return None


def _beyond_a_well(slope: np.ndarray) -> float:
    """Variation of a slope beyond that of a smooth well.

    A Morse curve's slope rises from the wall to its largest value and falls to the far end: of that variation
    nothing is left.
    """
    if len(slope) < 3:
        return 0.0
    top = slope.max()
    return float(np.abs(np.diff(slope)).sum() - (top - slope[0]) - (top - slope[-1]))


def follow(scan: Scan, x: np.ndarray, start: float) -> tuple[Path, float]:
    """Walk along a path, and look closely where the energy does not follow from the force.

    Args:
        scan: energy and slope at a coordinate.
        x: coordinates, even steps.
        start: of the structure that the scan is about.

    Returns:
        The path, and its largest jump, eV: what is left of |energy step - work| when the worst steps are integrated by
        Romberg's rule over eight parts. A jump stays; the error of coarse integration goes.
    """
    energy, slope = np.array([scan(float(one)) for one in x]).T
    path = Path(x, energy, slope, start)
    left = path.discrepancies()
    for step in np.argsort(left)[-SUSPECTS:]:
        if left[step] > NO_SUSPICION:
            left[step] = min(left[step], _close_look(scan, path, int(step)))
    return path, float(left.max())


def _close_look(scan: Scan, path: Path, step: int) -> float:
    from scipy.integrate import romb

    parts = np.linspace(path.x[step], path.x[step + 1], PARTS + 1)
    inner = np.array([scan(float(one))[1] for one in parts[1:-1]])
    slopes = np.concatenate([[path.slope[step]], inner, [path.slope[step + 1]]])
    return abs(float(path.energy[step + 1] - path.energy[step] - romb(slopes, dx=parts[1] - parts[0])))
