"""``transip-md bench``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from transip_md.cli.console import console
from transip_md.cli.engine_commands import Model
from transip_md.cli.progress import LongTask
from transip_md.cli.summary import add_command, record
from transip_md.common.errors import EnvironmentFaultError, UsageError

#: Of two lines, so that the table fits a terminal of 60 columns; names wrap.
HEADINGS = ("structure", "atoms", "in", "ms/\nstep", "+-\n%", "over\nmodel\n%", "x\nfloor", "ns/\nday", "MB")


def bench(
    model: Model,
    structures: Annotated[list[Path], typer.Argument(help="Structures in any format that ase reads.")],
    engine: Annotated[str, typer.Option(help="model, ase, lammps, openmm, several with commas, or all.")] = "all",
    repeat: Annotated[
        list[int] | None, typer.Option(help="Periodic structures so many times along each axis; repeats.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of an evaluation, on each rank.")] = 1,
    ranks: Annotated[list[int] | None, typer.Option(help="MPI ranks of LAMMPS; repeats.")] = None,
    versus: Annotated[
        list[str] | None,
        typer.Option(
            "--vs",
            help="A baseline: gfn2-xtb (tblite, in ase); repeats. MACE, NequIP, eSEN, ANI and DeePMD are timed by "
            "benchmarks/versus.py of the repository.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Of the model: cpu or cuda. Baselines stay on the CPU.")] = "cpu",
    kernels: Annotated[
        list[str] | None,
        typer.Option(help="What evaluates a TorchScript file in LAMMPS and OpenMM: auto, native or torch; repeats."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="About how long one run takes.")] = 3.0,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each, alternating.")] = 3,
) -> None:
    """Time a step: the model alone, and in every engine, on this machine."""
    from transip_md.bench.baselines import registered
    from transip_md.bench.floor import SIZES
    from transip_md.bench.run import TARGETS, Gap, layouts_of, measure, require_a_use
    from transip_md.data.electronic_state import known_state
    from transip_md.data.structures import read_structure
    from transip_md.evaluators.torch_model import choose_device
    from transip_md.modelfile.certificate import print_certificate
    from transip_md.modelfile.metadata import read_metadata

    if device not in SIZES:
        raise UsageError(f"--device must be {' or '.join(SIZES)}, got {device!r}.")
    choose_device(device)
    layouts = layouts_of(
        list(TARGETS) if engine == "all" else engine.split(","), ranks or [1], versus or [], kernels or ["auto"]
    )
    chosen, metadata = {}, read_metadata(model)
    for path in structures:
        atoms = read_structure(path)
        for times in repeat or [1]:
            if times != 1 and not atoms.pbc.all():
                raise UsageError(f"--repeat is for periodic structures; {path} is not periodic in all directions.")
            if known_state(metadata, atoms, str(path)) != (0, 1) and times != 1:
                raise UsageError(f"--repeat is for neutral singlets; {path} states another charge or multiplicity.")
            name = path.stem if times == 1 else f"{path.stem} x {times**3}"
            if name in chosen:
                raise UsageError(f"Two structures are called {name}. Give files with other names.")
            chosen[name] = atoms.repeat(times) if times != 1 else atoms
    require_a_use(layouts, chosen)
    missing = []
    for layout in list(layouts):
        if baseline := registered.get(layout.target):
            try:
                baseline.make_ready(lambda line: console.print(line, soft_wrap=True))
            except EnvironmentFaultError as error:
                missing.append(Gap(baseline.name, None, str(error)))
                layouts.remove(layout)
    print_certificate(read_metadata(model), model)
    runs = len(chosen) * len(layouts) * (1 + rounds)
    with LongTask("timing", runs, unit="runs") as progress:

        def say(line: str) -> None:
            progress.update(progress.completed + 1, description=line)

        results = measure(
            model,
            chosen,
            layouts,
            threads=threads,
            device=device,
            seconds=seconds,
            rounds=rounds,
            say=say,
        )
    results.gaps[:0] = missing
    processor = results.machine.get("cuda", results.machine["processor"])
    title = f"{results.model}: {processor}, {threads} thread{'s' if threads > 1 else ''}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in HEADINGS:
        words = heading in ("structure", "in")
        table.add_column(Text(heading), justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for line in results.lines:
        table.add_row(
            line.structure,
            str(line.atoms),
            line.layout,
            f"{line.ms:.3g}",
            f"{50 * (line.slowest - line.fastest) / line.ms:.0f}",
            "" if line.over_model is None else f"{100 * line.over_model:+.0f}",
            "" if line.floor is None else f"{line.floor:.1f}",
            f"{line.ns_per_day:.3g}",
            f"{line.memory:.0f}",
        )
    console.print(table)
    console.print(f"float32 matrix products: {results.rate / 1e9:.0f} GFLOP/s; ns/day at a time step of 0.5 fs")
    for layout, exponent in results.exponent.items():
        console.print(f"{layout}: cost grows as atoms^{exponent:.2f}")
    for name, facts in results.baselines.items():
        line = f"{name}: {facts['settings']}; {facts['dtype']}; weights {facts['weights']}"
        console.print(line, soft_wrap=True)
    if results.keep_memory:
        setting = " ".join(f"{name}={value}" for name, value in results.keep_memory.items())
        console.print(f"For all sides: {setting}", soft_wrap=True)
    for gap in results.gaps:
        where = f" on {gap.structure}" if gap.structure else ""
        console.print(f"Not measured: {gap.baseline}{where}: {gap.reason}", soft_wrap=True)
    noted = record()
    noted.numbers |= {f"{line.structure}, {line.layout}: ms": line.ms for line in results.lines}
    noted.details |= asdict(results)
    if failed := sorted({gap.baseline for gap in results.gaps if gap.failed}):
        raise EnvironmentFaultError(f"Not all of {', '.join(failed)} could be measured: see above.")


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, bench)
