"""What accuracy an hour buys: `python benchmarks/accuracy.py DATA`, or some of its parts by name after that.

ethanol  PBE/def2-SVP, 1,000 frames to train on, 1,000 held out: `organic`'s network beside ANI, NequIP, MACE and eSEN
water    PBE0+TS, 360 frames of 192 atoms to train on, 40 held out: `water`'s network beside DeePMD and MACE

Every potential, as `transip-md bench` times it, is trained on the same frames for the same processor time of one thread
from random weights, and measured on the same held-out frames. DATA is a folder with ethanol_pbe_train.extxyz.xz and
ethanol_pbe_test.extxyz.xz (BOTNet-datasets, arXiv 2205.06643) and water_pbe0_periodic.extxyz.xz (deepmd-kit's example
of water). Two run at a time (`--jobs`). Each result is written to benchmarks/accuracy.json when it is there and is not
made again until it is deleted; benchmarks/accuracy.md is made of all of them. Baselines are installed by the first run
that wants them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import ase.io
import yaml
from rich.console import Console

from baselines.catalogue import BASELINES
from baselines.environments import RUNNERS, clean_environment, make_ready, python_of
from transip_md.bench.run import machine_facts
from transip_md.data.structures import read_frames

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TRAINERS = HERE / "trainers"
RESULTS = HERE / "accuracy.json"
OURS = "transip"
#: Steps of the short runs that tell how many the time holds.
SHORT, LONG = 100, 300
console = Console(width=120)


@dataclass(frozen=True)
class Part:
    """What is trained on the same frames.

    Attributes:
        recipe: of ours, below recipes/: the network, the objective and the learning rate.
        settings: of the recipe that are others here.
        baselines: beside ours.
        seconds: of processor time, each.
        labels: level of theory.
    """

    recipe: str
    settings: dict[str, Any]
    baselines: tuple[str, ...]
    seconds: float
    labels: str


PARTS = {
    "ethanol": Part(
        "organic", {"batch_atoms": 90, "compile": False, "validation": 20},
        ("mace", "esen", "nequip", "ani"), 600.0, "PBE/def2-SVP",
    ),
    "water": Part("water", {}, ("deepmd", "mace"), 1500.0, "PBE0+TS"),
}  # fmt: skip


def frames_of(part: str, data: Path) -> tuple[list[ase.Atoms], list[ase.Atoms]]:
    """Frames to train on and frames held out; of water those that the shipped model was tested on."""
    if part == "ethanol":
        return tuple(read_frames(data / f"ethanol_pbe_{name}.extxyz.xz") for name in ("train", "test"))
    spec = importlib.util.spec_from_file_location("split", ROOT / "recipes" / "water" / "split.py")
    split = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(split)
    frames = read_frames(data / "water_pbe0_periodic.extxyz.xz")
    return tuple([frames[row] for row in rows] for rows in split.rows(len(frames)))


def train_baseline(name: str, task: dict[str, Any], folder: Path, log: Path) -> dict[str, Any]:
    """Train a baseline in its environment."""
    (folder / "task.json").write_text(json.dumps({**task, "answer": str(folder / "answer.json")}))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = clean_environment({**threads, "PYTHONPATH": f"{RUNNERS}:{TRAINERS}"})
    command = [str(python_of(BASELINES[name])), str(TRAINERS / f"train_{name}.py"), "task.json"]
    run(command, folder, environment, log)
    return json.loads((folder / "answer.json").read_text())


def train_ours(part: Part, task: dict[str, Any], folder: Path, log: Path) -> dict[str, Any]:
    """Train ours by `transip-md train`, as many steps as the time holds."""
    from transip_md.model.checkpoint import load_checkpoint

    recipe = yaml.safe_load((ROOT / "recipes" / part.recipe / "train.yaml").read_text())
    settings = dict(part.settings)
    validation = settings.pop("validation", recipe["data"]["validation"])
    recipe |= settings
    recipe["data"] = {
        **recipe["data"], "train": [task["train"]], "test": [task["test"]], "validation": validation,
        "description": Path(task["train"]).name, "level_of_theory": part.labels,
    }  # fmt: skip
    config = folder / "train.yaml"

    def seconds(steps: int, output: Path) -> float:
        config.write_text(yaml.safe_dump({**recipe, "steps": steps, "report_every": max(SHORT, steps // 20)}))
        command = [str(Path(sys.executable).parent / "transip-md"), "train", str(config), "-o", str(output)]
        # What one run has compiled is not there for the next, so that all pay for it.
        compiled = {"TORCHINDUCTOR_CACHE_DIR": str(folder / f"compiled_{steps}")}
        return run(command, folder, {**os.environ, **compiled, "OMP_NUM_THREADS": "1"}, log)

    short, long = (seconds(steps, folder / f"{steps}.ckpt") for steps in (SHORT, LONG))
    steps = int((task["seconds"] - short) / (long - short) * (LONG - SHORT)) + SHORT
    used = seconds(steps, folder / "model.ckpt")
    held_out = load_checkpoint(folder / "model.ckpt").training["held_out"]
    return {**held_out, "steps": steps, "seconds": used}


def run(command: list[str], folder: Path, environment: dict[str, str], log: Path) -> float:
    """Run a command into a log.

    Returns:
        Its processor time, s.
    """
    with log.open("a") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = "\n".join(log.read_text(errors="replace").splitlines()[-6:])
        raise RuntimeError(f"Exit {process.returncode} of {' '.join(command)}:\n{said}\nAll of it: {log}")
    return usage.ru_utime + usage.ru_stime


def train_one(part: str, name: str, data: Path, logs: Path) -> dict[str, Any]:
    """Train one potential on one part's frames and measure it."""
    settings = PARTS[part]
    log = logs / f"{part}_{name}.log"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        task = {"seconds": settings.seconds, "seed": 1, "periodic": part == "water"}
        for key, frames in zip(("train", "test"), frames_of(part, data), strict=True):
            ase.io.write(folder / f"{key}.extxyz", frames)
            task[key] = str(folder / f"{key}.extxyz")
        found = train_ours(settings, task, folder, log) if name == OURS else train_baseline(name, task, folder, log)
    kept = ("force_mae", "force_rmse", "energy_mae", "steps", "seconds")
    of_all = {"part": part, "potential": name, "processor": machine_facts()["processor"]}
    return {**of_all, **{key: found[key] for key in kept}}


