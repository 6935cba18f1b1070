"""Time a step of OpenMM on its CUDA platform, the force on the Context's own arrays where it can be.

    TRANSIP_KERNELS=native python benchmarks/cuda/openmm_platform.py water.pt water.pdb --repeat 1 --repeat 4

With TRANSIP_KERNELS=torch positions come through the host and torch evaluates.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import ase.io
import openmm

from transip_md.common import units
from transip_md.engines.openmm import create_force
from transip_md.engines.openmm.native import forces_on_device

WARM_UP = 20
STEP = 0.0005  # ps


def milliseconds(model: Path, atoms: ase.Atoms, precision: str, seconds: float) -> dict[str, object]:
    """Wall time of a step of velocity Verlet from 300 K, the fastest of many batches."""
    periodic = bool(atoms.pbc.all())
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    if periodic:
        system.setDefaultPeriodicBoxVectors(*(atoms.cell.array / units.ANGSTROM_PER_NM))
    system.addForce(create_force(model, atoms.numbers, device="cuda", periodic=periodic, backend="native"))
    platform = openmm.Platform.getPlatformByName("CUDA")
    context = openmm.Context(system, openmm.VerletIntegrator(STEP), platform, {"Precision": precision})
    context.setPositions(atoms.positions / units.ANGSTROM_PER_NM)
    context.setVelocitiesToTemperature(300, 1)
    integrator = context.getIntegrator()
    batch = WARM_UP
    times: list[float] = []
    end = time.perf_counter() + seconds
    integrator.step(WARM_UP)
    context.getState(energy=True)
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        integrator.step(batch)
        context.getState(energy=True)
        times.append((time.perf_counter() - start) / batch)
    on_arrays = forces_on_device() > 0
    return {"atoms": len(atoms), "precision": precision, "ms": 1e3 * min(times), "on_arrays": on_arrays}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("structure", type=Path)
    parser.add_argument("--repeat", type=int, action="append", help="periodic structures so many times along each axis")
    parser.add_argument("--precision", default="mixed", choices=("single", "mixed", "double"))
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each size is run")
    parser.add_argument("--json", type=Path, help="file for the times")
    arguments = parser.parse_args()
    structure = ase.io.read(arguments.structure)
    rows = []
    for repeat in arguments.repeat or [1]:
        atoms = structure.repeat(repeat) if repeat > 1 else structure
        rows.append(milliseconds(arguments.model, atoms, arguments.precision, arguments.seconds))
        print(rows[-1], flush=True)
        if arguments.json:
            result = {
                "kernels": os.environ.get("TRANSIP_KERNELS", "auto"),
                "openmm": openmm.version.version,
                "rows": rows,
            }
            arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
