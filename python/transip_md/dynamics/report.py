"""The report of a study: one HTML file with everything that one would show."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from transip_md.dynamics.pictures import Picture, comparisons, energy_pictures, shape_pictures
from transip_md.dynamics.results import Study, name_of
from transip_md.dynamics.shape import Shape
from transip_md.reports import page


def write_study_report(study: Study, path: Path, shapes: dict[str, Shape] | None = None) -> None:
    """Write a study as one self-contained HTML page, and its pictures as PNG beside it.

    Args:
        study: what was run.
        path: of the page.
        shapes: what trajectories show of the structure, by name.
    """
    page.style_figures()
    runs = study.runs
    energies, compared = list(energy_pictures(study)), list(comparisons(study))
    drawn = {name: list(shape_pictures(shape)) for name, shape in (shapes or {}).items()}
    for picture in (*energies, *compared):
        path.with_name(f"{picture.name}.png").write_bytes(picture.data)
    for structure, pictures in drawn.items():
        prefix = f"{structure}-" if len(drawn) > 1 else ""
        for picture in pictures:
            path.with_name(f"{prefix}{picture.name}.png").write_bytes(picture.data)
    ensemble = "constant energy" if all(run.settings.ensemble == "nve" for run in runs) else "constant temperature"
    longest = max(float(run.record.time[-1] - run.record.time[0]) for run in runs)
    structures = ", ".join(dict.fromkeys(run.structure for run in runs))
    parts = [
        page.header(
            f"Does {study.model} conserve energy?",
            f"{structures} · {ensemble} · {len(runs)} {'run' if len(runs) == 1 else 'runs'} of up to {longest:g} ps",
            study.verdict,
        ),
        _sentences(study),
        f'<div class="tiles">{"".join(_tiles(study))}</div>',
        _gallery("Energy along the runs", energies),
        _gallery("What is compared", compared),
        *(_gallery(f"Structure: {name}", pictures) for name, pictures in drawn.items()),
    ]
    parts += ["<h2>All runs</h2>", _table(study)]
    if study.orders:
        parts += ["<h2>Order of the integrator</h2>", _order_table(study)]
    if study.pairs:
        parts += ["<h2>Ensemble</h2>", _pair_table(study)]
    parts += ["<h2>How to read this</h2>", _explanation(study)]
    made_on = datetime.datetime.now(datetime.UTC).date().isoformat()
    page.write_page(path, f"{study.model}: energy conservation", parts, f"transip-md nve, {made_on}.")


def _gallery(title: str, pictures: Iterable[Picture]) -> str:
    """Pictures under a heading; nothing at all without pictures."""
    made = [page.picture(one.data, one.caption, wide=one.wide) for one in pictures]
    return f"<h2>{page.escape(title)}</h2><div class='grid'>{''.join(made)}</div>" if made else ""


def _sentences(study: Study) -> str:
    if not study.failures:
        return (
            f"<p>{page.pill('PASS')} In every run the conserved energy drifts by less than {study.threshold:g} "
            "meV/atom/ps, and the drift is known better than that.</p>"
        )
    return "".join(f"<p>{page.pill('FAIL')} {page.escape(line)}.</p>" for line in study.failures)


def _verdict(passed: bool) -> str:
    return "PASS" if passed else "FAIL"


def _tiles(study: Study) -> Iterator[str]:
    worst = max(study.runs, key=lambda run: _size(run.conservation.slope))
    found = worst.conservation
    yield page.tile("largest drift", page.number(found.slope, 2), "meV/atom/ps", _verdict(found.passed))
    yield page.tile("the same in thermal units", page.number(found.kt_per_ns_dof, 2), "kT/ns/dof", "INFO")
    yield page.tile("largest fluctuation", page.number(_largest(study, "fluctuation"), 2), "meV/atom", "INFO")
    if angular := [run.angular for run in study.runs if run.angular is not None]:
        yield page.tile(
            "largest change of angular momentum", page.number(max(angular), 2), "of its thermal size", "INFO"
        )
    if study.orders:
        off = max(study.orders.values(), key=lambda order: _size(order.order - 2.0))
        yield page.tile("order of the integrator", page.number(off.order, 3), "", _verdict(off.passed))
    mean = float(np.mean([run.conservation.temperature for run in study.runs]))
    yield page.tile("mean temperature", page.number(mean), "K", "INFO")


def _size(value: float) -> float:
    """|value|, and what is no number above all."""
    return abs(value) if math.isfinite(value) else math.inf


def _largest(study: Study, name: str) -> float:
    return max((getattr(run.conservation, name) for run in study.runs), key=_size)


def _signed(value: float, error: float) -> str:
    return f"{page.number(value, 3)} ± {page.number(error, 2)}"


def _table(study: Study) -> str:
    headings = [
        ("run", False), ("drift (meV/atom/ps)", True), ("kT/ns/dof", True), ("drift/σ(K) (1/ps)", True),
        ("fluctuation (meV/atom)", True), ("ΔP", True), ("ΔL", True), ("T (K)", True), ("", False),
    ]  # fmt: skip
    rows = []
    for run in study.runs:
        found = run.conservation
        rows.append(
            [
                page.escape(name_of(run)),
                _signed(found.slope, found.slope_error),
                page.number(found.kt_per_ns_dof, 2),
                page.number(found.per_sigma, 2),
                page.number(found.fluctuation, 3),
                page.number(run.momentum, 2),
                page.number(run.angular, 2),
                page.number(found.temperature, 3),
                page.pill(_verdict(run.passed)),
            ]
        )
    return page.table(headings, rows)


def _order_table(study: Study) -> str:
    rows = [
        [
            page.escape(name),
            page.escape(", ".join(f"{step:g}" for step in order.timesteps)),
            page.number(order.order, 3),
            page.number(order.deviation, 2),
            page.pill(_verdict(order.passed)),
        ]
        for name, order in study.orders.items()
    ]
    headings = (("runs", False), ("time steps (fs)", False), ("order", True), ("largest deviation", True), ("", False))
    return page.table(headings, rows)


def _pair_table(study: Study) -> str:
    rows = [
        [page.escape(name), page.number(pair.off, 2), page.pill(_verdict(pair.passed))]
        for name, pair in study.pairs.items()
    ]
    return page.table((("runs", False), ("potential energies off by (σ)", True), ("", False)), rows)


def _explanation(study: Study) -> str:
    lines = [
        f"A run passes if the slope of its conserved energy is within {study.threshold:g} meV/atom/ps and the error of "
        "the slope, from averages over 20 blocks, is smaller than that: a run too short to judge does not pass.",
        "OpenMM's own drift with classical force fields is 1.1·10⁻⁷ kT/ns/dof in double precision, 2.3·10⁻⁵ in mixed "
        "and 4.3·10⁻⁴ in single.",
        "ΔP and ΔL are the largest changes of momentum and angular momentum, over their thermal sizes. An energy that "
        "is invariant under rotation conserves L; with a learned symmetry it changes. It is reported, and not judged.",
        "The fluctuation of the conserved energy falls as the square of the time step if forces are the gradient of "
        "the energy and the integrator is of second order. The largest deviation of a ratio of fluctuations from that "
        "is physical_validation's.",
    ]
    return "".join(f"<p>{page.escape(line)}</p>" for line in lines)
