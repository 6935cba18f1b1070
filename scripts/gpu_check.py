"""Everything that a CUDA device is needed for, in five minutes, what is worth most first; called by gpu_check.sh.

    python scripts/gpu_check.py -o results      # on the machine with the device, in the environment of gpu_check.sh
    python scripts/gpu_check.py --dry-run       # the plan

Every part writes ``results/NAME.json`` as soon as it ends, so that a check that is cut off keeps what it had. The files
are committed under ``benchmarks/cuda/``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
#: Processes of `test_gpu` at a time: most of their time is NVRTC's, on one core each.
PARITY_PARTS = 6
#: Lines of a command's output that its JSON keeps.
KEPT_LINES = 40
#: Metrics of Nsight Compute: time, registers, warps that are active, use of memory and of the float32 units.
METRICS = (
    "gpu__time_duration.sum",
    "launch__registers_per_thread",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed",
)


@dataclass(frozen=True)
class Command:
    """A command of a part.

    Attributes:
        words: the command; ``{build}``, ``{out}``, ``{python}`` and ``{repository}`` stand for folders and this Python.
        environment: variables beside those that are there.
    """

    words: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A part of the check.

    Attributes:
        name: of its JSON file.
        title: what it shows.
        seconds: after which it is stopped.
        commands: run one after another, or at once.
        read: what its JSON takes from the output of all commands.
        at_once: the commands run side by side.
        tool: a program that is not everywhere; the part is skipped without it.
        files: what the commands write beside the part's own JSON.
    """

    name: str
    title: str
    seconds: int
    commands: tuple[Command, ...]
    read: Callable[[str, Path], Any] = lambda output, out: None
    at_once: bool = False
    tool: str | None = None
    files: tuple[str, ...] = ()


# ---- what is read from the output ----------------------------------------------------------------------------------


def read_verdicts(output: str, out: Path) -> list[dict[str, Any]]:
    """Lines of test_gpu: "PASS NAME: difference X of Y", or FAIL."""
    del out
    lines = re.findall(r"^(PASS|FAIL) (.*): difference (\S+) of ([\d.e+-]+)(.*)$", output, re.MULTILINE)
    return [
        {
            "case": case,
            "passed": verdict == "PASS",
            "difference": difference,
            "allowed": float(allowed),
            "same_bits": not rest,
        }
        for verdict, case, difference, allowed, rest in lines
    ]


def read_plans(output: str, out: Path) -> list[dict[str, Any]]:
    """Lines of `test_gpu times`: "TIME NAME: one launch X ms, many launches Y ms"."""
    del out
    lines = re.findall(r"^TIME (.*): one launch (\S+) ms, many launches (\S+) ms$", output, re.MULTILINE)
    return [{"case": case, "one_launch_ms": float(one), "many_launches_ms": float(many)} for case, one, many in lines]


def read_sanitizer(output: str, out: Path) -> list[str]:
    """The summary of compute-sanitizer, and the first errors."""
    del out
    return [line for line in output.splitlines() if line.startswith("=========")][-KEPT_LINES:]


def read_measured(output: str, out: Path) -> list[dict[str, Any]]:
    """The table that tests/gpu prints: name, value, largest allowed, unit, verdict."""
    del out
    rows = re.findall(r"^(.+?)  +(\S+)  <= +(\S+)  (.+?) +(PASS|FAIL)$", output, re.MULTILINE)
    return [
        {"check": name.strip(), "value": value, "allowed": allowed, "unit": unit.strip(), "passed": verdict == "PASS"}
        for name, value, allowed, unit, verdict in rows
    ]


def read_json(*names: str) -> Callable[[str, Path], dict[str, Any]]:
    """What commands wrote into files of the results, by name."""

    def read(output: str, out: Path) -> dict[str, Any]:
        del output
        return {name: json.loads((out / name).read_text()) for name in names if (out / name).is_file()}

    return read


def read_nve(output: str, out: Path) -> dict[str, Any]:
    """What `transip-md nve` measured, by the folder of a run."""
    del output
    return {str(file.parent.relative_to(out)): json.loads(file.read_text()) for file in out.glob("nve-*/nve.json")}


