"""Energies and forces for training, compiled by torch.compile."""

from __future__ import annotations

from dataclasses import replace

import torch

from transip_md.common.errors import UsageError
from transip_md.model.batch import Batch, MoleculeBatch
from transip_md.model.evaluate import Prediction
from transip_md.model.network import TransIP


class CompiledPredict:
    """`predict(model, batch, differentiable=True)`, compiled at the first batch for batches of molecules of every size.

    The gradient with respect to positions is traced into the graph, so that what a loss on forces needs, the derivative
    of that gradient, is compiled too.
    """

    def __init__(self, model: TransIP, backend: str = "inductor") -> None:
        """Prepare; nothing is compiled yet.

        Args:
            model: the network; its weights are looked up at every call.
            backend: of torch.compile.

        Raises:
            UsageError: the model is local or has a direct force head.
        """
        if not model.config.conservative or model.config.cutoff is not None:
            # A local model would be compiled anew for every batch.
            raise UsageError(
                "compile: true is for all-to-all models whose forces are the gradient of the energy. Leave it out."
            )

        def run(batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            def total(positions: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
                embedding = batch.encode(model, positions)
                energies = batch.sum_atoms(batch.atom_energies(model, embedding, positions))
                return energies.sum(), (energies, embedding)

            gradient, (energies, embedding) = torch.func.grad(total, has_aux=True)(batch.positions)
            return energies, -batch.fold(gradient), embedding

        self._run = torch.compile(run, dynamic=True, fullgraph=True, backend=backend)

    def __call__(self, batch: Batch) -> Prediction:
        """Energies, forces and embeddings of a batch, differentiable with respect to the weights."""
        if isinstance(batch, MoleculeBatch) and batch.present is None:
            # Without padding it would be another graph.
            batch = replace(batch, present=torch.ones_like(batch.species, dtype=torch.bool))
        return Prediction(*self._run(batch))
