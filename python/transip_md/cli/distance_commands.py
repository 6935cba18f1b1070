"""``transip-md distance``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from transip_md.cli.console import console
from transip_md.cli.progress import LongTask
from transip_md.cli.summary import add_command, record


def distance(
    model: Annotated[Path, typer.Argument(help="A file made by `transip-md export`, of a checkpoint with a sample.")],
    frames: Annotated[
        list[Path], typer.Option("--frames", "-f", help="Structures in any format that ase reads; repeats.")
    ],
    above: Annotated[
        list[float] | None,
        typer.Option(help="Error of an atom's force, eV/Angstrom, to be found by distance; repeats."),
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: OMP_NUM_THREADS, or all cores.")] = 0,
) -> None:
    """How far structures are from what a model was trained on, and how well that tells wrong forces from right ones."""
    from transip_md.data.structures import read_frames
    from transip_md.evaluators.choose import load_evaluator
    from transip_md.validation import distances

    structures = [(f"{path}, frame {index}", atoms) for path in frames for index, atoms in enumerate(read_frames(path))]
    loaded = load_evaluator(model, device="cpu", threads=threads)
    with LongTask("measuring", len(structures), unit="structures") as progress:
        measured = distances.measure(loaded, structures, progress.update)
    highest = np.array([one.max(initial=0.0) for one in measured.distances])
    of_atoms = np.concatenate(measured.distances)
    console.print(
        f"{len(structures)} structures: {np.mean(highest > 1.0):.1%} have an atom beyond 1, of all atoms "
        f"{np.mean(of_atoms > 1.0):.1%} are; highest {highest.max():.3g} in {structures[int(highest.argmax())][0]}",
        soft_wrap=True,
    )
    ranking = distances.rank(measured.of_labelled, measured.errors, above or [0.5, 2.0])
    if ranking is not None:
        console.print(
            f"{ranking.atoms} labelled atoms: Spearman {ranking.spearman:.3f} between distance and true error of force"
        )
        for one in ranking.detections:
            console.print(
                f"{one.atoms} of them are wrong by more than {one.above:g} eV/Angstrom: AUROC {one.auroc:.3f}, "
                f"{one.beyond:.1%} of them beyond 1",
                soft_wrap=True,
            )
    noted = record()
    noted.numbers |= {
        "structures": len(structures),
        "highest_distance": float(highest.max()),
        "share_of_atoms_beyond_1": float(np.mean(of_atoms > 1.0)),
    }
    if ranking is not None:
        noted.numbers["spearman"] = ranking.spearman
    noted.details |= {
        "frames": [
            {"name": name, "distances": one.tolist()}
            for (name, _), one in zip(structures, measured.distances, strict=True)
        ],
        "ranking": None if ranking is None else ranking.to_dict(),
    }


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(app, distance)
