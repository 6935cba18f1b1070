"""A trained model that is given elements, charges, their energies, multiplicities, a repulsion or layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from ase.data import atomic_numbers
from torch import Tensor

from transip_md.common.errors import UsageError
from transip_md.model.config import DEFAULT_SHORT_RANGE_END, ModelConfig
from transip_md.model.network import TransIP

#: Last atomic number of each period.
_NOBLE_GASES = tuple(atomic_numbers[symbol] for symbol in ("He", "Ne", "Ar", "Kr", "Xe", "Rn", "Og"))


def widened_shape(
    known: ModelConfig,
    species: Sequence[int] = (),
    charge: tuple[int, int] | None = None,
    multiplicity: tuple[int, int] | None = None,
    short_range: Literal["zbl"] | None = None,
    short_range_end: float | None = None,
    charge_energies: bool | None = None,
    layers: int | None = None,
    feedforward: int | None = None,
) -> ModelConfig:
    """The shape of a model that knows what it knew and what is added.

    Args:
        known: shape of the trained model.
        species: atomic numbers; those that are new go behind the known ones.
        charge: smallest and largest total charge, e, that shall be known too.
        multiplicity: the same of the spin multiplicity.
        short_range: a repulsion; None: the model keeps what it has.
        short_range_end: where it ends, in sums of covalent radii; None: where it does, or a new one at the default.
        charge_energies: reference energies of charges; None or false: the model keeps what it has.
        layers: number of layers, no fewer than there are.
        feedforward: hidden width of the feed-forward, no less than it is.

    Raises:
        UsageError: fewer layers or a narrower feed-forward than the model has.
    """
    for name, wanted in (("layers", layers), ("feedforward", feedforward)):
        if wanted is not None and wanted < getattr(known, name):
            raise UsageError(
                f"model.{name}: the model of start_from has {getattr(known, name)}, which can grow but not shrink; got "
                f"{wanted}. Leave it out, or train from random weights."
            )

    def hull(one: tuple[int, int], other: tuple[int, int] | None) -> tuple[int, int]:
        return one if other is None else (min(one[0], other[0]), max(one[1], other[1]))

    if short_range_end is None:
        is_new = short_range is not None and known.short_range is None
        short_range_end = DEFAULT_SHORT_RANGE_END if is_new else known.short_range_end
    changes = {
        "species": (*known.species, *sorted(set(species) - set(known.species))),
        "charge": hull(known.charge, charge),
        "multiplicity": hull(known.multiplicity, multiplicity),
        "short_range": short_range or known.short_range,
        "short_range_end": short_range_end,
        "charge_energies": charge_energies or known.charge_energies,
        "layers": layers or known.layers,
        "feedforward": feedforward or known.feedforward,
    }
    return ModelConfig.model_validate({**known.model_dump(), **changes})


def widened(model: TransIP, shape: ModelConfig) -> TransIP:
    """A model of a wider shape that gives the energies of the first wherever that one knew elements and state.

    Only a repulsion changes them. New layers come after those that there are, and they and new units of the
    feed-forward add nothing until they have learned (as in Chen et al., Net2Net, arXiv 1511.05641). A new element
    starts from the embedding of the known one that is most like it by its position in the periodic table, a new charge
    or multiplicity from that of the nearest known; reference energies of new elements and charges are zero until they
    are fitted.

    Args:
        model: trained.
        shape: from `widened_shape` of its shape.

    Returns:
        A new model; the first is left as it is.
    """
    known = model.config
    wide = TransIP(shape)
    weights = model.state_dict()
    rows = [known.species.index(_most_alike(z, known.species)) for z in shape.species]
    weights["species_embedding.weight"] = weights["species_embedding.weight"][rows]
    weights["charge_embedding.weight"] = _nearest(weights["charge_embedding.weight"], known.charge, shape.charge)
    weights["multiplicity_embedding.weight"] = _nearest(
        weights["multiplicity_embedding.weight"], known.multiplicity, shape.multiplicity
    )
    references = torch.zeros(len(shape.species), dtype=torch.float64)
    references[: len(known.species)] = weights["reference_energies"]
    weights["reference_energies"] = references
    if wide.charge_energies is not None:
        energies = torch.zeros_like(wide.charge_energies)
        if model.charge_energies is not None:
            first = known.charge[0] - shape.charge[0]
            energies[first : first + len(model.charge_energies)] = model.charge_energies
        weights["charge_energies"] = energies
    weights |= _grown(wide.state_dict(), weights, known)
    # Tables of the repulsion are made for the elements; a model without one brings none.
    ours = {name: value for name, value in weights.items() if not name.startswith("short_range.")}
    missing = wide.load_state_dict(ours, strict=False)
    unexpected = [name for name in missing.missing_keys if not name.startswith("short_range.")]
    assert not unexpected and not missing.unexpected_keys, missing
    return wide


def _grown(fresh: dict[str, Tensor], weights: dict[str, Tensor], known: ModelConfig) -> dict[str, Tensor]:
    """Weights whose shapes depend on the number of layers and the width of the feed-forward, without effect where new.

    Args:
        fresh: random weights of the grown shape.
        weights: of the known one.
        known: its shape.
    """
    grown = {}
    for name, new in fresh.items():
        old = weights.get(name)
        if old is None:
            if name.startswith("blocks."):
                is_output = ".output." in name
                grown[name] = torch.zeros_like(new) if is_output else new
        elif name.startswith("blocks.") and old.shape != new.shape:
            if ".output." in name:
                grown[name] = torch.cat([old, torch.zeros_like(new[:, old.shape[1] :])], dim=1)
            else:
                width = known.feedforward
                halves = zip(old.split(width), new.chunk(2), strict=True)
                grown[name] = torch.cat([part for was, made in halves for part in (was, made[width:])])
        elif name == "rotary.frequencies" or name.startswith("radial.mlp."):
            # Layer by layer along the first dimension.
            grown[name] = torch.cat([old, new[len(old) :]])
    return grown


def _nearest(rows: Tensor, known: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
    """Rows of an embedding of whole numbers for a wider range, each the one of the nearest number that is known."""
    numbers = torch.arange(wanted[0], wanted[1] + 1).clamp(known[0], known[1])
    return rows[numbers - known[0]]


def _most_alike(z: int, known: Sequence[int]) -> int:
    """The known element nearest to another in the periodic table: first by distance of groups, then of periods.

    Hydrogen and helium are in no group with others.
    """

    def distance(other: int) -> tuple[bool, int, int, int]:
        return (
            _in_first_row(z) != _in_first_row(other),
            _groups_apart(z, other),
            abs(_period(z) - _period(other)),
            other,
        )

    return min(known, key=distance)


def _in_first_row(z: int) -> bool:
    return z <= _NOBLE_GASES[0]


def _period(z: int) -> int:
    return next(period for period, last in enumerate(_NOBLE_GASES) if z <= last)


def _groups_apart(one: int, other: int) -> int:
    """Difference of the positions in their rows, counted from the start or the end, whichever is less."""

    def from_start(z: int) -> int:
        return z - ([0, *_NOBLE_GASES][_period(z)])

    def from_end(z: int) -> int:
        return _NOBLE_GASES[_period(z)] - z

    return min(abs(from_start(one) - from_start(other)), abs(from_end(one) - from_end(other)))
