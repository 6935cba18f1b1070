"""The checks, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from transip_md.errors import UsageError
from transip_md.validation.findings import Curve, Finding
from transip_md.validation.subject import Subject

Measure = Callable[[Subject], Iterable[Finding | Curve]]


@dataclass(frozen=True)
class Check:
    """A check.

    Attributes:
        name: what `--only` and `--skip` take.
        title: for people.
        once: it is about the model, and is done for the first structure only.
        measure: does it.
    """

    name: str
    title: str
    once: bool
    measure: Measure


_checks: dict[str, Check] = {}


def check(name: str, title: str, *, once: bool = False) -> Callable[[Measure], Measure]:
    """Register a check; arguments as in `Check`."""

    def register(measure: Measure) -> Measure:
        _checks[name] = Check(name, title, once, measure)
        return measure

    return register


def all_checks() -> dict[str, Check]:
    """Every check, in the order of the report."""
    # Each of these registers its checks when it is imported.
    from transip_md.validation import (  # noqa: F401
        agreement,
        conservation,
        gradients,
        invariance,
        labels,
        locality,
        scans,
        symmetry,
    )

    order = (
        "forces", "virial", "translation", "far_from_origin", "permutation", "wrapping", "rotation", "embedding",
        "net_force", "net_torque", "extensivity", "locality", "cutoff", "bonds", "torsions", "dimers", "precision",
        "engines", "labels", "conservation",
    )  # fmt: skip
    return {name: _checks[name] for name in order}


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
