"""What checks give back: numbers with verdicts, and curves to draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

#: From good to bad; a skipped check and a number without threshold judge nothing.
VERDICTS = ("INFO", "SKIP", "PASS", "WARN", "FAIL")


@dataclass(frozen=True)
class Finding:
    """One number that a check measured.

    Attributes:
        check: the check's name.
        structure: what it was measured on; empty for the model itself.
        key: of the threshold, ``check.quantity``.
        quantity: in words.
        value: None if there is none.
        unit: of value, good and bad.
        good: threshold of PASS; None without one.
        bad: threshold of FAIL; between the two lies WARN.
        verdict: one of `VERDICTS`.
        note: what else belongs to the number, or why it is missing.
    """

    check: str
    structure: str
    key: str
    quantity: str
    value: float | None
    unit: str
    good: float | None
    bad: float | None
    verdict: str
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """Numbers to draw, no verdict.

    Attributes:
        check: the check's name.
        structure: what it was measured on.
        panel: curves with the same panel are drawn into one picture.
        label: of this curve.
        x: abscissa; for histograms the samples.
        y: ordinate; None makes it a histogram.
        x_label: with unit.
        y_label: with unit.
        mark: abscissa of a vertical line, such as an equilibrium length.
    """

    check: str
    structure: str
    panel: str
    label: str
    x: list[float]
    y: list[float] | None
    x_label: str
    y_label: str
    mark: float | None = None


@dataclass
class Validation:
    """Everything that a validation found.

    Attributes:
        model: name of the model file.
        metadata: of the file, plain JSON.
        structures: names of the structures.
        findings: in the order of the checks.
        curves: to draw.
        seconds: wall time of each check.
        made_with: versions.
        date: UTC, ISO 8601.
        symmetry: what every evaluation went through; "none": the model as it is.
    """

    model: str
    metadata: dict[str, Any]
    structures: list[str]
    findings: list[Finding] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=dict)
    date: str = ""
    symmetry: str = "none"

    @property
    def verdict(self) -> str:
        """The worst verdict of all."""
        return max((finding.verdict for finding in self.findings), key=VERDICTS.index, default="SKIP")

    def of(self, *verdicts: str) -> Iterator[Finding]:
        """Findings with one of these verdicts."""
        return (finding for finding in self.findings if finding.verdict in verdicts)

    def value(self, key: str) -> float | None:
        """The worst number of a key over the structures; None if it was not measured."""
        values = [finding.value for finding in self.findings if finding.key == key and finding.value is not None]
        falling = any(
            f.key == key and f.good is not None and f.bad is not None and f.good > f.bad for f in self.findings
        )
        return (min if falling else max)(values) if values else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, curves included."""
        return {"verdict": self.verdict, **asdict(self)}
