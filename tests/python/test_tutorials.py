"""The tutorials run as they are written, in an empty folder, with shorter runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

#: A fenced block of a tutorial, with its language and the file that it is, if any.
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', flags=re.DOTALL | re.MULTILINE)

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


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(SHORTER))
@pytest.mark.usefixtures("lammps_plugin", "openmm_plugin")
def test_tutorial_runs(repository, tmp_path, name):
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    text = (repository / f"docs/tutorials/{name}.md").read_text()
    for written, shorter in SHORTER[name].items():
        assert written in text
        text = text.replace(written, shorter)
    environment = os.environ | {
        "TRANSIP": str(repository),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
    }
    for language, file, block in BLOCK.findall(text):
        if file:
            (tmp_path / file).write_text(block)
        elif language == "sh":
            command = ["bash", "-euxo", "pipefail", "-c", block]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
            assert done.returncode == 0, f"{block}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


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
    blocks = BLOCK.findall((repository / f"docs/tutorials/{tutorial}.md").read_text())
    assert (repository / "examples" / example).read_text() in [block for _, _, block in blocks]
