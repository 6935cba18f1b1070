"""Energies along a run as CSV, and as a plot of several engines over each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transip_md.engines.base import EnergyRecord

#: Differences below this are drawn here: a logarithm has no zero. eV.
SMALLEST_SHOWN = 1e-14
CSV_HEADER = "time_ps,potential_eV,kinetic_eV,total_eV,temperature_K"


def write_csv(path: Path, record: EnergyRecord) -> None:
    """Write a record; columns as `CSV_HEADER`, with every digit."""
    columns = [record.time, record.potential, record.kinetic, record.total, record.temperature]
    np.savetxt(path, np.column_stack(columns), delimiter=",", header=CSV_HEADER, comments="", fmt="%.17g")


def read_csv(path: Path) -> EnergyRecord:
    """Read what `write_csv` wrote."""
    time, potential, kinetic, _, temperature = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2).T
    return EnergyRecord(time, potential, kinetic, temperature)


def plot_energies(path: Path, records: dict[str, EnergyRecord], atoms: int, title: str) -> None:
    """Plot several runs over each other.

    Panels: total energy against its first value (meV/atom), temperature, and, where there are several runs, how far the
    potential energy of each has gone from that of the first: rounding grows until the paths part.
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
        deviation = 1000.0 * (record.total - record.total[0]) / atoms
        energy.plot(record.time, deviation, color=colour, linewidth=width, linestyle=line, label=name)
        temperature.plot(record.time, record.temperature, color=colour, linewidth=width, linestyle=line)
        if name != reference_name:
            difference = np.abs(record.potential - reference.potential)
            axes[2].semilogy(
                record.time, np.maximum(difference, SMALLEST_SHOWN), color=colour, linewidth=0.8, label=name
            )
    energy.set_ylabel("total energy − start (meV/atom)")
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
