"""Checkpoints of small networks with a sample of their training set."""

from __future__ import annotations

from pathlib import Path

import ase
import numpy as np
import torch

from networks import crystal, frame_of, random_molecule, small_checkpoint
from transip_md.exporting.export import export
from transip_md.model.latent_sample import LatentSample
from transip_md.training.batches import Collate


def file_with_sample(folder: Path, **shape) -> Path:
    """An exported model whose file has a sample; see `checkpoint_with_sample`."""
    file = folder / "model.pt"
    export(checkpoint_with_sample(**shape), file)
    return file


def checkpoint_with_sample(**shape):
    """An untrained network of H, C and O with a sample of random molecules, or of crystals if it has a cutoff."""
    checkpoint = small_checkpoint(**shape)
    norm, generator = checkpoint.model.energy_norm, torch.Generator().manual_seed(0)
    with torch.no_grad():
        # As training leaves them: untrained ones are 1 and 0, which hides what is left out.
        norm.weight += 0.3 * torch.randn(norm.weight.shape, generator=generator)
        norm.bias += 0.3 * torch.randn(norm.bias.shape, generator=generator)
    periodic = checkpoint.config.cutoff is not None
    frames = [crystal(seed) if periodic else ase.Atoms(*random_molecule(9, seed)) for seed in range(12)]
    batch = Collate(checkpoint.config.cutoff)([frame_of(atoms) for atoms in frames])
    with torch.no_grad():
        embedding = batch.real(batch.encode(checkpoint.model, batch.positions)).double().numpy()
    kinds = checkpoint.model.species_index[batch.real(batch.species)].numpy()
    checkpoint.sample = LatentSample.of(embedding, kinds, np.arange(len(kinds)) % 2 == 0, 3)
    return checkpoint
