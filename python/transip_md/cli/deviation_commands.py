"""``transip-md deviation``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer

from transip_md.cli.console import console
from transip_md.cli.progress import LongTask
from transip_md.cli.summary import add_command, record
from transip_md.common.errors import UsageError
from transip_md.common.outputs import require_folder_of
from transip_md.common.whole_files import replacing, write_whole

if TYPE_CHECKING:
    from transip_md.validation.uncertainty import Calibration, Judged


def deviation(
    models: Annotated[
        list[Path], typer.Argument(help="Files made by `transip-md export`, two or more, or one of a committee.")
    ],
    frames: Annotated[
        list[Path], typer.Option("--frames", "-f", help="Structures in any format that ase reads; repeats.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a line of each frame, in DeePMD-kit's columns.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw deviations against errors, and the calibration: .png, .svg or .pdf.")
    ] = None,
    force: Annotated[
        Literal["first", "mean"], typer.Option(help="Whose forces are held against those of labelled frames.")
    ] = "first",
    device: Annotated[str, typer.Option(help="Where the models run: auto, cpu, cuda or cuda:N.")] = "cpu",
    kernels: Annotated[
        Literal["auto", "native", "torch"],
        typer.Option(help="What evaluates them; native on a CUDA device: the native CUDA kernels."),
    ] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: OMP_NUM_THREADS, or all cores.")] = 0,
) -> None:
    """How far the models of a committee lie apart on structures, and how well that tells their true errors."""
    for path in (output, plot):
        if path is not None:
            require_folder_of(path)
    from transip_md.data.structures import read_frames
    from transip_md.evaluators.committee import HEADER, Committee
    from transip_md.validation import uncertainty

    structures = [(f"{path}, frame {index}", atoms) for path in frames for index, atoms in enumerate(read_frames(path))]
    committee = Committee(models, device=device, kernels=kernels, threads=threads)
    with LongTask("evaluating", len(structures), unit="structures") as progress:
        judged = uncertainty.judge(committee, structures, mean=force == "mean", advanced=progress.update)
    highest = np.array([one.of_atoms.max() for one in judged.deviations])
    console.print(
        f"{len(models)} models, {len(structures)} structures: highest deviation of an atom's force "
        f"{highest.mean():.4g} eV/Angstrom on average, {highest.max():.4g} in {structures[int(highest.argmax())][0]}",
        soft_wrap=True,
    )
    calibration = uncertainty.calibrate(judged.of_atoms, judged.errors)
    if calibration is not None:
        console.print(
            f"{calibration.atoms} labelled atoms: Spearman {calibration.spearman:.3f} between deviation and true "
            f"error, miscalibration area {calibration.miscalibration:.3f}, errors {calibration.scale:.3g} times the "
            f"deviations; force MAE {1000.0 * calibration.force_mae:.2f} meV/Angstrom ({force})",
            soft_wrap=True,
        )
    elif plot is not None:
        raise UsageError("A plot is of deviations against errors: give frames with forces, of ten atoms or more.")
    if output is not None:
        write_whole(output, HEADER + "".join(one.line(step) for step, one in enumerate(judged.deviations)))
    if plot is not None and calibration is not None:
        with replacing(plot) as partial:
            uncertainty.plot(partial, judged, calibration)
    _note(models, [name for name, _ in structures], judged, calibration, force)
    for path in (output, plot):
        if path is not None:
            record().files.append(path)
            console.print(f"{path}: written", soft_wrap=True)


def _note(models: list[Path], names: list[str], judged: Judged, calibration: Calibration | None, force: str) -> None:
    """Keep everything for the summary."""
    highest = [float(one.of_atoms.max()) for one in judged.deviations]
    noted = record()
    noted.numbers |= {
        "structures": len(names),
        "mean_highest_force_deviation_eV_per_A": sum(highest) / len(highest),
        "highest_force_deviation_eV_per_A": max(highest),
    }
    if calibration is not None:
        noted.numbers |= {
            "spearman": calibration.spearman,
            "miscalibration_area": calibration.miscalibration,
            "force_mae_eV_per_A": calibration.force_mae,
        }
    noted.details |= {
        "models": [str(path) for path in models],
        "frames": [
            {"name": name, "max_devi_f": most, "avg_devi_f": float(one.of_atoms.mean()), "devi_e": one.energy}
            for name, most, one in zip(names, highest, judged.deviations, strict=True)
        ],
        "force": force,
        "calibration": None if calibration is None else calibration.to_dict(),
    }


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(app, deviation)
