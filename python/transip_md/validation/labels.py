"""Against labels, where the structure's file has them."""

from __future__ import annotations

from collections.abc import Iterator

import ase
import numpy as np

from transip_md.data.electronic_state import state_of
from transip_md.validation.findings import Curve, Finding
from transip_md.validation.registry import check
from transip_md.validation.subject import MILLI, Subject

#: Frames that are looked at, evenly over the file.
MOST_FRAMES = 100


def _labelled(subject: Subject) -> list[ase.Atoms]:
    """Frames with labels, of the subject's charge and multiplicity."""
    state = (subject.charge, subject.multiplicity)
    frames = [frame for frame in subject.frames if frame.calc and {"energy", "forces"} <= frame.calc.results.keys()]
    return [frame for frame in frames if state_of(frame, subject.name) == state]


@check("labels", "Energies and forces against labels")
def labels(subject: Subject) -> Iterator[Finding | Curve]:
    """Errors on the labelled frames of the file."""
    frames = _labelled(subject)
    if not frames:
        yield subject.skip("labels", "the file has no energies and forces")
        return
    if subject.framed and not all(np.array_equal(frame.numbers, subject.atoms.numbers) for frame in frames):
        yield subject.skip("labels", "a frame is of one molecule, and the file has several")
        return
    rows = np.unique(np.linspace(0, len(frames) - 1, subject.many(MOST_FRAMES, 20)).astype(int))
    energy, found, wanted = [], [], []
    for row in rows:
        frame = frames[row]
        point = subject.evaluate(frame)
        energy.append((point.energy - frame.calc.results["energy"]) / len(frame))
        found.append(point.forces.ravel())
        wanted.append(np.asarray(frame.calc.results["forces"]).ravel())
    off = np.concatenate(found) - np.concatenate(wanted)
    note = f"{len(rows)} of {len(frames)} frames"
    rmse = MILLI * float(np.sqrt(np.square(energy).mean()))
    yield subject.judge("labels.energy", MILLI * float(np.abs(energy).mean()), f"{note}; RMSE {rmse:.3g} meV/atom")
    rmse = MILLI * float(np.sqrt(np.square(off).mean()))
    yield subject.judge("labels.force", MILLI * float(np.abs(off).mean()), f"{note}; RMSE {rmse:.3g} meV/Angstrom")
    yield Curve(
        "labels", subject.name, "force components: model and labels", "", np.concatenate(wanted)[:2000].tolist(),
        (MILLI * off)[:2000].tolist(), "label (eV/Å)", "model − label (meV/Å)",
    )  # fmt: skip
