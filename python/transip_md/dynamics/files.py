"""Energies along a run as CSV, frames as extended XYZ, and a picture of several engines over each other."""

from __future__ import annotations

from pathlib import Path

import ase
import ase.io
import numpy as np

from transip_md.common.whole_files import replacing
from transip_md.engines.base import EnergyRecord

#: Differences below this are drawn here: a logarithm has no zero. eV.
SMALLEST_SHOWN = 1e-14
CSV_HEADER = "time_ps,potential_eV,kinetic_eV,total_eV,temperature_K"
#: Further columns, where a run has them: amu Angstrom/fs, and amu Angstrom^2/fs about the centre of mass.
BATH, MOMENTUM, ANGULAR = "bath_eV", ("px", "py", "pz"), ("lx", "ly", "lz")


def write_csv(path: Path, record: EnergyRecord) -> None:
    """Write a record with every digit, whole or not at all; columns as `CSV_HEADER`, and what else it has."""
    columns = [record.time, record.potential, record.kinetic, record.total, record.temperature]
    names = [CSV_HEADER]
    if record.bath is not None:
        columns, names = [*columns, record.bath], [*names, BATH]
    for triple, values in ((MOMENTUM, record.momentum), (ANGULAR, record.angular)):
        if values is not None:
            columns, names = [*columns, *values.T], [*names, *triple]
    with replacing(path) as partial:
        np.savetxt(partial, np.column_stack(columns), delimiter=",", header=",".join(names), comments="", fmt="%.17g")


def read_csv(path: Path) -> EnergyRecord:
    """Read what `write_csv` wrote."""
    with path.open() as lines:
        names = lines.readline().strip().split(",")
    table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    column = dict(zip(names, table.T, strict=True))

    def triple(wanted: tuple[str, ...]) -> np.ndarray | None:
        return np.column_stack([column[name] for name in wanted]) if wanted[0] in column else None

    return EnergyRecord(
        column["time_ps"],
        column["potential_eV"],
        column["kinetic_eV"],
        column["temperature_K"],
        bath=column.get(BATH),
        momentum=triple(MOMENTUM),
        angular=triple(ANGULAR),
    )


def write_frames(path: Path, record: EnergyRecord, atoms: ase.Atoms) -> None:
    """Write a record's frames, with their time in ps, as extended XYZ."""
    if record.frames is None or record.frame_times is None:
        return
    frames = []
    for positions, time in zip(record.frames, record.frame_times, strict=True):
        frame = ase.Atoms(atoms.numbers, positions, cell=atoms.cell, pbc=atoms.pbc)
        frame.info["time_ps"] = float(time)
        frames.append(frame)
    ase.io.write(path, frames, format="extxyz")


def read_positions(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Positions, Angstrom, [m, N, 3], and times, ps, [m], of what `write_frames` wrote."""
    frames = ase.io.read(path, index=":", format="extxyz")
    return np.stack([frame.positions for frame in frames]), np.array([frame.info["time_ps"] for frame in frames])


def plot_energies(path: Path, records: dict[str, EnergyRecord], atoms: int, title: str) -> None:
    """Plot several runs over each other.

    Panels: conserved energy against its first value (meV/atom), temperature, and, where there are several runs, how far
    the potential energy of each has gone from that of the first: rounding grows until the paths part.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = 3 if len(records) > 1 else 2
    figure, axes = plt.subplots(panels, 1, sharex=True, figsize=(8, 1 + 2.3 * panels), layout="constrained")
    energy, temperature = axes[:2]
    reference_name, reference = next(iter(records.items()))
    styles = {"ase": ("C0", 2.4, "-"), "lammps": ("C1", 1.4, "-"), "openmm": ("C2", 0.9, "--")}
    for name, record in records.items():
        colour, width, line = styles.get(name, ("C3", 1.0, "-"))
        deviation = 1000.0 * (record.conserved - record.conserved[0]) / atoms
        energy.plot(record.time, deviation, color=colour, linewidth=width, linestyle=line, label=name)
        temperature.plot(record.time, record.temperature, color=colour, linewidth=width, linestyle=line)
        if name != reference_name:
            difference = np.abs(record.potential - reference.potential)
            axes[2].semilogy(
                record.time, np.maximum(difference, SMALLEST_SHOWN), color=colour, linewidth=0.8, label=name
            )
    thermostatted = any(record.bath is not None for record in records.values())
    energy.set_ylabel(f"{'conserved' if thermostatted else 'total'} energy − start (meV/atom)")
    energy.set_title(title)
    energy.legend(loc="upper right")
    temperature.set_ylabel("temperature (K)")
    if panels == 3:
        axes[2].set_ylabel(f"|E_pot − {reference_name}| (eV)")
        axes[2].legend(loc="lower right")
    axes[-1].set_xlabel("time (ps)")
    for panel in axes:
        panel.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)
