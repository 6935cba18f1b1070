"""What every runner does: read the task, advance, time. Run by a baseline's own Python, with ase and numpy."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Fewest steps before those that count (just-in-time compilers run theirs in the first few), and fewest that do.
FEWEST_WARMUP, FEWEST = 3, 5
#: Of the springs that hold each atom to its place where the weights are random, eV/Angstrom^2.
STIFFNESS = 2.0
#: Part of the forces of random weights that moves the atoms.
SHARE = 1e-6


def read_task() -> dict[str, Any]:
    """The task, from the file that the command line names.

    Its process is the first to go when memory runs out, not the benchmark.
    """
    Path("/proc/self/oom_score_adj").write_text("1000")
    return json.loads(Path(sys.argv[1]).read_text())


def time_dynamics(task: dict[str, Any], calculator: Any, *, random_weights: bool) -> None:
    """Time steps of velocity Verlet in ase and print the result.

    Forces of random weights would tear the structure apart or press it together, and with it change the number of
    neighbours: they are computed in full, but springs move the atoms.

    Args:
        task: from `read_task`.
        calculator: of ase.
        random_weights: whether springs move the atoms.
    """
    import ase.io
    import ase.units
    from ase.md.verlet import VelocityVerlet

    atoms = ase.io.read("start.extxyz")
    atoms.calc = calculator
    if random_weights:
        atoms.set_constraint(Springs(atoms.positions))
    start = atoms.positions.copy()
    answer(*time_steps(task, VelocityVerlet(atoms, task["timestep"] * ase.units.fs).run))
    if not 0 < abs(atoms.positions - start).max() < 100:
        raise SystemExit("The atoms stood still, or were lost: this was no simulation.")


def time_steps(task: dict[str, Any], advance: Callable[[int], Any]) -> tuple[float, int]:
    """Seconds that a step takes, and of how many.

    Args:
        task: from `read_task`.
        advance: runs so many steps.
    """
    start = time.perf_counter()
    warmup = 0
    while warmup < FEWEST_WARMUP or (warmup < task["warmup"] and time.perf_counter() - start < task["seconds"]):
        advance(1)
        warmup += 1
    start = time.perf_counter()
    advance(1)
    steps = number_of_steps(task, time.perf_counter() - start)
    start = time.perf_counter()
    advance(steps)
    return (time.perf_counter() - start) / steps, steps


def number_of_steps(task: dict[str, Any], step: float) -> int:
    """How many steps fit into the task's seconds, within limits.

    Args:
        task: from `read_task`.
        step: what one takes, s.
    """
    return max(FEWEST, min(task["steps"], int(task["seconds"] / step)))


def answer(step: float, steps: int, memory: float | None = None) -> None:
    """Print the result.

    Args:
        step: s.
        steps: how many were timed.
        memory: largest resident memory, MB; by default this process's.
    """
    if memory is None:
        status = Path("/proc/self/status").read_text()
        memory = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print("TIMING " + json.dumps({"step": step, "steps": steps, "memory": memory}), flush=True)


class Springs:
    """A constraint of ase that replaces all but a trace of the forces by springs to where the atoms are now."""

    def __init__(self, positions: Any) -> None:
        """Tie all atoms to their places.

        Args:
            positions: Angstrom, [N, 3].
        """
        self.places = positions.copy()

    def adjust_forces(self, atoms: Any, forces: Any) -> None:
        """As ase asks for it.

        Args:
            atoms: where they are now.
            forces: eV/Angstrom, changed in place.
        """
        forces *= SHARE
        forces -= STIFFNESS * (atoms.positions - self.places)

    def adjust_potential_energy(self, atoms: Any) -> float:
        """Of the springs, eV; ase asks constraints that have one for forces in molecular dynamics too.

        Args:
            atoms: where they are now.
        """
        return 0.5 * STIFFNESS * float(((atoms.positions - self.places) ** 2).sum())

    def adjust_positions(self, atoms: Any, positions: Any) -> None:
        """Positions are free."""

    def adjust_momenta(self, atoms: Any, momenta: Any) -> None:
        """Momenta are free."""

    def get_removed_dof(self, atoms: Any) -> int:
        """None are removed."""
        return 0
