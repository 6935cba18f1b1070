"""The certificate that a validation gives a model file."""

from __future__ import annotations

import math
from typing import Any

from transip_md.validation.findings import VERDICTS, Validation

#: Numbers in the one-line summary, with their names there.
HEADLINES = {
    "forces.error": "force error",
    "rotation.force": "rotation error of forces",
    "bonds.reach": "bonds sound up to",
    "conservation.drift": "drift",
    "conservation.angular_momentum": "angular momentum change",
}


def certificate_of(validation: Validation) -> dict[str, Any]:
    """Plain JSON: verdicts by check, the worst number of each quantity, a summary of one line."""
    checks: dict[str, str] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for finding in validation.findings:
        worst = max(checks.get(finding.check, "INFO"), finding.verdict, key=VERDICTS.index)
        checks[finding.check] = worst
        if finding.value is not None:
            value = validation.value(finding.key)
            finite = value is not None and math.isfinite(value)
            numbers[finding.key] = {"value": value if finite else None, "unit": finding.unit}
    return {
        "verdict": validation.verdict,
        "summary": _summary(validation, checks, numbers),
        "date": validation.date,
        "structures": validation.structures,
        "checks": checks,
        "numbers": numbers,
        "made_with": validation.made_with,
    }


def _summary(validation: Validation, checks: dict[str, str], numbers: dict[str, dict[str, Any]]) -> str:
    parts = []
    for verdict in ("FAIL", "WARN"):
        names = [name for name, found in checks.items() if found == verdict]
        if names:
            parts.append(f"{verdict} in {', '.join(names)}")
    parts = parts or [f"PASS in {sum(found == 'PASS' for found in checks.values())} checks"]
    for key, name in HEADLINES.items():
        if key in numbers and numbers[key]["value"] is not None:
            parts.append(f"{name} {numbers[key]['value']:.2g} {numbers[key]['unit']}")
    on = ", ".join(validation.structures[:3]) + (" ..." if len(validation.structures) > 3 else "")
    return f"{'; '.join(parts)} (on {on}, {validation.date[:10]})"
