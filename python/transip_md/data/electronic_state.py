"""Total charge and spin multiplicity of a structure: the one reader for the calculator, the commands and training.

A structure states its charge as ``charge`` or ``total_charge`` in ``atoms.info`` (in extended XYZ: in the comment
line); where that is absent, by the total of the initial charges of its atoms. It states its multiplicity 2S + 1 as
``multiplicity`` or ``spin`` (which fairchem and Orb use for the multiplicity too); where that is absent, by initial
magnetic moments, of which the total counts unpaired electrons.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import ase
import numpy as np

from transip_md.common.errors import UsageError
from transip_md.modelfile.metadata import Metadata

_CHARGE_KEYS = ("charge", "total_charge")
_MULTIPLICITY_KEYS = ("multiplicity", "spin")
#: Total of initial charges (e) or moments may be this far from a whole number: partial charges are rounded.
_WHOLE = 1e-3


class ElectronicState(NamedTuple):
    """Total charge (e) and spin multiplicity."""

    charge: int
    multiplicity: int


NEUTRAL_SINGLET = ElectronicState(0, 1)

_KEYS = frozenset(_CHARGE_KEYS + _MULTIPLICITY_KEYS)
_ARRAYS = frozenset(("initial_charges", "initial_magmoms"))

#: What a structure states of its charge and spin, unread.
Statement = tuple[tuple[str, bytes | str], ...]


def statement_of(atoms: ase.Atoms) -> Statement:
    """All that `state_of` looks at: structures of equal statements and as many atoms have one state."""
    # Most structures state nothing, and are asked in every step.
    if _KEYS.isdisjoint(atoms.info) and _ARRAYS.isdisjoint(atoms.arrays):
        return ()
    stated = [(key, repr(atoms.info[key])) for key in sorted(_KEYS.intersection(atoms.info))]
    arrays = [(name, atoms.arrays[name].tobytes()) for name in sorted(_ARRAYS.intersection(atoms.arrays))]
    return (*stated, *arrays)


def state_of(
    atoms: ase.Atoms,
    where: str,
    *,
    charge: int | None = None,
    multiplicity: int | None = None,
    default: ElectronicState = NEUTRAL_SINGLET,
) -> ElectronicState:
    """The state of a structure.

    Args:
        atoms: the structure.
        where: its name in errors.
        charge: total charge that the caller asks for, e; None: what the structure states.
        multiplicity: spin multiplicity that the caller asks for; None: what the structure states.
        default: of structures that state nothing.

    Raises:
        UsageError: no whole number, two statements that differ, or a caller that asks for another state than the
            structure states.
    """
    return ElectronicState(
        agreed("charge", charge, _stated_charge(atoms, where), default.charge, where),
        agreed("multiplicity", multiplicity, _stated_multiplicity(atoms, where), default.multiplicity, where),
    )


def known_state(metadata: Metadata, atoms: ase.Atoms, where: str) -> ElectronicState:
    """The state of a structure that a model is asked to evaluate.

    Args:
        metadata: of the model.
        atoms: the structure.
        where: its name in errors.

    Raises:
        UsageError: as of `state_of`, or the model does not know the state.
    """
    state = state_of(atoms, where)
    try:
        metadata.check_charge(*state)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    return state


def agreed(name: str, asked: int | None, stated: int | None, default: int, where: str) -> int:
    """What a caller asks for, else what a structure states, else a default.

    Args:
        name: what it is, in errors.
        asked: by the caller; None: nothing.
        stated: by the structure; None: nothing.
        default: where neither has any.
        where: name of the structure in errors.

    Raises:
        UsageError: the caller asks for another than the structure states.
    """
    if asked is not None and stated is not None and asked != stated:
        raise UsageError(
            f"{where} states {name} {stated}, and {name} {asked} is asked for. Leave out one of the two, or correct it."
        )
    return asked if asked is not None else stated if stated is not None else default


def _stated_charge(atoms: ase.Atoms, where: str) -> int | None:
    found = _one("charge", _values(atoms, _CHARGE_KEYS, where), where)
    if found is None and atoms.has("initial_charges") and np.any(charges := atoms.get_initial_charges()):
        return whole_number(float(charges.sum()), "the total of its initial charges", where, _WHOLE)
    return found


def _stated_multiplicity(atoms: ase.Atoms, where: str) -> int | None:
    found = _values(atoms, _MULTIPLICITY_KEYS, where)
    for name, value in found.items():
        if value < 1:
            raise UsageError(f"{where}: {name} {value}, expected an integer of at least 1. 1 is a singlet.")
    stated = _one("multiplicity", found, where)
    if stated is None and atoms.has("initial_magmoms") and np.any(moments := atoms.get_initial_magnetic_moments()):
        if moments.ndim > 1:
            raise UsageError(f"{where}: initial magnetic moments are vectors, expected numbers along one axis.")
        return abs(whole_number(float(moments.sum()), "the total of its initial magnetic moments", where, _WHOLE)) + 1
    return stated


def _values(atoms: ase.Atoms, keys: tuple[str, ...], where: str) -> dict[str, int]:
    return {key: whole_number(atoms.info[key], key, where) for key in keys if atoms.info.get(key) is not None}


def _one(name: str, found: dict[str, int], where: str) -> int | None:
    if len(set(found.values())) > 1:
        stated = ", ".join(f"{key} {value}" for key, value in found.items())
        raise UsageError(f"{where} states its {name} in ways that differ: {stated}. Correct the structure.")
    return next(iter(found.values()), None)


def whole_number(value: object, name: str, where: str, tolerance: float = 0.0) -> int:
    """A number as an integer, which a file may have written as a real one.

    Args:
        value: the number.
        name: what it is, in errors.
        where: name of the structure in errors.
        tolerance: how far it may be from an integer.

    Raises:
        UsageError: it is farther, or no number.
    """
    try:
        number = math.nan if isinstance(value, bool | np.bool_) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or abs(number - round(number)) > tolerance:
        raise UsageError(f"{where}: {name} {value}, expected an integer. Correct the structure.")
    return round(number)