def read_kernels(output: str, out: Path) -> list[dict[str, Any]]:
    """Mean of each metric by kernel from Nsight Compute's CSV, the kernel that takes most first."""
    del out
    import csv

    lines = [line for line in output.splitlines() if line.startswith('"')]
    sums: dict[str, dict[str, list[float]]] = {}
    for row in csv.DictReader(lines):
        value = row.get("Metric Value", "").replace(",", "")
        if re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", value):
            sums.setdefault(row["Kernel Name"], {}).setdefault(row["Metric Name"], []).append(float(value))
    rows = [
        {"kernel": kernel, "launches": max(map(len, metrics.values()))}
        | {name: sum(values) / len(values) for name, values in metrics.items()}
        for kernel, metrics in sums.items()
    ]
    return sorted(rows, key=lambda row: -row["launches"] * row.get(METRICS[0], 0.0))


# ---- the parts, what is worth most first ---------------------------------------------------------------------------


def test_gpu(*options: str) -> Command:
    """The C++ program that compares whole steps on the device with the CPU's kernels."""
    return Command(("{build}/test_gpu", *options))


def bench(name: str, model: str, structure: str, *options: str) -> Command:
    """`transip-md bench` on the device, float32, into NAME.json."""
    return Command(
        (
            "transip-md", "bench", "{out}/" + model, "{repository}/examples/" + structure, "--device", "cuda",
            "--seconds", "0.5", "--rounds", "2", "--json", "{out}/" + name, *options,
        )
    )  # fmt: skip


def nve(model: str, structure: str, name: str) -> Command:
    """10 ps at 0.5 fs in LAMMPS by native kernels."""
    files = ("{out}/" + model, "{repository}/examples/" + structure, "--out", "{out}/" + name)
    settings = ("--engine", "lammps", "--time", "10", "--dt", "0.5", "--temperature", "300", "--device", "cuda")
    return Command(("transip-md", "nve", *files, *settings), {"TRANSIP_KERNELS": "native"})


