"""The register in which each check puts itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

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


#: Checks by name, in the order in which their modules are imported.
registered: dict[str, Check] = {}


def check(name: str, title: str, *, once: bool = False) -> Callable[[Measure], Measure]:
    """Register a check; arguments as in `Check`."""

    def register(measure: Measure) -> Measure:
        registered[name] = Check(name, title, once, measure)
        return measure

    return register
