"""The certificate: what a validation found, inside the model file."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from transip_md.metadata import METADATA_NAME, Metadata, read_metadata
from transip_md.modelfile.archive import FOLDER, Archive, write_archive
from transip_md.text import one_line
from transip_md.validation.findings import VERDICTS, Validation
from transip_md.whole_files import replacing

#: Numbers that the one-line summary tells, with their names there.
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


def stamp(path: Path, certificate: dict[str, Any] | None) -> Metadata:
    """Write a certificate into a model file; every other byte of its contents stays, and the file changes whole or not.

    Args:
        path: a file made by ``transip-md export``, TorchScript or compiled.
        certificate: from `certificate_of`; None takes it out.

    Returns:
        The file's new metadata.

    Raises:
        UsageError: not a model file.
    """
    metadata = read_metadata(path).model_copy(update={"certificate": certificate})
    name = f"extra/{METADATA_NAME}"
    with replacing(path) as partial:
        with Archive(path) as source, partial.open("wb") as target:
            contents = (
                (entry, metadata.to_json().encode() if entry == name else source.read(entry), info.compress_type)
                for entry, info in source.entries.items()
            )
            write_archive(target, FOLDER, contents)
        read_metadata(partial)
    return metadata


#: Environment variable that is set in processes whose parent tells the certificate.
QUIET = "TRANSIP_MD_QUIET"

_told: set[Path] = set()


def tell_certificate(metadata: Metadata, path: Path | str) -> None:
    """Say on standard error what a validation found of a model file, once for each file and command."""
    place = Path(path).resolve()
    if place not in _told and not os.environ.get(QUIET):
        _told.add(place)
        print(one_line(f"TransIP model {path}: validated: {certificate_line(metadata)}"), file=sys.stderr)


def certificate_line(metadata: Metadata) -> str:
    """One line for people: the certificate's summary, or that there is none."""
    if metadata.certificate is None:
        return "no; type `transip-md validate`"
    return str(metadata.certificate.get("summary") or json.dumps(metadata.certificate))