def pytest(*files: str) -> Command:
    """Tests of tests/gpu."""
    paths = ("{repository}/tests/gpu/" + file for file in files)
    return Command(("{python}", "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *paths))


def export(name: str, dtype: str) -> Command:
    """A shipped model as a file."""
    return Command(("transip-md", "export", name, "-o", "{out}/" + f"{name}-{dtype}.pt", "--dtype", dtype))


def times(kernels: str, *repeats: int) -> tuple[Command, ...]:
    """Times of a step by these kernels: ethanol in LAMMPS and OpenMM, water of several sizes."""
    sizes = tuple(word for repeat in repeats for word in ("--repeat", str(repeat)))
    by = ("--kernels", kernels)
    ethanol, water = ("ethanol-float32.pt", "ethanol.xyz"), ("water-float32.pt", "openmm/water.pdb")
    return (
        bench(f"ethanol_{kernels}.json", *ethanol, "--engine", "lammps,openmm", *by),
        bench(f"water_{kernels}.json", *water, "--engine", "lammps", *by, *sizes),
        platform(kernels, *repeats),
    )


def platform(kernels: str, *repeats: int) -> Command:
    """Times of a step of water on OpenMM's CUDA platform."""
    sizes = (word for repeat in repeats for word in ("--repeat", str(repeat)))
    files = (
        "{out}/water-float32.pt",
        "{repository}/examples/openmm/water.pdb",
        "--json",
        "{out}/" + f"platform_{kernels}.json",
    )
    script = "{repository}/benchmarks/cuda/openmm_platform.py"
    return Command(("{python}", script, *files, "--seconds", "0.5", *sizes), {"TRANSIP_KERNELS": kernels})


def sanitizer(tool: str) -> Command:
    """A tool of compute-sanitizer on two small structures."""
    return Command(("compute-sanitizer", "--tool", tool, "--error-exitcode", "9", "{build}/test_gpu", "--few"))


def kernels_of_a_step() -> Command:
    """Nsight Compute on some steps of 12,288 atoms, after those that search and capture."""
    profiler = ("ncu", "--csv", "--print-units", "base", "--target-processes", "all", "--launch-skip", "100")
    profiled = bench("ncu_bench.json", "water-float32.pt", "openmm/water.pdb", "--repeat", "4", "--engine", "lammps")
    return Command(
        (*profiler, "--launch-count", "120", "--metrics", ",".join(METRICS), *profiled.words, "--kernels", "native")
    )


PARITY = tuple(test_gpu("--part", str(part), str(PARITY_PARTS)) for part in range(PARITY_PARTS))
EXPORTS = tuple(export(name, dtype) for name in ("ethanol", "water") for dtype in ("float32", "float64"))
NVE = (
    nve("ethanol-float64.pt", "ethanol.xyz", "nve-ethanol"),
    nve("water-float32.pt", "openmm/water.pdb", "nve-water"),
)
PLATFORM, ARRAYS, TORCH = pytest("test_openmm_platform.py"), pytest("test_native_arrays.py"), pytest("test_cuda.py")
NATIVE_FILES = ("ethanol_native.json", "water_native.json", "platform_native.json")
TORCH_FILES = ("ethanol_torch.json", "water_torch.json", "platform_torch.json")
PARTS = (
    Part("models", "the files that all parts take", 60, EXPORTS, at_once=True),
    Part(
        "parity",
        "native CUDA kernels, every kind of network, against the CPU's, the same bits twice",
        90,
        PARITY,
        read_verdicts,
        True,
    ),
    Part(
        "timing",
        "a step by native kernels, ms",
        60,
        times("native", 1, 2, 4, 8),
        read_json(*NATIVE_FILES),
        files=NATIVE_FILES,
    ),
    Part("plans", "a step of small molecules in one launch and in many, ms", 45, (test_gpu("times"),), read_plans),
    Part("openmm", "the force on the arrays of OpenMM's CUDA platform", 45, (PLATFORM,), read_measured),
    Part(
        "arrays",
        "tensors of torch in and out, a committee, boxes together, by native kernels",
        30,
        (ARRAYS,),
        read_measured,
    ),
    Part("memcheck", "no access out of bounds", 40, (sanitizer("memcheck"),), read_sanitizer, tool="compute-sanitizer"),
    Part("nve", "10 ps of ethanol and of water at constant energy", 45, NVE, read_nve),
    Part(
        "racecheck",
        "no race in a block's memory",
        40,
        (sanitizer("racecheck"),),
        read_sanitizer,
        tool="compute-sanitizer",
    ),
    Part(
        "timing_torch",
        "the same steps by torch, ms",
        60,
        times("torch", 1, 2, 4),
        read_json(*TORCH_FILES),
        files=TORCH_FILES,
    ),
    Part(
        "ncu", "time, registers and load by kernel, 12,288 atoms", 60, (kernels_of_a_step(),), read_kernels, tool="ncu"
    ),
    Part("torch", "kernels of torch: parity, graphs, energy, memory", 120, (TORCH,), read_measured),
)


# ---- running them --------------------------------------------------------------------------------------------------


def filled(command: Command, places: dict[str, str]) -> list[str]:
    """The words of a command with the places put in."""
    return [word.format(**places) if "{" in word else word for word in command.words]


def run_part(part: Part, places: dict[str, str], deadline: float) -> dict[str, Any]:
    """Run the commands of a part until its time or the check's is over; what its JSON holds."""
    result: dict[str, Any] = {"part": part.name, "title": part.title}
    if part.tool and shutil.which(part.tool) is None:
        return result | {"skipped": f"{part.tool} is not on the PATH"}
    start = time.monotonic()
    end = min(start + part.seconds, deadline)
    if end - start < 1:
        return result | {"skipped": "no time was left"}
    commands = [(filled(command, places), os.environ | command.environment) for command in part.commands]
    if part.at_once:
        ended = finish([begin(*command) for command in commands], end)
    else:
        ended = [one for command in commands for one in finish([begin(*command)], end)]
    output = "\n".join(text for _, text in ended)
    result |= {"seconds": round(time.monotonic() - start, 1), "exit": [code for code, _ in ended]}
    result["commands"] = [" ".join(words) for words, _ in commands]
    result["cut_off"] = any(code is None for code, _ in ended)
    try:
        result["results"] = part.read(output, Path(places["out"]))
    except (ValueError, KeyError) as problem:
        result["unreadable"] = str(problem)
    return result | {"output": output.splitlines()[-KEPT_LINES:]}


def begin(words: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    try:
        return subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
        )
    except OSError as problem:
        return subprocess.Popen(
            ["sh", "-c", 'echo "$0" >&2; exit 127', str(problem)], stderr=subprocess.PIPE, text=True
        )


def finish(processes: list[subprocess.Popen[str]], end: float) -> list[tuple[int | None, str]]:
    """Exit code (None: stopped) and output of processes, which are stopped when the time is over."""
    ended: list[tuple[int | None, str]] = []
    for process in processes:
        try:
            text, errors = process.communicate(timeout=max(0.1, end - time.monotonic()))
            ended.append((process.returncode, (text or "") + (errors or "")))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            text, errors = process.communicate()
            ended.append((None, (text or "") + (errors or "")))
    return ended


def verdict(result: dict[str, Any]) -> str:
    """One word on a part."""
    if "skipped" in result:
        return "SKIP"
    if result["cut_off"]:
        return "CUT"
    return "PASS" if not any(result["exit"]) else "FAIL"


def line(part: Part, result: dict[str, Any]) -> str:
    """What is printed of a part."""
    rest = result.get("skipped") or f"{result.get('seconds')} s"
    return f"{verdict(result):<5} {part.name:<13} {part.title} ({rest})"


def show_plan() -> None:
    """Print every part with its time and its commands."""
    for part in PARTS:
        print(f"{part.name} ({part.seconds} s at most): {part.title}")
        for command in part.commands:
            settings = "".join(f"{name}={value} " for name, value in command.environment.items())
            print(f"    {settings}{' '.join(command.words)}")


def remove_earlier(out: Path, parts: tuple[Part, ...]) -> None:
    """Remove what an earlier check left: `transip-md nve` would resume it, and a part that is cut off report it."""
    for part in parts:
        for name in (f"{part.name}.json", *part.files):
            (out / name).unlink(missing_ok=True)
        if part.name == "nve":
            for folder in out.glob("nve-*"):
                shutil.rmtree(folder)


def main() -> int:
    """Command line. Exit: 0 every part passed or was skipped, 1 one failed or was cut off."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("gpu-check"), help="folder of the JSON files")
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder that has test_gpu")
    parser.add_argument("--seconds", type=float, default=300.0, help="time for all parts (default 300)")
    parser.add_argument("--only", help="names of parts, with commas")
    parser.add_argument("--dry-run", action="store_true", help="print the parts and their commands, run nothing")
    arguments = parser.parse_args()
    if arguments.dry_run:
        show_plan()
        return 0
    chosen = PARTS
    if arguments.only:
        names = arguments.only.split(",")
        if unknown := set(names) - {part.name for part in PARTS}:
            parser.error(
                f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in PARTS)}"
            )
        chosen = tuple(part for part in PARTS if part.name in names)
    arguments.out.mkdir(parents=True, exist_ok=True)
    remove_earlier(arguments.out, chosen)
    deadline = time.monotonic() + arguments.seconds
    places = {
        "out": str(arguments.out.resolve()),
        "build": str(arguments.build.resolve()),
        "python": sys.executable,
        "repository": str(REPOSITORY),
    }
    failed = False
    for part in chosen:
        result = run_part(part, places, deadline)
        (arguments.out / f"{part.name}.json").write_text(json.dumps(result, indent=1) + "\n")
        print(line(part, result), flush=True)
        failed = failed or verdict(result) in ("FAIL", "CUT")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
