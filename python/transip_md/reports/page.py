"""A self-contained HTML page: style, verdicts, tables and pictures inside one file that can be mailed."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
from transip_md.common.whole_files import write_whole

#: Colours of series, distinguishable with colour blindness (Okabe and Ito, 2008), darkest first.
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#5B5B5B", "#B8A800")
#: Of verdicts.
COLOURS = {"PASS": "#1a7f4b", "WARN": "#b26a00", "FAIL": "#c0342b", "SKIP": "#7a828c", "INFO": "#2c6cb0"}
DPI = 160
PALETTE = 128

STYLE = """
:root { --ink: #1c2733; --soft: #5c6875; --line: #e3e7ec; --paper: #ffffff; --ground: #f5f7f9; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 "Source Sans 3", "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 28px 64px; }
h1 { font-size: 27px; margin: 0 0 2px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 40px 0 12px; }
h3 { font-size: 15px; margin: 22px 0 8px; color: var(--soft); font-weight: 600; }
p { margin: 6px 0; max-width: 78ch; } .soft { color: var(--soft); }
.head { display: flex; justify-content: space-between; align-items: flex-start; gap: 24px; }
.pill { display: inline-block; padding: 1px 9px; border-radius: 99px; color: #fff; font-weight: 600; font-size: 12px;
  letter-spacing: 0.03em; }
.verdict { padding: 8px 22px; border-radius: 8px; color: #fff; font-size: 22px; font-weight: 700; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(158px, 1fr)); gap: 14px; margin: 22px 0 6px; }
.tile { background: var(--paper); border: 1px solid var(--line); border-left: 4px solid var(--line); border-radius: 8px;
  padding: 12px 16px; }
.tile .name { color: var(--soft); font-size: 13px; line-height: 1.35; min-height: 2.7em; }
.tile { display: flex; flex-direction: column; justify-content: space-between; } sup { line-height: 0; }
.tile .value { font-size: 22px; font-weight: 650; font-variant-numeric: tabular-nums; line-height: 1.25; }
.tile .unit { font-size: 13px; color: var(--soft); font-weight: 400; white-space: nowrap; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 6px 16px;
  overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: 12px; color: var(--soft); font-weight: 600; padding: 8px 10px 6px 0; }
td { padding: 7px 10px 7px 0; border-top: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.note { color: var(--soft); font-size: 13px; }
tr.group td { background: #fafbfc; font-weight: 600; padding-left: 8px; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(310px, 1fr)); gap: 16px; }
figure { margin: 0; background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 10px; }
figure.wide { grid-column: 1 / -1; }
figure img { width: 100%; display: block; } figcaption { color: var(--soft); font-size: 13px; padding: 4px 6px 2px; }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 18px; margin: 10px 0; } dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 48px; color: var(--soft); font-size: 13px; }
@media print { body { background: #fff; } figure, .card, .tile { break-inside: avoid; } }
"""


def escape(text: object) -> str:
    """Text for HTML."""
    return html.escape(str(text))


def number(value: float | None, digits: int = 3) -> str:
    """A number as people read it; exponents as powers of ten, HTML."""
    if value is None:
        return "–"
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text.replace("-", "−")
    mantissa, exponent = text.split("e")
    factor = "" if mantissa == "1" else f"{mantissa.replace('-', '−')}·"
    return f"{factor}10<sup>{str(int(exponent)).replace('-', '−')}</sup>"


def unit(text: str) -> str:
    """A unit as people read it."""
    return escape(text).replace("Angstrom", "Å")


def pill(verdict: str) -> str:
    """A verdict in a coloured pill."""
    return f'<span class="pill" style="background:{COLOURS[verdict]}">{verdict}</span>'


def tile(name: str, value: str, of_unit: str, verdict: str) -> str:
    """A number that matters; `value` is HTML."""
    return (
        f'<div class="tile" style="border-left-color:{COLOURS[verdict]}"><div class="name">{escape(name)}</div>'
        f'<div class="value">{value} <span class="unit">{unit(of_unit)}</span></div></div>'
    )


def header(title: str, subtitle: str, verdict: str) -> str:
    """The page's head with its verdict."""
    return (
        f'<div class="head"><div><h1>{escape(title)}</h1><p class="soft">{escape(subtitle)}</p></div>'
        f'<div class="verdict" style="background:{COLOURS[verdict]}">{verdict}</div></div>'
    )


def table(headings: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]]) -> str:
    """A table in a card.

    Args:
        headings: text, and whether the column holds numbers.
        rows: cells as HTML; a row of one cell is a heading over the rows that follow.
    """
    classes = [' class="number"' if right else "" for _, right in headings]
    head = "".join(f"<th{c}>{escape(text)}</th>" for c, (text, _) in zip(classes, headings, strict=True))
    body = []
    for row in rows:
        if len(row) == 1:
            body.append(f'<tr class="group"><td colspan="{len(headings)}">{row[0]}</td></tr>')
        else:
            cells = zip(classes, row, strict=True)
            body.append("<tr>" + "".join(f"<td{c}>{cell}</td>" for c, cell in cells) + "</tr>")
    return f'<div class="card"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def facts(entries: dict[str, str]) -> str:
    """A list of names and texts."""
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in entries.items()) + "</dl>"


def style_figures() -> None:
    """Make matplotlib draw without a display and in the page's look."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update(
        {
            "font.size": 9,
            "axes.edgecolor": "#8a949e",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#e8ebee",
            "axes.axisbelow": True,
            "axes.prop_cycle": mpl.cycler(color=SERIES),
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "legend.frameon": False,
            "lines.linewidth": 1.3,
        }
    )


def png(figure: Figure) -> bytes:
    """A figure as PNG with few colours: a third of the size, no difference to see."""
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
    plt.close(figure)
    file = io.BytesIO()
    image.quantize(PALETTE).save(file, "PNG")
    return file.getvalue()


def picture(data: bytes, caption: str, *, wide: bool = False) -> str:
    """A PNG inside the page."""
    text = base64.b64encode(data).decode()
    kind = ' class="wide"' if wide else ""
    return (
        f'<figure{kind}><img src="data:image/png;base64,{text}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def write_page(path: Path, title: str, parts: Iterable[str], footer: str) -> None:
    """Write a page; the file appears whole or not at all."""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><main>'
        f"{''.join(parts)}<footer>{escape(footer)}</footer></main></body></html>\n"
    )
    write_whole(path, text)
