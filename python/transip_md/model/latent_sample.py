"""Atoms of the training set in the latent space, and how far other atoms are from them."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

#: Bytes that a sample takes at most, in a checkpoint and in a model file, unless the embedding is wide.
MOST_BYTES = 190_000
#: Atoms of each element for which there is room however wide the embedding is.
FEWEST_ATOMS = 32
#: Atoms of each element at most.
MOST_ATOMS = 256
#: Eigenvalues of the covariance, as a share of the largest, below which a direction counts as noise.
SMALLEST_VARIANCE = 1e-4
#: Held-out atoms of an element below which its scale is that of all elements together.
FEWEST_HELD_OUT = 50
#: Share of the held-out atoms whose distance is 1 or less.
KNOWN_SHARE = 0.99
#: Coordinate that stands for an element without atoms in the data: far from everything, and finite in float16.
NOWHERE = 60_000.0


class LatentSample(nn.Module):
    """Nearest-neighbour distance of latent embeddings from atoms of the training set, element by element.

    Embeddings, as the energy head reads them, are whitened by the covariance within the elements; the sample is chosen
    by the greedy k-centre algorithm (Gonzalez, Theor. Comput. Sci. 38, 293 (1985)), so that it covers the data. The
    distance is divided by the 99th percentile of held-out atoms of the element.
    """

    def __init__(self, species: int, dim: int, atoms: int) -> None:
        """Make room.

        Args:
            species: number of elements.
            dim: width of the embedding.
            atoms: of each element.
        """
        super().__init__()
        self.register_buffer("whitening", torch.zeros((dim, dim), dtype=torch.float32))
        self.register_buffer("offset", torch.zeros((species, dim), dtype=torch.float32))
        self.register_buffer("atoms", torch.zeros((species, atoms, dim), dtype=torch.float16))
        self.register_buffer("scale", torch.ones(species, dtype=torch.float32))

    def forward(self, embedding: Tensor, kinds: Tensor) -> Tensor:
        """Distances of atoms from the nearest one of the sample.

        Args:
            embedding: [T, dim], latent embeddings.
            kinds: int64 [T], places of the elements among those that the model knows.

        Returns:
            float64 [T]; 1 is the 99th percentile of held-out atoms, 1,000 and more an element that the data lack.
        """
        found = torch.zeros(kinds.shape, dtype=torch.float64, device=embedding.device)
        whitening, offset = self.whitening.to(torch.float64), self.offset.to(torch.float64)
        known, scale = self.atoms.to(torch.float64), self.scale.to(torch.float64)
        for kind in range(known.shape[0]):
            rows = torch.nonzero(kinds == kind).flatten()
            here = torch.matmul(embedding.index_select(0, rows).to(torch.float64), whitening) - offset[kind]
            product = torch.matmul(here, known[kind].transpose(0, 1))
            squared = here.square().sum(dim=1)[:, None] - 2.0 * product + known[kind].square().sum(dim=1)
            nearest = torch.sqrt(torch.clamp(torch.amin(squared, dim=1), min=0.0)) / scale[kind]
            found = found.index_copy(0, rows, nearest)
        return found

    @classmethod
    def of(cls, embedding: np.ndarray, kinds: np.ndarray, held_out: np.ndarray, species: int) -> Self:
        """Choose a sample.

        Args:
            embedding: latent embeddings of atoms, [N, dim].
            kinds: places of their elements among those that the model knows, int [N].
            held_out: bool [N], atoms of frames that the sample is not drawn from: they set the scale.
            species: number of elements that the model knows.

        Returns:
            The sample, as large as `MOST_BYTES` allows, of `FEWEST_ATOMS` to `MOST_ATOMS` an element.
        """
        dim = embedding.shape[1]
        room = (MOST_BYTES - 4 * dim * (dim + species)) // (2 * dim * species)
        made = cls(species, dim, int(min(max(room, FEWEST_ATOMS), MOST_ATOMS)))
        whitening, means = _whitening(embedding, np.where(held_out, -1, kinds), species)
        made.whitening.copy_(torch.from_numpy(whitening))
        made.offset.copy_(torch.from_numpy(means @ whitening))
        offset = made.offset.double().numpy()
        for kind in range(species):
            here = embedding[(kinds == kind) & ~held_out] @ made.whitening.double().numpy() - offset[kind]
            made.atoms[kind] = torch.from_numpy(_cover(here, made.atoms.shape[1]))
        rows = np.flatnonzero(held_out if held_out.any() else np.ones_like(held_out))
        where = kinds[rows]
        distances = made(torch.from_numpy(embedding[rows]), torch.from_numpy(where)).numpy()
        occurring = np.isin(where, kinds[~held_out])
        for kind in range(species):
            of_kind = distances[where == kind]
            counted = of_kind if len(of_kind) >= FEWEST_HELD_OUT else distances[occurring]
            # In whitened coordinates the data have a width of 1: of few frames the percentile states nothing.
            made.scale[kind] = max(float(np.quantile(counted, KNOWN_SHARE)) if len(counted) else 1.0, 1.0)
        return made

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        """The sample of these buffers. Raises KeyError or RuntimeError: they are none."""
        species, atoms, dim = state["atoms"].shape
        made = cls(species, dim, atoms)
        made.load_state_dict(state)
        return made


def _whitening(embedding: np.ndarray, kinds: np.ndarray, species: int) -> tuple[np.ndarray, np.ndarray]:
    """C^-1/2 of the covariance C within the elements, [dim, dim], and the elements' means, [species, dim]."""
    dim = embedding.shape[1]
    covariance, means = np.zeros((dim, dim)), np.zeros((species, dim))
    for kind in range(species):
        here = embedding[kinds == kind].astype(np.float64)
        if len(here):
            means[kind] = here.mean(axis=0)
            covariance += (here - means[kind]).T @ (here - means[kind])
    variances, directions = np.linalg.eigh(covariance / max(np.count_nonzero(kinds >= 0), 1))
    floor = SMALLEST_VARIANCE * max(variances[-1], np.finfo(np.float64).tiny)
    return (directions / np.sqrt(np.maximum(variances, 0.0) + floor)) @ directions.T, means


def _cover(points: np.ndarray, count: int) -> np.ndarray:
    """Greedy k-centres of points [N, dim], from the one nearest to the origin on; fewer points repeat."""
    if not len(points):
        return np.full((count, points.shape[1]), NOWHERE)
    chosen = [int(np.square(points).sum(axis=1).argmin())]
    squared = np.full(len(points), np.inf)
    while len(chosen) < count:
        squared = np.minimum(squared, np.square(points - points[chosen[-1]]).sum(axis=1))
        chosen.append(int(squared.argmax()))
    return points[chosen]
