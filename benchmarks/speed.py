"""How long a step takes, beside what one would use instead: `python benchmarks/speed.py`, or some of its parts by name.

molecules  ethanol and 3BPA: `organic` in every engine, by native kernels and by torch's, beside GFN2-xTB, ANI, NequIP,
           MACE and eSEN
compiled   ethanol: the compiled form of `organic` in LAMMPS
water      192 and 1,536 atoms: `water` in every engine, on one and two ranks, beside DeePMD and MACE
large      192 and 12,288 atoms of water in LAMMPS, on one and two ranks: how the cost grows
chains     alkanes of 101, 500 and 2,000 atoms: `organic`, which attends all-to-all

Weights are float32, one thread (and one a rank), 0.5 fs from 300 K; each number is the median of `--rounds` runs, which
take turns. Leave the machine alone meanwhile. Each part is written to benchmarks/speed/PART.json when it is done and
replaces what was there; benchmarks/speed.md is made of all that are there. Baselines are installed by the first run
that wants them, 10 GB in all; without them: `--no-baselines`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ase
import ase.io
import numpy as np
from rich.console import Console

from baselines import register
from baselines.catalogue import BASELINES
from transip_md.bench.run import Results, layouts_of, measure
from transip_md.exporting.export import export
from transip_md.model.checkpoint import load_shipped

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "speed"
console = Console(width=120)


def molecules() -> dict[str, ase.Atoms]:
    """Ethanol and 3BPA, 3-(benzyloxy)pyridin-2-amine."""
    return {
        "ethanol": ase.io.read(ROOT / "examples" / "ethanol.xyz"),
        "3BPA": ase.io.read(HERE / "structures" / "3bpa.xyz"),
    }


def water(*repeats: int) -> dict[str, ase.Atoms]:
    """The 192 atoms of the example, so many times along each axis."""
    box = ase.io.read(ROOT / "examples" / "openmm" / "water.pdb")
    return {f"water {len(box) * times**3}": box.repeat(times) for times in repeats}


def alkane(carbons: int) -> ase.Atoms:
    """A stretched chain; bonds of 1.53 and 1.09 Angstrom, angles of a tetrahedron."""
    half = np.arccos(-1.0 / 3.0) / 2.0
    along, across = 1.53 * np.sin(half), 1.53 * np.cos(half)
    places = [np.array([i * along, 0.0, across * (i % 2)]) for i in range(carbons)]
    hydrogens = []
    for i, place in enumerate(places):
        up = 1.0 if i % 2 else -1.0
        hydrogens += [place + 1.09 * np.array([0.0, side * np.sin(half), up * np.cos(half)]) for side in (-1.0, 1.0)]
    for end, sign in ((0, -1.0), (carbons - 1, 1.0)):
        back = -1.0 if end % 2 else 1.0
        hydrogens.append(places[end] + 1.09 * np.array([sign * np.sin(half), 0.0, back * np.cos(half)]))
    return ase.Atoms(f"C{carbons}H{2 * carbons + 2}", places + hydrogens)


@dataclass(frozen=True)
class Part:
    """What is measured together; arguments as those of `transip_md.bench.run`."""

    model: str
    structures: Callable[[], dict[str, ase.Atoms]]
    targets: tuple[str, ...]
    ranks: tuple[int, ...] = (1,)
    kernels: tuple[str, ...] = ("auto",)
    baselines: tuple[str, ...] = ()
    form: str = "torchscript"
    #: Whether the call alone is timed too, from Python: minutes for each round of the largest box.
    bare: bool = True


PARTS = {
    "molecules": Part(
        "organic", molecules, ("ase", "lammps", "openmm"), kernels=("auto", "torch"),
        baselines=("gfn2-xtb", "ani", "nequip", "mace", "esen"),
    ),
    "compiled": Part(
        "organic", lambda: {"ethanol": molecules()["ethanol"]}, ("lammps",), form="aoti",
    ),
    "water": Part(
        "water", lambda: water(1, 2), ("ase", "lammps", "openmm"), ranks=(1, 2), baselines=("deepmd", "mace"),
    ),
    "large": Part("water", lambda: water(1, 4), ("lammps",), ranks=(1, 2), bare=False),
    "chains": Part(
        "organic", lambda: {f"alkane {3 * n + 2}": alkane(n) for n in (33, 166, 666)}, ("lammps", "openmm"),
    ),
}  # fmt: skip


def run(part: Part, *, baselines: bool, rounds: int, seconds: float) -> Results:
    """Measure one part."""
    wanted = part.baselines if baselines else ()
    for name in wanted:
        if name in BASELINES:
            BASELINES[name].make_ready(lambda line: console.print(line, soft_wrap=True))
    layouts = layouts_of(list(part.targets), list(part.ranks), wanted, part.kernels)
    if not part.bare:
        layouts = [layout for layout in layouts if layout.target != "model"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{part.model}{'.pt2' if part.form == 'aoti' else '.pt'}"
        export(load_shipped(part.model), file, "float32", form=part.form)
        return measure(file, part.structures(), layouts, rounds=rounds, seconds=seconds, say=console.print)


HEADINGS = ("structure", "in", "ms a step", "spread", "over the model call", "x floor", "ns/day", "atom-steps/s", "MB")


def report() -> str:
    """All parts that are there, as Markdown."""
    lines = [
        "# How long a step takes",
        "",
        "Made by `python benchmarks/speed.py`; docs/performance.md explains it.",
    ]
    for name in PARTS:
        file = RESULTS / f"{name}.json"
        if not file.exists():
            continue
        found = json.loads(file.read_text())
        machine = found["machine"]
        lines += ["", f"## {name}: {found['model']}", ""]
        lines += [
            f"{machine['processor']}, {found['threads']} thread; torch {machine['torch']}, LAMMPS {machine['lammps']}, "
            f"OpenMM {machine['openmm']}; float32 matrix products {found['rate'] / 1e9:.0f} GFLOP/s.",
            "",
            f"| {' | '.join(HEADINGS)} |",
            "|" + "---|" * len(HEADINGS),
        ]
        for line in found["lines"]:
            over = "" if line["over_model"] is None else f"{100 * line['over_model']:+.0f} %"
            floor = "" if line["floor"] is None else f"{line['floor']:.1f}"
            spread = f"± {50 * (line['slowest'] - line['fastest']) / line['ms']:.0f} %"
            cells = (
                line["structure"], line["layout"], f"{line['ms']:.3g}", spread, over, floor,
                f"{line['ns_per_day']:.3g}", f"{line['atom_steps']:.3g}", f"{line['memory']:.0f}",
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
        if found["exponent"]:
            grown = ", ".join(f"{layout}: {exponent:.3f}" for layout, exponent in found["exponent"].items())
            lines += ["", f"Exponent of the cost against atoms: {grown}."]
        for gap in found["gaps"]:
            lines += ["", f"Not measured: {gap['baseline']}{' on ' + gap['structure'] if gap['structure'] else ''}: "]
            lines[-1] += gap["reason"].splitlines()[0]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all if left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="about how long one run takes")
    parser.add_argument("--no-baselines", action="store_true")
    options = parser.parse_args()
    if unknown := sorted(set(options.parts) - set(PARTS)):
        parser.error(f"no part is called {', '.join(unknown)}; choose of {', '.join(PARTS)}")
    register()
    RESULTS.mkdir(exist_ok=True)
    for name in options.parts or list(PARTS):
        results = run(PARTS[name], baselines=not options.no_baselines, rounds=options.rounds, seconds=options.seconds)
        results.write(RESULTS / f"{name}.json")
        (HERE / "speed.md").write_text(report())
    console.print(report(), markup=False)


if __name__ == "__main__":
    main()
