"""All checks, and those that a user chooses."""

from __future__ import annotations

from collections.abc import Iterable

from transip_md.common.errors import UsageError

# Each of these registers its checks when it is imported.
from transip_md.validation import (  # noqa: F401
    agreement,
    conservation,
    gradients,
    invariance,
    known,
    labels,
    locality,
    scans,
    symmetry,
)
from transip_md.validation.registry import Check, registered


def all_checks() -> dict[str, Check]:
    """Every check, in the order of the report."""
    order = (
        "known", "forces", "virial", "translation", "far_from_origin", "permutation", "wrapping", "rotation",
        "embedding", "net_force", "net_torque", "extensivity", "locality", "cutoff", "bonds", "torsions", "dimers",
        "precision", "engines", "labels", "conservation",
    )  # fmt: skip
    return {name: registered[name] for name in order}


def select(only: Iterable[str] = (), skip: Iterable[str] = ()) -> list[Check]:
    """The checks that a choice means.

    Args:
        only: names; empty for all.
        skip: names to leave out.

    Raises:
        UsageError: no such check, or none is left.
    """
    checks = all_checks()
    only, skip = list(only), list(skip)
    for name in [*only, *skip]:
        if name not in checks:
            raise UsageError(f"No check is called {name!r}. Checks: {', '.join(checks)}.")
    chosen = [entry for name, entry in checks.items() if (not only or name in only) and name not in skip]
    if not chosen:
        raise UsageError("No check is left. Take a name out of --skip.")
    return chosen
