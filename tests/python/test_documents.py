"""Numbers quoted in documents are those of the records and JSON files behind them, rounded as they are quoted."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

import pytest

from transip_md.model.checkpoint import load_shipped

DOCS = Path(__file__).resolve().parents[2] / "docs"

#: Document, pattern with one group for each number, shipped model, what the checkpoint's record calls the numbers
#: (meV/Angstrom and meV/atom).
ERRORS = [
    ("docs/models.md", r"`ethanol`, tr.*?force MAE ([\d.]+) .*?energy MAE ([\d.]+)", "ethanol", "force_mae energy_mae"),
    ("docs/models.md", r"`water`, local.*?RMSE ([\d.]+) .*?energy MAE ([\d.]+)", "water", "force_rmse energy_mae"),
    (
        "docs/models.md",
        r"`organic`, all-to-all.*?force MAE ([\d.]+) .*?energy MAE ([\d.]+) .*?forces ([\d.]+) meV",
        "organic",
        "force_mae energy_mae rotation.force_mae",
    ),
    ("docs/models.md", r"energy MAE [\d.]+ meV/atom on ([\d,]+) held-out frames at 300 K; r", "organic", "structures"),
    ("README.md", r"\| `ethanol` \|.*?force MAE ([\d.]+) .*?energy MAE ([\d.]+)", "ethanol", "force_mae energy_mae"),
    ("README.md", r"\| `organic` \|.*?force MAE ([\d.]+) .*?energy MAE ([\d.]+)", "organic", "force_mae energy_mae"),
    ("README.md", r"\| `water` \|.*?force RMSE ([\d.]+) .*?energy MAE ([\d.]+)", "water", "force_rmse energy_mae"),
    (
        "recipes/ethanol/README.md",
        r"force MAE ([\d.]+) .*?force RMSE ([\d.]+) .*?energy MAE\s+([\d.]+)",
        "ethanol",
        "force_mae force_rmse energy_mae",
    ),
    (
        "recipes/water/README.md",
        r"force MAE ([\d.]+) and RMSE ([\d.]+) .*?energy MAE ([\d.]+) .*?of forces ([\d.]+) .*?energy ([\d.]+)",
        "water",
        "force_mae force_rmse energy_mae rotation.force_mae rotation.energy_mae",
    ),
    (
        "recipes/organic/README.md",
        r"data/test`\):\s+force MAE ([\d.]+) and RMSE ([\d.]+) .*?energy MAE ([\d.]+) .*?of forces ([\d.]+) "
        r".*?of the energy\s+([\d.]+)",
        "organic",
        "force_mae force_rmse energy_mae rotation.force_mae rotation.energy_mae",
    ),
    (
        "recipes/organic/README.md",
        r"after the parts: [\d., ]+ and ([\d.]+) .*?after the last four: [\d., ]+ and ([\d.]+)\. ",
        "organic",
        "force_mae rotation.force_mae",
    ),
    ("docs/performance.md", r"`organic` ([\d.]+) meV/Å over ([\d,]+) frames", "organic", "force_mae structures"),
    ("docs/performance.md", r"`water` ([\d.]+)\s+meV/Å \(RMSE ([\d.]+)\) on (\d+)", "water",
     "force_mae force_rmse structures"),
]  # fmt: skip

#: First cell of a row of a table of docs/performance.md, and what `transip-md bench` calls it.
LAYOUTS = {
    "**transip, LAMMPS**": "lammps",
    "transip, OpenMM (CPU platform)": "openmm",
    "transip, LAMMPS, `kernels torch` (TorchScript)": "lammps, kernels torch",
    "transip, LAMMPS, 2 ranks": "lammps, 2 ranks",
    "transip, ase (torch)": "ase",
    "GFN2-xTB": "gfn2-xtb",
    "NequIP": "nequip",
    "ANI-2x, 8 networks": "ani",
    "MACE, as MACE-OFF23 small": "mace",
    "eSEN, as esen-sm-conserving-all-omol": "esen",
    "DeePMD, compressed, LAMMPS": "deepmd",
}


def check(quoted: str, value: float, place: str) -> None:
    """The value, rounded to the digits that are quoted, is what is quoted."""
    plain = quoted.strip("* ").replace(",", "")
    decimals = len(plain.partition(".")[2])
    # Of a whole number with zeros at its end, three digits or more count.
    step = 10.0**-decimals if decimals else 10.0 ** max(0, len(plain) - max(3, len(plain.rstrip("0"))))
    assert abs(float(plain) - value) <= 0.5 * step * (1 + 1e-9), f"{place}: {quoted} is quoted, {value} was measured"


@pytest.mark.parametrize(("document", "pattern", "model", "names"), ERRORS)
def test_errors_are_those_of_the_checkpoints(repository, document, pattern, model, names):
    found = re.search(pattern, (repository / document).read_text(), flags=re.DOTALL)
    assert found, f"{document}: {pattern} matches nothing"
    for quoted, name in zip(found.groups(), names.split(), strict=True):
        value = load_shipped(model).training["held_out"]
        for key in name.split("."):
            value = value[key]
        check(quoted, value, f"{document}: {model}, {name}")


def measured(repository: Path, *parts: str) -> dict[tuple[str, str], float]:
    """Milliseconds a step by structure and layout; of a pair in several parts the first counts."""
    times: dict[tuple[str, str], float] = {}
    for part in parts:
        for line in json.loads((repository / f"benchmarks/speed/{part}.json").read_text())["lines"]:
            times.setdefault((line["structure"], line["layout"]), line["ms"])
    return times


@pytest.mark.parametrize(
    ("heading", "parts", "structures", "cells"),
    [
        ("## Molecules: `organic`", ["molecules"], ["ethanol", "3BPA"], 19),
        ("## Water: `water`", ["water", "large"], ["water 192", "water 1536", "water 12288"], 14),
    ],
)
def test_speeds_are_those_of_the_bench(repository, heading, parts, structures, cells):
    section = (repository / "docs/performance.md").read_text().split(heading)[1].split("\n## ")[0]
    times, checked = measured(repository, *parts), 0
    for row in re.findall(r"^\| (.+) \|$", section, flags=re.MULTILINE):
        name, *values = [cell.strip() for cell in row.split("|")]
        for structure, quoted in zip(structures, values, strict=False):
            if name in LAYOUTS and quoted:
                check(quoted, times[structure, LAYOUTS[name]], f"{name}, {structure}")
                checked += 1
            elif name == "transip, LAMMPS, `.pt2`" and quoted:
                check(quoted, measured(repository, "compiled")[structure, "lammps"], name)
                checked += 1
    assert checked == cells


def test_speeds_of_chains(repository):
    text = (repository / "docs/performance.md").read_text()
    found = re.search(
        r"101 atoms ([\d.]+) ms, 500 atoms ([\d.]+) ms, 2,000 atoms ([\d,]+) ms"
        r".*?TorchScript ([\d.]+), (\d+) and ([\d,]+)",
        text, flags=re.DOTALL,
    )  # fmt: skip
    assert found
    times = measured(repository, "chains")
    pairs = [(f"alkane {size}", layout) for layout in ("lammps", "model") for size in (101, 500, 2000)]
    for quoted, pair in zip(found.groups(), pairs, strict=True):
        check(quoted, times[pair], ", ".join(pair))


def test_accuracy_after_equal_time(repository):
    """The tables of docs/performance.md repeat errors of benchmarks/accuracy.json."""
    document = (repository / "docs/performance.md").read_text().split("## Speed at what accuracy")[1]
    entries = json.loads((repository / "benchmarks/accuracy.json").read_text())["entries"]
    assert len(entries) >= 8
    for entry in entries:
        force, energy = f"{entry['force_mae']:.1f}", f"{entry['energy_mae']:.2f}"
        assert re.search(rf"\| \**{re.escape(force)}\** \| \**{re.escape(energy)}\** \|", document), entry


def test_no_row_stands_twice(repository):
    """No row of a table stands twice in one document."""
    for path in [repository / "README.md", *(repository / "docs").glob("*.md")]:
        rows = [line for line in path.read_text().splitlines() if line.startswith("| `")]
        assert len(rows) == len(set(rows)), path


def test_nothing_points_outside_the_repository(repository):
    files = [repository / "Makefile", *repository.glob("benchmarks/*.md"), *repository.glob("benchmarks/*.py")]
    for path in files:
        assert "../shared" not in path.read_text() and "ROOT.parent" not in path.read_text(), path


@pytest.mark.parametrize("document", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_no_argument_is_explained_twice(document):
    """Tables of arguments, keywords and keys: the first cell of each row is its own."""
    rows, listing = [], False
    for line in document.read_text().splitlines():
        first = line.split("|")[1].strip() if line.startswith("|") else ""
        listing = bool(first) and (listing or first in ("argument", "keyword", "key"))
        rows += [first] if listing else []
    assert len([row for row in rows if row.startswith("`")]) == len({row for row in rows if row.startswith("`")})


#: First cell of a row about the library, and the record and number of atoms behind it.
LIBRARY_ROWS = {
    "ethanol, 9 atoms, 1 thread": ("library_ethanol", 9),
    "water, 192 atoms, 1 thread": ("library_water_1", 192),
    "water, 192 atoms, 2 threads": ("library_water_2", 192),
    "water, 1,536 atoms, 1 thread": ("library_water_1", 1536),
    "water, 1,536 atoms, 2 threads": ("library_water_2", 1536),
}


def test_speeds_of_the_library(repository):
    section = (repository / "docs/performance.md").read_text().split("## Threads, ASE")[1].split("\n## ")[0]
    rows = dict(row.split(" | ", 1) for row in re.findall(r"^\| (.+) \|$", section, flags=re.MULTILINE))
    for label, (part, atoms) in LIBRARY_ROWS.items():
        lines = json.loads((repository / f"benchmarks/speed/{part}.json").read_text())["lines"]
        times = {line["layout"]: line["ms"] for line in lines if line["atoms"] == atoms}
        for layout, quoted in zip(("lammps", "openmm", "ase", "model"), rows[label].split("|"), strict=True):
            if quoted.strip():
                check(quoted, times[layout], f"{label}, {layout}")
    ratios = json.loads((repository / "benchmarks/against_646de42.json").read_text())["water"].values()
    found = re.search(r"in turns: ([\d.]+), ([\d.]+) and ([\d.]+) of", section)
    assert found
    for quoted, ratio in zip(found.groups(), ratios, strict=True):
        check(quoted, ratio["ratio"], "against the commit before")
    start = json.loads((repository / "benchmarks/startup.json").read_text())
    found = re.search(r"ends in ([\d.]+) s, bare LAMMPS in ([\d.]+) s, and keeps (\d+) MB", section)
    assert found
    check(found[1], start["lmp, water.pt"]["seconds"], "start of lmp")
    check(found[2], start["lmp, bare"]["seconds"], "start of bare lmp")
    check(found[3], start["lmp, water.pt"]["megabytes"], "memory of lmp")


def test_threads_in_turns(repository):
    text = (repository / "docs/performance.md").read_text()
    rows = json.loads((repository / "benchmarks/threads.json").read_text())["rows"]
    assert [(row["atoms"], row["engine"]) for row in rows] == [
        (atoms, engine) for atoms in (192, 1536) for engine in ("lammps", "openmm", "ase")
    ]
    figures = r"([\d.]+), ([\d.]+) and ([\d.]+)"
    found = re.search(
        rf"192 atoms {figures} times as fast in LAMMPS, OpenMM and ASE, 1,536\natoms {figures}; "
        rf"by the fastest rounds of each {figures},\nand {figures}\.",
        text,
    )
    assert found
    for quoted, (row, name) in zip(
        found.groups(), ((row, name) for name in ("ratio", "fastest") for row in rows), strict=True
    ):
        check(quoted, row[name], f"{row['engine']}, {row['atoms']} atoms, two threads, {name}")


def test_calls_of_the_teacher(repository):
    text = (repository / "docs/uncertainty.md").read_text()
    record = json.loads((repository / "benchmarks/teacher_calls.json").read_text())
    first, *rows = record["rows"]
    check(re.search(r"\(`organic_broad` itself: ([\d.]+)\)", text)[1], first["force_mae"], "organic_broad")
    written = re.findall(r"^\| `(learn|sample)`(.*?) \| (\d+) \| ([\d,]+) \| ([\d.]+) \|$", text, flags=re.MULTILINE)
    assert [(how + more, int(labels), int(calls.replace(",", ""))) for how, more, labels, calls, _ in written] == [
        (row["source"], row["labels"], row["calls"]) for row in rows
    ]
    for *_, quoted in written:
        check(quoted, rows.pop(0)["force_mae"], "force MAE")
    found = re.search(
        r"flags (\d+) structures of ([\d,]+), .*? correlation of ([\d.]+) .*? area of ([\d.]+), "
        r"and\s+errors ([\d.]+) times",
        text,
        flags=re.DOTALL,
    )
    assert (int(found[1]), int(found[2].replace(",", ""))) == (record["flagged"], record["judged"])
    for quoted, name in zip(found.groups()[2:], ("spearman", "miscalibration", "scale"), strict=True):
        check(quoted, record["deviation"][name], name)


def test_public_sets(repository):
    """The table of docs/training.md repeats benchmarks/public.json."""
    section = (repository / "docs/training.md").read_text().split("| frames | start |")[1]
    rows = re.findall(r"^\| (\d+) \| (.*?) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", section, flags=re.MULTILINE)
    entries = [
        e for e in json.loads((repository / "benchmarks/public.json").read_text())["entries"] if e["set"] == "3bpa"
    ]
    assert len(rows) == len(entries)
    for frames, start, *quoted in rows:
        shipped = re.match(r"`(\w+)`", start)
        name = shipped[1] if shipped else "none"
        steps = re.search(r"([\d,]+) steps", start)
        wanted = (int(frames), name, int(steps[1].replace(",", "")) if steps else 5000)
        (entry,) = [e for e in entries if (e["frames"], e["start"], e["steps"]) == wanted]
        for error, part in zip(quoted, ("300 K", "600 K", "1200 K"), strict=True):
            check(error, entry["parts"][part]["force_rmse"], f"3BPA, {start}, {part}")


def test_learned_symmetry_on_many_molecules(repository):
    """The table of docs/training.md holds the means over seeds of benchmarks/learned_symmetry_broad.json."""
    entries = json.loads((repository / "benchmarks/learned_symmetry_broad.json").read_text())["entries"]
    models = {"plain RoPE": "rope", "radial bias": "radial"}
    objectives = {
        "augmentation alone": "augmentation",
        "+ pooled, contrastive": "contrastive",
        "then views that must agree": "consistency",
    }
    text = (repository / "docs/training.md").read_text()
    rows = re.findall(
        rf"^\| ([\d,]+) \| ([\d,]+) \| ({'|'.join(models)}) \| ({'|'.join(map(re.escape, objectives))}) \| (.+) \|$",
        text, re.MULTILINE,
    )  # fmt: skip

    def what(entry):
        run = entry["run"]
        return entry["frames"], run["steps"], run["model"], run["objective"]

    assert len(rows) == len({what(entry) for entry in entries})
    for frames, steps, model, objective, cells in rows:
        wanted = (int(frames.replace(",", "")), int(steps.replace(",", "")), models[model], objectives[objective])
        errors = [entry["held_out"] for entry in entries if what(entry) == wanted]
        *quoted, seeds = cells.split(" | ")
        assert len(errors) == int(seeds), f"{steps} steps, {model}, {objective}"
        columns = (
            [error["force_mae"] for error in errors],
            [error["rotation"]["force_mae"] for error in errors],
            [error["energy_mae"] for error in errors],
        )
        for figure, values in zip(quoted, columns, strict=True):
            mean, _, spread = figure.partition(" ± ")
            check(mean, statistics.mean(values), f"{steps} steps, {model}, {objective}")
            assert bool(spread) == (len(values) > 1)
            if spread:
                check(spread, (max(values) - min(values)) / 2, f"spread after {steps} steps, {model}, {objective}")


@pytest.mark.parametrize("name", ["organic_broad", "organic_large"])
def test_molecules_that_were_never_seen(repository, name):
    """The cards repeat benchmarks/unseen_MODEL.json."""
    molecules = json.loads((repository / f"benchmarks/unseen_{name}.json").read_text())["molecules"]
    card = (repository / f"recipes/{name}/README.md").read_text()
    found = re.search(
        r"wrong by ([\d.]+) kcal/mol in the mean of (\d+),.*?drifts by ([\d.]+) meV/atom/ps\n"
        r"  over 100 ps in the median, ([\d.]+) at most",
        card, flags=re.DOTALL,
    )  # fmt: skip
    assert found and len(molecules) == 20 and not any(molecule["exploded"] for molecule in molecules)
    torsions = [error for molecule in molecules for error in molecule["torsions_kcal"]]
    drifts = [abs(molecule["drift"]) for molecule in molecules]
    numbers = statistics.mean(torsions), len(torsions), statistics.median(drifts), max(drifts)
    for quoted, number in zip(found.groups(), numbers, strict=True):
        check(quoted, number, f"{name} on unseen molecules")


def test_times_of_the_kernels(repository):
    assert (repository / "benchmarks/kernels.md").read_text() in (repository / "docs/kernels.md").read_text()


def test_what_consistency_brought_is_what_the_card_says(repository):
    """Of the fourth part of `organic`, whose checkpoint was the first edition."""
    card = (repository / "recipes/organic/README.md").read_text()
    text = (repository / "docs/training.md").read_text()
    parts = re.search(r"after the parts: [\d.]+, [\d.]+, ([\d.]+), ([\d.]+),", card)
    rotation = re.search(r"after the last four: ([\d.]+), ([\d.]+),", card)
    energy = re.search(r"The first edition has [\d., ]+ and ([\d.]+):", card)
    forces = re.search(r"forces from ([\d.]+) to ([\d.]+) .*?energy's from [\d.]+ to ([\d.]+)", text, flags=re.DOTALL)
    error = re.search(r"force MAE went from ([\d.]+) to ([\d.]+)", text)
    assert parts and rotation and energy and forces and error
    for quoted, number in zip(
        (*forces.groups(), *error.groups()), (*rotation.groups(), energy[1], *parts.groups()), strict=True
    ):
        check(quoted, float(number), "docs/training.md")
