"""Energies and forces for training, compiled by torch.compile."""

from __future__ import annotations

from dataclasses import replace

import torch

from transip_md.common.errors import UsageError
from transip_md.model.batch import Batch, LocalBatch, MoleculeBatch
from transip_md.model.evaluate import Prediction
from transip_md.model.network import TransIP
from transip_md.training.fixed_shape import FixedShape

#: Shapes that one network may be compiled for; sizes are rounded up coarsely, and few are met.
MOST_SHAPES = 64


class CompiledPredict:
    """`predict(model, batch, differentiable=True)`, compiled at the first batch.

    All-to-all models are compiled once, for batches of every size. Batches of local models are padded to the largest
    sizes so far, and compiled for anew when one does not fit. The gradient with respect to positions is traced into the
    graph, so that what a loss on forces needs, the derivative of that gradient, is compiled too.
    """

    def __init__(self, model: TransIP, backend: str = "inductor") -> None:
        """Prepare; nothing is compiled yet.

        Args:
            model: the network; its weights are looked up at every call.
            backend: of torch.compile.

        Raises:
            UsageError: the model has a direct force head.
        """
        if not model.config.conservative:
            raise UsageError("compile: true is for models whose forces are the gradient of the energy. Leave it out.")

        def run(batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            def total(positions: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
                embedding = batch.encode(model, positions)
                energies = batch.sum_atoms(batch.atom_energies(model, embedding, positions))
                return energies.sum(), (energies, embedding)

            gradient, (energies, embedding) = torch.func.grad(total, has_aux=True)(batch.positions)
            return energies, -batch.fold(gradient), embedding

        local = model.config.cutoff is not None
        # The products with the neighbours of one atom are compiled for their number in any case.
        self._run = torch.compile(run, dynamic=not local, fullgraph=True, backend=backend)
        self._shape = FixedShape()

    def __call__(self, batch: Batch) -> Prediction:
        """Energies, forces and embeddings of a batch, differentiable with respect to the weights."""
        if isinstance(batch, MoleculeBatch) and batch.present is None:
            # Without padding it would be another graph.
            batch = replace(batch, present=torch.ones_like(batch.species, dtype=torch.bool))
        # Under several processes torch would split the graph between layers, which the gradient in it does not allow.
        with torch._dynamo.config.patch(recompile_limit=MOST_SHAPES, optimize_ddp=False):
            if isinstance(batch, LocalBatch):
                energies, forces, embedding = self._run(self._shape.pad(batch))
                atoms = len(batch.species)
                return Prediction(energies[: len(batch)], forces[:atoms], embedding[:atoms])
            if len(batch) == 1:
                # Sizes of one are compiled for by themselves.
                return Prediction(*self._run(batch.with_view(batch))).halves()[0]
            return Prediction(*self._run(batch))
