"""A short run at constant energy: drift of the energy and of the angular momentum."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from transip_md.common.thermal import thermal_angular_momentum, thermal_velocities
from transip_md.dynamics.analysis import drift_of
from transip_md.engines.ase.engine import AseEngine
from transip_md.engines.base import Dynamics, Job
from transip_md.validation.findings import Curve, Finding
from transip_md.validation.registry import check
from transip_md.validation.subject import MILLI, Subject

TIMESTEP = 0.5  # fs
TEMPERATURE = 300.0  # K
EVERY = 5


@check("conservation", "Constant energy, one picosecond")
def conservation(subject: Subject) -> Iterator[Finding | Curve]:
    """Velocity Verlet in ASE; `transip-md nve` runs longer, in every engine."""
    steps = subject.many(2000, 1000)
    velocities = thermal_velocities(subject.atoms, TEMPERATURE, subject.seed)
    record = AseEngine().dynamics(
        Job(subject.path, subject.atoms, subject.folder, subject.device, subject.symmetry.text),
        Dynamics(TIMESTEP, steps, EVERY, velocities),
        lambda _: None,
    )
    slope, error = drift_of(record, len(subject.atoms))
    threshold = subject.judge("conservation.drift", 0.0).good or 0.0
    yield subject.judge(
        "conservation.drift",
        abs(slope),
        f"{slope:+.2g} ± {error:.2g}, {steps * TIMESTEP / 1000:g} ps at {TIMESTEP:g} fs from {TEMPERATURE:g} K",
        doubt=error > threshold,
    )
    yield Curve(
        "conservation", subject.name, "total energy at constant energy", "", record.time.tolist(),
        (MILLI * (record.total - record.total[0]) / len(subject.atoms)).tolist(), "time (ps)", "E − E(0) (meV/atom)",
    )  # fmt: skip
    if subject.periodic:
        return
    scale = thermal_angular_momentum(subject.atoms.get_masses(), subject.atoms.positions, TEMPERATURE)
    change = np.linalg.norm(record.angular - record.angular[0], axis=1) / scale
    yield subject.judge(
        "conservation.angular_momentum", change.max() / record.time[-1], f"largest |L - L(0)| in {record.time[-1]:g} ps"
    )
    yield Curve(
        "conservation", subject.name, "change of the angular momentum at constant energy", "", record.time.tolist(),
        change.tolist(), "time (ps)", "|L − L(0)| / thermal size",
    )  # fmt: skip
