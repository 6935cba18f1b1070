"""A trained model that is given new elements, charges or multiplicities, or a repulsion, for fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from ase.data import atomic_numbers
from torch import Tensor

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
) -> ModelConfig:
    """The shape of a model that knows what it knew and what is added.

    Args:
        known: shape of the trained model.
        species: atomic numbers; those that are new go behind the known ones.
        charge: smallest and largest total charge, e, that shall be known too.
        multiplicity: the same of the spin multiplicity.
        short_range: a repulsion; None: the model keeps what it has.
        short_range_end: where it ends, in sums of covalent radii; None: where it does, or a new one at the default.
    """

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
    }
    return ModelConfig.model_validate({**known.model_dump(), **changes})


def widened(model: TransIP, shape: ModelConfig) -> TransIP:
    """A model of a wider shape that gives the energies of the first wherever that one knew elements and state.

    Only a repulsion changes them. A new element starts from the embedding of the known one that is most like it by its
    position in the periodic table, a new charge or multiplicity from that of the nearest known; reference energies of
    new elements are zero until they are fitted.

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
    # Tables of the repulsion are made for the elements; a model without one brings none.
    ours = {name: value for name, value in weights.items() if not name.startswith("short_range.")}
    missing = wide.load_state_dict(ours, strict=False)
    unexpected = [name for name in missing.missing_keys if not name.startswith("short_range.")]
    assert not unexpected and not missing.unexpected_keys, missing
    return wide


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
