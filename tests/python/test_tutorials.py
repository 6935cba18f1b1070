"""The tutorials run as they are written, as notebooks in an empty folder, with shorter runs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from docs_site.notebooks import blocks, notebook

sys.path.pop(0)

#: What makes a tutorial short; each of these must be in it.
SHORTER = {
    "first_run": {"run         1000": "run 20", "default=1000": "default=20", "--time 5": "--time 0.1 --threshold 10"},
    "own_molecule": {
        "fmax=0.001": "fmax=0.2",
        "--frames 50": "--frames 2",
        "--html validation.html": "--only translation --html validation.html",
        "--dt 1 --dt 0.5 --dt 0.25 --time 2": "--dt 0.5 --time 0.2 --threshold 100",
        "--dt 0.5 --time 2": "--dt 0.5 --time 0.2 --threshold 100",
    },
    "water_two_ranks": {
        "run           10000": "run 500",
        "custom 100": "custom 50",
        "--out judged": "--out judged --threshold 1e4",
    },
    "mixed_systems": {"maxIterations=50": "maxIterations=2", "--steps 200": "--steps 20"},
    "training": {
        "--frames 500": "--frames 12",
        "--frames 100": "--frames 3",
        "--stride 20": "--stride 2",
        "validation: 50": "validation: 2",
        "steps: 1000": "steps: 4",
        "warmup: 100": "warmup: 1",
        "report_every: 250": "report_every: 2",
    },
}  # fmt: skip

#: What a tutorial needs beside LAMMPS, OpenMM and the plugins.
NEEDS = {
    "own_molecule": ("rdkit", "tblite"),
    "mixed_systems": ("openmmml", "mdtraj"),
    "training": ("lightning", "tblite"),
    "water_two_ranks": ("mdtraj",),
}


#: Tutorials that take less than a minute; the others run with the long tests.
QUICK = {"first_run"}


@pytest.mark.usefixtures("lammps_plugin", "openmm_plugin")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.long) for name in sorted(SHORTER)]
)
def test_tutorial_runs(repository, tmp_path, monkeypatch, name):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    text = (repository / f"docs/tutorials/{name}.md").read_text()
    for written, shorter in SHORTER[name].items():
        assert written in text
        text = text.replace(written, shorter)
    for variable, value in {"TRANSIP": str(repository), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}.items():
        monkeypatch.setenv(variable, value)
    cells = nbformat.from_dict(notebook(text))
    nbformat.validate(cells)
    # Raises the error of the first cell that fails.
    nbclient.NotebookClient(cells, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()


@pytest.mark.parametrize("name", sorted(SHORTER))
def test_notebooks_have_all_of_the_tutorial(repository, name):
    text = (repository / f"docs/tutorials/{name}.md").read_text()
    cells = notebook(text)["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    sources = [cell["source"] for cell in cells]
    for language, file, block in blocks(text):
        head = f"%%writefile {file}\n" if file else "%%bash\nset -euxo pipefail\n" if language == "sh" else ""
        assert any(source.startswith(head) and block.strip("\n") in source for source in sources), block
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    shown = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    for line in filter(str.strip, prose.splitlines()):
        assert line in shown
    assert json.dumps(cells)


def test_every_tutorial_is_run(repository):
    pages = {path.stem for path in (repository / "docs/tutorials").glob("*.md")}
    assert pages == set(SHORTER) | {"index"}


@pytest.mark.parametrize(
    ("tutorial", "example"),
    [
        ("first_run", "lammps/in.ethanol"),
        ("first_run", "openmm/ethanol.py"),
        ("mixed_systems", "openmm/solute_in_water.py"),
    ],
)
def test_tutorials_show_the_examples(repository, tutorial, example):
    found = blocks((repository / f"docs/tutorials/{tutorial}.md").read_text())
    assert (repository / "examples" / example).read_text() in [block for _, _, block in found]
