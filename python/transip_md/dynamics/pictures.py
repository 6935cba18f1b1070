"""Pictures of a study: energies, what time steps and engines differ in, and the structure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from transip_md.common import units
from transip_md.common.thermal import degrees_of_freedom, thermal_angular_momentum
from transip_md.dynamics.order import SAME_PATH
from transip_md.dynamics.results import Run, Study, shortened_name
from transip_md.reports import page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from transip_md.dynamics.shape import Shape

MILLI = 1000.0
#: Panels that a picture has at most: more cases than that stand in the table alone.
MOST_PANELS = 12
#: Points of a line that are drawn: more cannot be seen.
MOST_POINTS = 1500


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        name: of a file, without ending.
        data: PNG.
        caption: for people.
        wide: over the whole width of a page.
    """

    name: str
    data: bytes
    caption: str
    wide: bool = False


def _thin(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Every k-th row."""
    step = max(1, math.ceil(len(columns[0]) / MOST_POINTS))
    return tuple(column[::step] for column in columns)


def _panels(count: int, height: float = 2.5, columns: int = 3) -> tuple[Figure, list[Axes]]:
    import matplotlib.pyplot as plt

    columns = min(columns, count)
    lines = -(-count // columns)
    size = (10.8, height * lines + 0.3) if count > 1 else (10.8, 3.2)
    figure, axes = plt.subplots(lines, columns, figsize=size, layout="constrained", squeeze=False)
    for extra in axes.flat[count:]:
        extra.set_visible(False)
    return figure, list(axes.flat[:count])


def _cases(study: Study) -> Iterator[tuple[str, list[Run]]]:
    """Runs that differ by the engine only."""

    def common(run: Run) -> str:
        return shortened_name(study, run, without=["engine"])

    yield from itertools.islice(
        ((key, list(group)) for key, group in itertools.groupby(study.runs, common)), MOST_PANELS
    )


def energy_pictures(study: Study) -> Iterator[Picture]:
    """Energy and temperature along the runs, one panel for runs that differ by the engine only."""
    cases = list(_cases(study))
    colours = dict(zip(dict.fromkeys(run.engine for run in study.runs), itertools.cycle(page.SERIES), strict=False))
    figure, axes = _panels(len(cases))
    for axis, (name, runs) in zip(axes, cases, strict=True):
        for width, run in zip((2.0, 1.2, 0.8), itertools.cycle(runs), strict=False):
            if axis.get_legend_handles_labels()[1].count(run.engine):
                break
            deviation = MILLI * (run.record.conserved - run.record.conserved[0]) / len(run.atoms)
            axis.plot(*_thin(run.record.time, deviation), color=colours[run.engine], linewidth=width, label=run.engine)
        axis.set_title(name, fontsize=8)
        axis.set_xlabel("time (ps)")
    axes[0].set_ylabel("E − E(0) (meV/atom)")
    # Lines fill the panel: the legend stands above them.
    axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(colours), fontsize=8, borderaxespad=0.2)
    yield Picture("energies", page.png(figure), "Conserved energy against its first value", wide=True)
    figure, axes = _panels(len(cases), 2.0)
    for axis, (name, runs) in zip(axes, cases, strict=True):
        axis.plot(*_thin(runs[0].record.time, runs[0].record.temperature), color=page.SERIES[0], linewidth=0.8)
        axis.set_title(name, fontsize=8)
        axis.set_xlabel("time (ps)")
    axes[0].set_ylabel("temperature (K)")
    yield Picture("temperatures", page.png(figure), f"Temperature, in {cases[0][1][0].engine}", wide=True)


def comparisons(study: Study) -> Iterator[Picture]:
    """What runs are compared by: time steps, angular momentum, kinetic energies."""
    if len({run.settings.timestep for run in study.runs}) > 1:
        yield _against_timestep(study)
        if study.orders:
            yield _fluctuations(study)
    if rows := [run for run in study.runs if run.record.angular is not None and run.angular is not None]:
        yield _angular(study, rows)
    if thermostatted := [run for run in study.runs if run.settings.ensemble == "nvt"]:
        yield _kinetic(study, thermostatted)


def _against_timestep(study: Study) -> Picture:
    figure, (axis,) = _half()
    groups: dict[str, list[Run]] = {}
    for run in study.runs:
        groups.setdefault(shortened_name(study, run, without=["timestep"]), []).append(run)
    shift = 1.0
    for name, runs in groups.items():
        runs = sorted(runs, key=lambda run: run.settings.timestep)
        axis.errorbar(
            [shift * run.settings.timestep for run in runs],
            [run.conservation.slope for run in runs],
            [run.conservation.slope_error for run in runs],
            fmt="o-", markersize=4, linewidth=1, capsize=2, label=name,
        )  # fmt: skip
        shift *= 1.02
    low, high = axis.get_ylim()
    axis.axhspan(-study.threshold, study.threshold, color=page.COLOURS["PASS"], alpha=0.1, linewidth=0)
    # A band far wider than the numbers would flatten them.
    axis.set_ylim(min(1.2 * low, -0.05 * study.threshold), max(1.2 * high, 0.05 * study.threshold))
    axis.axhline(0.0, color="#9aa4ae", linewidth=0.8)
    axis.set_xlabel("time step (fs)")
    axis.set_ylabel("drift (meV/atom/ps)")
    _legend(axis, len(groups))
    return Picture("drift", page.png(figure), f"Drift against time step; the band is ±{study.threshold:g} meV/atom/ps")


def _fluctuations(study: Study) -> Picture:
    figure, (axis,) = _half()
    for name, order in itertools.islice(study.orders.items(), MOST_PANELS):
        run = next(run for run in study.runs if study.series(run) == name)
        label = f"{shortened_name(study, run, without=['timestep'])}: {order.order:.2f}"
        axis.loglog(order.timesteps, order.fluctuations, "o-", markersize=4, label=label)
    first = next(iter(study.orders.values()))
    steps = np.array(first.timesteps)
    axis.loglog(steps, first.fluctuations[0] * (steps / steps[0]) ** 2, "--", color="#9aa4ae", label="slope 2")
    axis.set_xticks(steps, [f"{step:g}" for step in steps])
    axis.minorticks_off()
    axis.set_xlabel("time step (fs)")
    axis.set_ylabel("fluctuation (meV/atom)")
    _legend(axis, len(study.orders))
    return Picture(
        "fluctuation", page.png(figure), f"Fluctuation over the first {SAME_PATH:g} ps, with the fitted order"
    )


def _angular(study: Study, runs: list[Run]) -> Picture:
    figure, (axis,) = _half()
    for run in runs[:MOST_PANELS]:
        assert run.record.angular is not None
        size = thermal_angular_momentum(run.atoms.get_masses(), run.atoms.positions, run.settings.temperature)
        change = np.linalg.norm(run.record.angular - run.record.angular[0], axis=1) / size
        axis.plot(*_thin(run.record.time, change), linewidth=0.9, label=shortened_name(study, run))
    axis.set_xlabel("time (ps)")
    axis.set_ylabel("|L − L(0)| / thermal size")
    _legend(axis, len(runs))
    return Picture(
        "angular_momentum",
        page.png(figure),
        "Change of the angular momentum: conserved by an invariant energy, and not by a learned one",
    )


def _kinetic(study: Study, runs: list[Run]) -> Picture:
    from scipy.stats import gamma

    figure, (axis,) = _half()
    for colour, run in zip(page.SERIES, runs, strict=False):
        kinetic = run.record.kinetic[len(run.record.kinetic) // 10 :]
        axis.hist(kinetic, bins=40, density=True, color=colour, alpha=0.35, label=shortened_name(study, run))
        grid = np.linspace(0.0, 1.15 * kinetic.max(), 300)
        shape = degrees_of_freedom(len(run.atoms)) / 2
        axis.plot(grid, gamma(shape, scale=units.BOLTZMANN * run.settings.temperature).pdf(grid), color=colour)
    axis.set_xlabel("kinetic energy (eV)")
    axis.set_ylabel("density (1/eV)")
    _legend(axis, len(runs))
    return Picture(
        "kinetic_energy", page.png(figure), "Kinetic energies, and the Maxwell–Boltzmann distribution as a line"
    )


def _half() -> tuple[Figure, list[Axes]]:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(4.3, 2.9), layout="constrained")
    return figure, [axis]


def _legend(axis: Axes, count: int) -> None:
    """A legend, if it leaves room for the lines."""
    if count <= 6:
        axis.legend(fontsize=7)


def shape_pictures(shape: Shape) -> Iterator[Picture]:
    """RMSD, bond lengths, radial distribution functions."""
    if shape.rmsd is not None:
        figure, (axis,) = _half()
        axis.plot(*_thin(shape.times, shape.rmsd))
        axis.set_xlabel(shape.clock)
        axis.set_ylabel("RMSD (Å)")
        yield Picture("rmsd", page.png(figure), "RMSD against the first frame, after superposition")
    if shape.bonds:
        figure, (axis,) = _half()
        everything = np.concatenate([lengths.ravel() for lengths in shape.bonds.values()])
        bins = np.linspace(everything.min() - 0.02, everything.max() + 0.02, 80)
        for kind, lengths in shape.bonds.items():
            axis.hist(lengths.ravel(), bins=bins, density=True, alpha=0.45, label=kind)
        axis.set_xlabel("bond length (Å)")
        axis.set_ylabel("density (1/Å)")
        _legend(axis, len(shape.bonds))
        found = f"{len(shape.broken)} broken: {', '.join(shape.broken)}" if shape.broken else "none broke"
        yield Picture("bonds", page.png(figure), f"Bond lengths over all frames; {found}")
    if shape.rdf:
        figure, axes = _panels(len(shape.rdf), 2.6)
        for axis, (pair, (radius, g)) in zip(axes, shape.rdf.items(), strict=True):
            axis.plot(radius, g)
            axis.axhline(1.0, color="#9aa4ae", linewidth=0.8)
            # Bonds make a peak that would leave nothing of the rest to see.
            far = g[radius > 1.8]
            axis.set_ylim(0.0, 1.35 * max(float(far.max()) if far.size else 0.0, 1.0))
            axis.set_title(pair)
            axis.set_xlabel("r (Å)")
        axes[0].set_ylabel("g(r)")
        yield Picture("rdf", page.png(figure), "Radial distribution functions, bonded atoms included", wide=True)
