"""Energies along runs that somebody made elsewhere: LAMMPS logs, tables of OpenMM's StateDataReporter, our own CSV."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transip_md.common import units
from transip_md.common.errors import UsageError
from transip_md.common.thermal import degrees_of_freedom, temperature_of
from transip_md.dynamics.files import CSV_HEADER, read_csv
from transip_md.engines.base import EnergyRecord

#: eV and ps of LAMMPS's units.
LAMMPS_UNITS = {"metal": (1.0, 1.0), "real": (1.0 / units.KCAL_PER_MOL_PER_EV, 1e-3)}
#: Names of columns of LAMMPS, in the styles "one" and "multi" of several versions; lower case.
COLUMNS = {
    "step": ("step",),
    "time": ("time",),
    "potential": ("pe", "poteng"),
    "kinetic": ("ke", "kineng"),
    "total": ("etotal", "toteng"),
    "temperature": ("temp",),
    "conserved": ("econserve", "v_econserve"),
    "bath": ("ecouple",),
}
FEWEST_ROWS = 40
HELP = "Expected a LAMMPS log with a table of thermo output, a CSV of OpenMM's StateDataReporter, or one of ours."


@dataclass(frozen=True)
class Log:
    """Energies of a run from elsewhere.

    Attributes:
        record: along the run.
        atoms: number of atoms; None if the file does not state it.
        timestep: fs; None if the file does not state it.
        engine: that wrote it.
    """

    record: EnergyRecord
    atoms: int | None
    timestep: float | None
    engine: str


def read_log(path: Path, atoms: int | None = None) -> Log:
    """Read energies from a file.

    Args:
        path: a LAMMPS log (units metal or real), a CSV of OpenMM's StateDataReporter, or a CSV of `transip-md nve`. Of
            several runs in one log, the last with a table long enough is read.
        atoms: number of atoms, where the file does not state it; tables without a kinetic energy need it.

    Raises:
        UsageError: a file that cannot be used.
    """
    if not path.is_file():
        raise UsageError(f"No such file: {path}. {HELP}")
    text = path.read_text(errors="replace")
    first = text.split("\n", 1)[0]
    if first.startswith(CSV_HEADER):
        record = read_csv(path)
        log = Log(record, None, None, "transip-md")
    elif "Step" in first and "(kJ/mole)" in first:
        log = _openmm(path, text, atoms)
    else:
        log = _lammps(path, text, atoms)
    if len(log.record.time) < FEWEST_ROWS:
        raise UsageError(
            f"{path} holds {len(log.record.time)} rows; a verdict needs {FEWEST_ROWS}. Write energies more often "
            "(LAMMPS: `thermo 10`)."
        )
    return log


def _lammps(path: Path, text: str, atoms: int | None) -> Log:
    tables = _tables(text)
    if not tables:
        raise UsageError(f"{path} holds no table of energies. {HELP}")
    column, rows = max(tables, key=lambda table: len(table[1]))
    table = np.array(rows).reshape(len(rows), len(column))

    def values(what: str) -> np.ndarray | None:
        return next((table[:, column[name]] for name in COLUMNS[what] if name in column), None)

    style = re.search(r"^\s*Unit style\s*:\s*(\w+)|^\s*units\s+(\w+)", text, re.MULTILINE)
    unit = next((group for group in style.groups() if group), "lj") if style else "lj"
    if unit not in LAMMPS_UNITS:
        raise UsageError(f"{path} is in units {unit}, or does not give them; expected `units metal` or `units real`.")
    energy_unit, time_unit = LAMMPS_UNITS[unit]
    found = re.findall(r"^Loop time of .* with (\d+) atoms", text, re.MULTILINE)
    atoms = int(found[-1]) if found else atoms
    step_text = re.findall(r"^\s*Time step\s*:\s*(\S+)|^\s*timestep\s+([\d.eE+-]+)", text, re.MULTILINE)
    step_size = float(next(filter(None, step_text[-1]))) * time_unit if step_text else None
    steps, potential, total = values("step"), values("potential"), values("total")
    time, kinetic, temperature = values("time"), values("kinetic"), values("temperature")
    if steps is None or (time is None and step_size is None):
        raise UsageError(f"{path} does not give the time step. Add `time` to thermo_style custom.")
    time = time * time_unit if time is not None else steps * step_size
    if kinetic is None and total is not None and potential is not None:
        kinetic = total - potential
    if kinetic is None and temperature is not None and atoms:
        kinetic = 0.5 * degrees_of_freedom(atoms) * units.BOLTZMANN * temperature / energy_unit
    if kinetic is None or (potential is None and total is None):
        raise UsageError(f"{path} lacks energies. Type `thermo_style custom step time pe ke etotal temp` in the deck.")
    potential = total - kinetic if potential is None else potential
    conserved, bath = values("conserved"), values("bath")
    if conserved is not None:
        bath = conserved - potential - kinetic
    kinetic = kinetic * energy_unit
    if temperature is None and atoms is None:
        raise UsageError(f"{path} gives neither temperature nor atoms. Type `--structure FILE`.")
    record = EnergyRecord(
        time,
        potential * energy_unit,
        kinetic,
        temperature if temperature is not None else temperature_of(kinetic, atoms or 1),
        bath=None if bath is None or not np.any(bath) else bath * energy_unit,
    )
    if step_size is None and len(steps) > 1 and steps[1] > steps[0]:
        step_size = (time[1] - time[0]) / (steps[1] - steps[0])
    return Log(record, atoms, None if step_size is None else 1000.0 * step_size, "lammps")


def _tables(text: str) -> list[tuple[dict[str, int], list[list[float]]]]:
    """Tables of thermo output, in the styles "one" and "multi": columns by name, lower case, and rows."""
    tables: list[tuple[dict[str, int], list[list[float]]]] = []
    inside = False
    block: dict[str, float] = {}

    def close() -> None:
        """Keep the row that the lines so far have given, one "name = value" beside another."""
        if block:
            columns = {name: index for index, name in enumerate(block)}
            if not tables or tables[-1][0] != columns:
                tables.append((columns, []))
            tables[-1][1].append(list(block.values()))
            block.clear()

    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["Step"]:
            tables.append(({word.lower(): index for index, word in enumerate(words)}, []))
            inside = True
        elif inside and len(words) == len(tables[-1][0]) and _are_numbers(words):
            tables[-1][1].append([float(word) for word in words])
        elif found := re.match(r"-+ Step\s+(\d+) -", line):
            close()
            block["step"] = float(found[1])
        elif block and (pairs := re.findall(r"(\w+)\s*=\s*(\S+)", line)) and _are_numbers([v for _, v in pairs]):
            block.update({name.lower(): float(value) for name, value in pairs})
        else:
            close()
            inside = inside and not line.startswith(("Loop time", "ERROR"))
    close()
    return tables


def _are_numbers(words: list[str]) -> bool:
    try:
        [float(word) for word in words]
    except ValueError:
        return False
    return True


def _openmm(path: Path, text: str, atoms: int | None) -> Log:
    rows = list(csv.reader(text.splitlines(), delimiter="\t" if "\t" in text.split("\n", 1)[0] else ","))
    names = [name.lstrip("#").strip('"') for name in rows[0]]
    table = np.array(
        [[float(word) for word in row] for row in rows[1:] if len(row) == len(names) and _are_numbers(row)]
    )
    table = table.reshape(-1, len(names))
    column = dict(zip(names, table.T, strict=True))
    needed = {
        "Time (ps)": "time=True",
        "Total Energy (kJ/mole)": "totalEnergy=True",
        "Kinetic Energy (kJ/mole)": "kineticEnergy=True",
    }
    missing = [option for name, option in needed.items() if name not in column]
    if missing == ["kineticEnergy=True"] and "Potential Energy (kJ/mole)" in column:
        missing = []
    if missing:
        raise UsageError(f"{path} lacks columns. Give StateDataReporter {', '.join(missing)}.")
    total = column["Total Energy (kJ/mole)"] / units.KJ_PER_MOL_PER_EV
    if "Kinetic Energy (kJ/mole)" in column:
        kinetic = column["Kinetic Energy (kJ/mole)"] / units.KJ_PER_MOL_PER_EV
    else:
        kinetic = total - column["Potential Energy (kJ/mole)"] / units.KJ_PER_MOL_PER_EV
    temperature = column.get("Temperature (K)")
    if temperature is None:
        if atoms is None:
            raise UsageError(f"{path} gives no temperature. Give StateDataReporter temperature=True, or --structure.")
        temperature = temperature_of(kinetic, atoms)
    time, steps = column["Time (ps)"], column.get("Step")
    step_size = None
    if steps is not None and len(steps) > 1 and steps[1] > steps[0]:
        step_size = 1000.0 * (time[1] - time[0]) / (steps[1] - steps[0])
    return Log(EnergyRecord(time, total - kinetic, kinetic, temperature), atoms, step_size, "openmm")