def report(entries: list[dict[str, Any]]) -> str:
    """All results, as Markdown."""
    lines = [
        "# What accuracy so much training buys",
        "",
        "Made by `python benchmarks/accuracy.py DATA`; docs/performance.md explains it.",
    ]
    for part, settings in PARTS.items():
        mine = sorted((entry for entry in entries if entry["part"] == part), key=lambda entry: entry["force_mae"])
        if not mine:
            continue
        processors = " and ".join(sorted({entry["processor"] for entry in mine}))
        time = f"{settings.seconds:.0f} s of processor time each ({processors})"
        lines += ["", f"## {part}: {settings.labels}, {time}", ""]
        lines += [
            "| potential | force MAE, meV/A | force RMSE, meV/A | energy MAE, meV/atom | steps | seconds |",
            "|---|---|---|---|---|---|",
        ]
        for entry in mine:
            lines.append(
                f"| {entry['potential']} | {entry['force_mae']:.1f} | {entry['force_rmse']:.1f} | "
                f"{entry['energy_mae']:.2f} | {entry['steps']:,} | {entry['seconds']:.0f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train what is asked for and not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all if left out")
    parser.add_argument("--jobs", type=int, default=2, help="how many are trained at a time")
    parser.add_argument("--logs", type=Path, default=Path("accuracy_logs"), help="folder for what they print")
    options = parser.parse_args()
    if unknown := sorted(set(options.parts) - set(PARTS)):
        parser.error(f"no part is called {', '.join(unknown)}; choose of {', '.join(PARTS)}")
    options.logs.mkdir(exist_ok=True, parents=True)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"entries": []}
    there = {(entry["part"], entry["potential"]) for entry in found["entries"]}
    wanted = [(part, name) for part in options.parts or PARTS for name in (OURS, *PARTS[part].baselines)]
    wanted = [pair for pair in wanted if pair not in there]
    # The longest first.
    wanted.sort(key=lambda pair: -PARTS[pair[0]].seconds)
    for name in {name for _, name in wanted} - {OURS}:
        make_ready(BASELINES[name], lambda line: console.print(line, soft_wrap=True))
    lock = threading.Lock()

    def one(pair: tuple[str, str]) -> None:
        console.print(f"{pair[0]}: {pair[1]} ...")
        entry = train_one(*pair, options.data.resolve(), options.logs.resolve())
        with lock:
            found["entries"].append(entry)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            (HERE / "accuracy.md").write_text(report(found["entries"]))
        console.print(f"{pair[0]}: {pair[1]}: force MAE {entry['force_mae']:.1f} meV/A")

    with ThreadPoolExecutor(options.jobs) as pool:
        for future in [pool.submit(one, pair) for pair in wanted]:
            future.result()
    console.print(report(found["entries"]), markup=False)


if __name__ == "__main__":
    main()
