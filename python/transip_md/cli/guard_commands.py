"""``transip-md guard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from transip_md.cli.console import console
from transip_md.cli.summary import add_command, record
from transip_md.common.outputs import require_folder_of

#: Share of the frames that the sample is not drawn from.
HELD_OUT = 0.1


def guard(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint file, or the name of a shipped model.")],
    data: Annotated[
        list[Path], typer.Option("--data", "-d", help="Labelled frames that the model was trained on; repeats.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint to write; weights are not changed.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the frames that are held out.")] = 0,
) -> None:
    """Add a sample of the training set to a checkpoint: models exported from it know what they were trained on.

    One frame in ten is held out to set the scale. `transip-md train` does this by itself at its end.
    """
    require_folder_of(output)
    from ase.data import chemical_symbols

    from transip_md.data.frames import open_frames
    from transip_md.model.checkpoint import load_named, save_checkpoint
    from transip_md.training.latent_sample import latent_sample

    loaded = load_named(checkpoint)
    stated = (loaded.training.get("recipe") or {}).get("data") or {}
    frames = open_frames(
        data,
        species=loaded.config.species,
        charge=stated.get("charge", 0),
        multiplicity=stated.get("multiplicity", 1),
    )
    drawn = np.random.default_rng(seed).permutation(len(frames))
    held_out = int(HELD_OUT * len(frames))
    sample = latent_sample(loaded.model, frames, drawn[held_out:], drawn[:held_out], seed)
    training = {**loaded.training, "largest": int(frames.atom_counts().max())}
    save_checkpoint(output, loaded.model, training, loaded.transport, sample)
    noted = record()
    noted.files.append(output)
    noted.numbers |= {"frames": len(frames), "held_out": held_out, "atoms_of_each_element": sample.atoms.shape[1]}
    elements = ", ".join(chemical_symbols[z] for z in loaded.config.species)
    console.print(
        f"{output}: {sample.atoms.shape[1]} atoms of each of {elements}, from {len(frames)} frames, {held_out} held "
        f"out; {output.stat().st_size // 1024} kB",
        soft_wrap=True,
    )


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(app, guard)
