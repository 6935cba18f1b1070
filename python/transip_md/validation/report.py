"""The report of a validation: one HTML file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transip_md.reports import page
from transip_md.validation.checks import all_checks
from transip_md.validation.findings import VERDICTS, Curve, Finding, Validation
from transip_md.validation.thresholds import thresholds
from transip_md.validation.words import sentences

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What the top of the page shows: threshold and name.
TILES = (
    ("forces.error", "largest error of a force component against differences of the energy"),
    ("rotation.force", "force change on rotation, mean component"),
    ("rotation.spread", "spread of the energy over orientations"),
    ("conservation.drift", "energy drift at constant energy"),
    ("conservation.angular_momentum", "angular momentum change, of its thermal size"),
    ("bonds.wall", "lowest repulsive wall of a bond"),
    ("bonds.reach", "energy up to which every bond is one smooth well"),
    ("labels.force", "force error against labels"),
    ("cutoff.force", "force step at the cutoff"),
)
#: Energies above this are cut off in pictures of scans, eV.
TALLEST = 12.0


def write_report(result: Validation, path: Path) -> None:
    """Write a validation as one self-contained HTML page."""
    parts = [
        page.header(
            f"May {result.model} be trusted in MD?",
            f"Validated on {', '.join(result.structures)}{_symmetry(result)} · {result.date[:10]}",
            result.verdict,
        ),
        _summary(result),
        f'<div class="tiles">{"".join(_tiles(result))}</div>',
        _words(result),
        *(f"<h2>{page.escape(name)}</h2><div class='grid'>{''.join(made)}</div>" for name, made in _pictures(result)),
        "<h2>All numbers</h2>",
        page.table(
            (("check", False), ("value", True), ("unit", False), ("good", True), ("bad", True), ("", False)),
            _rows(result),
        ),
        _skipped(result),
        "<h2>The model</h2>",
        page.facts(_card(result)),
        _sources(result),
    ]
    versions = ", ".join(f"{name} {version}" for name, version in result.made_with.items())
    seconds = sum(result.seconds.values())
    page.write_page(path, f"{result.model}: validation", parts, f"transip-md validate, {seconds:.0f} s, {versions}.")


def _symmetry(result: Validation) -> str:
    return "" if result.symmetry == "none" else f" with symmetry {result.symmetry}"


def _summary(result: Validation) -> str:
    """Two sentences for somebody who reads no further."""
    by_check: dict[str, str] = {}
    for finding in result.findings:
        by_check[finding.check] = max(by_check.get(finding.check, "INFO"), finding.verdict, key=VERDICTS.index)
    titles = {name: check.title for name, check in all_checks().items()}

    def named(verdict: str) -> list[str]:
        return [titles[check] for check, found in by_check.items() if found == verdict]

    lines = []
    for verdict, words in (("FAIL", "Beyond what is acceptable"), ("WARN", "Worth a look"), ("PASS", "Good")):
        if names := named(verdict):
            lines.append(f"<p>{page.pill(verdict)} {words}: {page.escape('; '.join(names))}.</p>")
    return "".join(lines)


def _words(result: Validation) -> str:
    """What the numbers mean for a run."""
    said = "".join(f"<p>{page.escape(line)}</p>" for line in sentences(result))
    return f"<h2>In words</h2>{said}" if said else ""


def _worst(result: Validation, key: str) -> Finding | None:
    found = [finding for finding in result.findings if finding.key == key and finding.value is not None]
    return max(found, key=lambda f: (VERDICTS.index(f.verdict), f.value or 0.0), default=None)


def _tiles(result: Validation) -> Iterator[str]:
    for key, name in TILES:
        finding = _worst(result, key)
        if finding is not None:
            yield page.tile(name, page.number(finding.value, 2), finding.unit, finding.verdict)


def _rows(result: Validation) -> Iterator[list[str]]:
    shown = [finding for finding in result.findings if finding.verdict != "SKIP"]
    titles = {name: check.title for name, check in all_checks().items()}
    for check, findings in itertools.groupby(shown, key=lambda finding: finding.check):
        yield [page.escape(titles[check])]
        for finding in findings:
            where = f" · {finding.structure}" if len(result.structures) > 1 else ""
            note = f'<div class="soft" style="font-size:13px">{page.escape(finding.note)}</div>' if finding.note else ""
            yield [
                page.escape(finding.quantity + where) + note,
                page.number(finding.value),
                page.unit(finding.unit),
                "" if finding.good is None else page.number(finding.good),
                "" if finding.bad is None else page.number(finding.bad),
                page.pill(finding.verdict),
            ]


def _skipped(result: Validation) -> str:
    titles = {name: check.title for name, check in all_checks().items()}
    lines = [
        f"<p>{page.pill('SKIP')} {page.escape(titles[f.check])} ({page.escape(f.structure)}): {page.escape(f.note)}</p>"
        for f in result.of("SKIP")
    ]
    return f"<details><summary>{len(lines)} not applicable: why</summary>{''.join(lines)}</details>" if lines else ""


def _pictures(result: Validation) -> Iterator[tuple[str, list[str]]]:
    """For each structure, its pictures as HTML."""
    page.style_figures()
    for structure in result.structures:
        curves = [curve for curve in result.curves if curve.structure == structure]
        panels: dict[str, list[Curve]] = {}
        for curve in curves:
            panels.setdefault(curve.panel, []).append(curve)
        made = [page.picture(draw(group), panel.capitalize(), wide=len(group) > 1) for panel, group in panels.items()]
        if made:
            yield structure, made


def draw(curves: list[Curve]) -> bytes:
    """Curves of one panel as PNG: one below another means small multiples, one alone a single frame."""
    import matplotlib.pyplot as plt

    lines = -(-len(curves) // 4)
    columns = -(-len(curves) // lines)
    size = (4.3, 2.9) if len(curves) == 1 else (10.8, 2.5 * lines + 0.2)
    figure, axes = plt.subplots(lines, columns, figsize=size, layout="constrained", squeeze=False)
    for axis, curve in itertools.zip_longest(axes.flat, curves):
        if curve is None:
            axis.set_visible(False)
        else:
            _draw_one(axis, curve)
    for row in axes[:, 1:]:
        for axis in row:
            axis.set_ylabel("")
    return page.png(figure)


def _draw_one(axis: Axes, curve: Curve) -> None:
    x = np.array(curve.x)
    if curve.y is None:
        axis.hist(x, bins=32, color=page.SERIES[0], alpha=0.85)
        axis.axvline(float(x.mean()), color=page.SERIES[1], linewidth=1.2)
        axis.annotate(
            f"mean {x.mean():.3g}" if abs(x.mean()) > 1e-9 else f"spread {np.ptp(x):.3g}",
            (0.98, 0.95), xycoords="axes fraction", ha="right", va="top", color=page.SERIES[1],
        )  # fmt: skip
    elif len(x) > 2 and (np.diff(x) > 0).all():
        y = np.array(curve.y)
        axis.plot(x, y, color=page.SERIES[0])
        if "well" in curve.y_label:
            floor = min(0.0, float(y.min()))
            top = min(
                TALLEST, max(float(y[x >= (curve.mark or 0)].max()) * 1.3, 1.0) if curve.mark else 1.05 * float(y.max())
            )
            axis.set_ylim(floor - 0.05 * (top - floor), top)
        if curve.mark:
            axis.axvline(curve.mark, color="#9aa4ae", linewidth=0.9, linestyle=":")
    else:
        axis.plot(x, curve.y, ".", color=page.SERIES[0], markersize=3, alpha=0.6)
        axis.axhline(0.0, color="#9aa4ae", linewidth=0.9)
    axis.set_title(curve.label)
    axis.set_xlabel(curve.x_label)
    axis.set_ylabel(curve.y_label)


def _card(result: Validation) -> dict[str, str]:
    from ase.data import chemical_symbols

    metadata, training = result.metadata, result.metadata["training"]
    reach = metadata["interaction_range"]
    return {
        "elements": " ".join(chemical_symbols[z] for z in metadata["species"]),
        "attention": "all-to-all"
        if reach is None
        else f"cutoff {metadata['cutoff']:g} Å, interaction range {reach:g} Å",
        "weights": metadata["dtype"],
        "forces": "−dE/dr" if metadata["conservative"] else "direct head: not the gradient of the energy",
        "trained on": training.get("data", "not given"),
        "level of theory": training.get("level_of_theory", "not given"),
        "licence": training.get("licence", "not given"),
        "checkpoint sha256": metadata["source_sha256"] or "none",
    }


def _sources(result: Validation) -> str:
    known = thresholds()
    keys = dict.fromkeys(finding.key for finding in result.findings if finding.key in known)
    rows = [
        [page.escape(key), page.escape(known[key].label), f'<span class="soft">{page.escape(known[key].source)}</span>']
        for key in keys
    ]
    table = page.table((("name", False), ("what", False), ("where the thresholds come from", False)), rows)
    return f"<details><summary>Thresholds and their sources</summary>{table}</details>"
