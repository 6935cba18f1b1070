"""Latent embeddings of labelled frames, and the sample of them that a checkpoint keeps."""

from __future__ import annotations

import numpy as np
import torch

from transip_md.data.frames import Frames
from transip_md.model.latent_sample import LatentSample
from transip_md.model.network import TransIP
from transip_md.training.batches import Collate, by_atoms
from transip_md.training.evaluation import EVALUATION_ATOMS

#: Atoms that are looked at, at most, of the frames to draw from and of the frames held out.
MOST_ATOMS, MOST_HELD_OUT = 100_000, 20_000


def latent_sample(
    model: TransIP, frames: Frames, rows: np.ndarray, held_out: np.ndarray, seed: int = 0
) -> LatentSample:
    """The sample of a training set.

    Args:
        model: the network, on the CPU.
        frames: labelled structures.
        rows: int [R], frames to draw the sample from; repeated ones count once.
        held_out: int [H], frames that set the scale; may be none.
        seed: of the choice among more frames than are looked at.

    Returns:
        The sample.
    """
    rng = np.random.default_rng([seed, 3])
    parts = [_embeddings(model, frames, _some(frames, rows, MOST_ATOMS, rng))]
    if len(held_out):
        parts.append(_embeddings(model, frames, _some(frames, held_out, MOST_HELD_OUT, rng)))
    embedding, kinds = (np.concatenate(values) for values in zip(*parts, strict=True))
    of_held_out = np.arange(len(kinds)) >= len(parts[0][1])
    return LatentSample.of(embedding, kinds, of_held_out, len(model.config.species))


def _some(frames: Frames, rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Frames at random, of so many atoms at most, or one."""
    rows = rng.permutation(np.unique(rows))
    counts = np.cumsum(frames.atom_counts()[rows])
    return np.sort(rows[: max(1, int(np.searchsorted(counts, most, side="right")))])


def _embeddings(model: TransIP, frames: Frames, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latent embeddings [N, dim] of all atoms of some frames, and places of their elements [N]."""
    collate = Collate(model.config.cutoff)
    embeddings, kinds = [], []
    for part in by_atoms(frames.atom_counts(), rows, EVALUATION_ATOMS):
        batch = collate([frames[index] for index in part])
        with torch.no_grad():
            embeddings.append(batch.real(batch.encode(model, batch.positions)).double().numpy())
        kinds.append(model.species_index[batch.real(batch.species)].numpy())
    return np.concatenate(embeddings), np.concatenate(kinds)
