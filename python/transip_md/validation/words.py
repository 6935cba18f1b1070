"""What a validation found, in sentences for somebody who does not know the checks."""

from __future__ import annotations

from collections.abc import Iterator

from transip_md.validation.findings import VERDICTS, Finding, Validation

#: Changes below these are rounding: of a force, meV/Angstrom; of the angular momentum, thermal sizes in a picosecond.
EXACT_FORCE, EXACT_MOMENTUM = 1e-3, 1e-6


def sentences(result: Validation) -> list[str]:
    """What the numbers mean for a run, by structure: rotation, angular momentum, bonds, pairs of atoms."""
    sentences_ = []
    for structure in result.structures:
        found = {finding.key: finding for finding in result.findings if finding.structure == structure}
        verdicts: dict[str, str] = {}
        for finding in found.values():
            verdicts[finding.check] = max(verdicts.get(finding.check, "INFO"), finding.verdict, key=VERDICTS.index)
        of = f"{structure}: " if len(result.structures) > 1 else ""
        for words in (_rotation(found, result.symmetry), _momentum(found), _bonds(found, verdicts), _pairs(verdicts)):
            line = " ".join(words)
            if line:
                sentences_.append(of + line)
    return sentences_


def _value(found: dict[str, Finding], key: str) -> float | None:
    return found[key].value if key in found else None


def _rotation(found: dict[str, Finding], symmetry: str) -> Iterator[str]:
    mean, worst = _value(found, "rotation.force"), _value(found, "rotation.force_worst")
    energy, spread = _value(found, "rotation.energy"), _value(found, "rotation.spread")
    if mean is None or worst is None or energy is None:
        return
    how = "" if symmetry == "none" else f"With symmetry {symmetry}: "
    yield (
        f"{how}Rotated at random, the structure has forces that differ by {mean:.2g} meV/Å in a mean component and by "
        f"{worst:.2g} in the worst, and an energy that differs by {energy:.2g} meV/atom in the mean"
        + (f" and by up to {spread:.2g} meV between orientations (kT at 300 K is 25.9)." if spread is not None else ".")
    )
    if worst < EXACT_FORCE:
        yield "That is rounding: rotation is exact."
        return
    yield "A rotationally invariant energy has zeros here."
    if symmetry == "none":
        yield (
            "This model has learned its symmetry and keeps it to that extent; no smaller time step and no more digits "
            "make it better, exact symmetry at inference does (--symmetry)."
        )


def _momentum(found: dict[str, Finding]) -> Iterator[str]:
    torque, change = _value(found, "net_torque.torque"), _value(found, "conservation.angular_momentum")
    if torque is not None and torque > EXACT_FORCE:
        yield f"The forces rotate the molecule with a torque of {torque:.2g} meV/rad that comes from nowhere."
    if change is None:
        return
    if change < EXACT_MOMENTUM:
        yield f"The angular momentum is conserved: it changes by {change:.1g} of its thermal size in a picosecond."
        return
    yield (
        f"The angular momentum is not conserved: it changes by {change:.2g} of its thermal size in a picosecond at "
        "constant energy, although the energy may not drift at all. If it continues like that, nothing is left of the "
        f"first value after some {1 / change:.2g} ps: whatever hangs on the rotation of a single molecule is wrong "
        "from then on."
    )


def _bonds(found: dict[str, Finding], verdicts: dict[str, str]) -> Iterator[str]:
    reach = found.get("bonds.reach")
    if reach is None or reach.value is None:
        return
    if verdicts["bonds"] == "PASS":
        yield "Bonds, stretched and compressed: smooth wells, walls that hold."
        return
    yield (
        "Bonds, stretched and compressed with everything else rigid, are smooth wells up to "
        f"{reach.value:.2g} eV above the minimum ({reach.note}). Beyond, towards half and twice a bond's length, the "
        "energy has wells and holes that a molecule has not. An atom that gets there stays or flies off, the energy is "
        "conserved all the while, and nothing warns. Keep well below these temperatures, let no bond break or form, "
        "and start from a structure without clashes."
    )


def _pairs(verdicts: dict[str, str]) -> Iterator[str]:
    if verdicts.get("dimers") == "FAIL":
        yield (
            "Two atoms alone, away from the length of a bond, have an energy that means nothing; few models were "
            "trained on any. That matters where atoms that are not bonded are driven into each other, and where "
            "fragments of two atoms come about; a run in which no bond breaks has neither."
        )
    elif verdicts.get("dimers") == "WARN":
        yield (
            "Two atoms alone, away from the length of a bond, have an energy with a bump or a minimum more than is "
            "expected. That matters where fragments of two atoms come about; a run in which no bond breaks has none."
        )
