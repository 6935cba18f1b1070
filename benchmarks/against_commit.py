"""This tree's LAMMPS plugin against that of another commit, in turns, on one thread: water of several sizes.

    python benchmarks/against_commit.py COMMIT [--rounds 7] [--seconds 3] [-o against.json]

Both evaluate the first edition of `water` (benchmarks/models), which older commits know too. They are compiled (two
minutes each), and decks load each plugin by its path, so that any commit since libtransip can be
compared. Each round runs both, one after the other, and gives one ratio; what is printed is the median of the ratios.
Times are processor times, on one thread of an idle machine those of the clock: others who use the machine disturb them
little.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from transip_md.exporting.export import export
from transip_md.model.checkpoint import load_checkpoint
from transip_md.plugins.build import find_tool

REPOSITORY = Path(__file__).resolve().parent.parent
FIRST_WATER = REPOSITORY / "benchmarks" / "models" / "water_first.ckpt"
REPLICAS = {192: "1 1 1", 1536: "2 2 2", 12288: "4 4 4"}
DECK = """plugin load {plugin}
units metal
atom_style atomic
boundary p p p
read_data water.data
replicate {replicas}
neighbor 2.0 bin
pair_style transip water.pt check no
pair_coeff * * H O
velocity all create 300 1 loop geom
fix 1 all nve
timestep 0.0005
run {warmup}
run {steps}
"""


def step(folder: Path, plugin: Path, atoms: int, steps: int) -> float:
    """Processor seconds of a step of LAMMPS."""
    deck = DECK.format(plugin=plugin, replicas=REPLICAS[atoms], warmup=max(2, steps // 5), steps=steps)
    (folder / "in.water").write_text(deck)
    command = [str(find_tool("lmp")), "-in", "in.water", "-log", "none"]
    # An empty cache: the plugin that LAMMPS would load by itself must not be there beside the one of the deck.
    cache = {"LAMMPS_PLUGIN_PATH": "", "TRANSIP_MD_CACHE": str(folder / "empty")}
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | cache
    said = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    loops, shares = (re.findall(what, said.stdout) for what in (r"Loop time of (\S+) on", r"([\d.]+)% CPU use"))
    if said.returncode or len(loops) != 2:
        raise SystemExit(said.stdout[-2000:] + said.stderr)
    return float(loops[-1]) * float(shares[-1]) / 100 / steps


def build(tree: Path, folder: Path) -> Path:
    """The LAMMPS plugin of a source tree, compiled in a folder."""
    options = [f"-DPython3_EXECUTABLE={sys.executable}", "-DTRANSIP_OPENMM=OFF"]
    cmake = str(find_tool("cmake"))
    subprocess.run([cmake, "-S", tree, "-B", folder, "-G", "Ninja", *options], check=True)
    subprocess.run([cmake, "--build", folder, "--target", "transip_lammps"], check=True)
    return folder / "lammps" / "transipplugin.so"


def main() -> None:
    """Build, measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("commit")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=float, default=3.0, help="of each run")
    options.add_argument("-o", "--out", type=Path, help="JSON file to write")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = folder / "tree"
        git = ["git", "-C", str(REPOSITORY), "worktree"]
        subprocess.run([*git, "add", "--detach", tree, chosen.commit], check=True)
        try:
            there, here = build(tree, folder / "there"), build(REPOSITORY, folder / "here")
            data = REPOSITORY / "examples" / "lammps" / "water.data"
            (folder / "water.data").write_text(data.read_text())
            export(load_checkpoint(FIRST_WATER), folder / "water.pt", "float32")
            rows = {}
            for atoms in REPLICAS:
                steps = max(5, int(chosen.seconds / step(folder, here, atoms, 5)))
                pairs = [
                    (step(folder, there, atoms, steps), step(folder, here, atoms, steps)) for _ in range(chosen.rounds)
                ]
                rows[atoms] = {
                    "there_ms": 1000 * statistics.median(old for old, _ in pairs),
                    "here_ms": 1000 * statistics.median(new for _, new in pairs),
                    "ratio": statistics.median(new / old for old, new in pairs),
                }
                print(f"{atoms:6} atoms: {rows[atoms]['there_ms']:8.3f} -> {rows[atoms]['here_ms']:8.3f} ms, "
                      f"ratio {rows[atoms]['ratio']:.3f}", flush=True)  # fmt: skip
        finally:
            subprocess.run([*git, "remove", "--force", tree], check=False)
    if chosen.out:
        chosen.out.write_text(json.dumps({"commit": chosen.commit, "water": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
