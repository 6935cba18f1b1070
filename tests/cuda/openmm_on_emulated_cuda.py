"""TransIPForce on OpenMM's CUDA platform, emulated on the CPU; a program of its own, because it loads the plugin again.

    python openmm_on_emulated_cuda.py LIBRARY LOCAL_MODEL MOLECULE_MODEL

The library is what tests/cuda/CMakeLists.txt calls emulated_platform. Every check compares with OpenMM's Reference
platform and the CPU's kernels and prints a line; the exit code is 1 if one fails.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

os.environ["TRANSIP_KERNELS"] = "native"

import ase
import numpy as np
import openmm

from networks import crystal, random_molecule
from openmm_contexts import KJ, NM, context_of, energy_and_forces, system_of
from transip_md.common.tolerances import PARITY

LIBRARY, LOCAL, MOLECULE = sys.argv[1:4]
TOLERANCE = PARITY["float64"]

failures = 0


def check(name: str, value: float, allowed: float) -> None:
    """Print a comparison and count it if it is out of bounds."""
    global failures
    passed = value <= allowed
    failures += not passed
    print(f"{'PASS' if passed else 'FAIL'} {name}: {value:.3g} of {allowed:.3g}")


def make_force(
    model: str,
    numbers: Sequence[int],
    device: str,
    *,
    periodic: bool,
    particles: Sequence[int] = (),
    symmetry: str = "none",
) -> openmm.Force:
    """A TransIPForce by XML, as transip_md.engines.openmm makes one."""
    chosen = list(particles) or range(len(numbers))
    rows = "".join(f'<Particle index="{i}" atomicNumber="{numbers[i]}"/>' for i in chosen)
    return openmm.XmlSerializer.deserialize(
        f'<Force type="TransIPForce" version="2" file={quoteattr(model)} device="{device}" periodic="{periodic:d}" '
        f'symmetry="{symmetry}"><Particles>{rows}</Particles></Force>'
    )


def make_context(atoms: ase.Atoms, platform: str, *forces: openmm.Force, positions: np.ndarray | None = None):
    """A Context of atoms in their cell, if they have one."""
    return context_of(system_of(atoms, *forces), atoms.positions if positions is None else positions, platform)


def compare(name: str, got: openmm.Context, wanted: openmm.Context, groups: int | set[int] = -1) -> None:
    """Energy and forces of two Contexts."""
    (energy, forces), (true_energy, true_forces) = energy_and_forces(got, groups), energy_and_forces(wanted, groups)
    check(f"{name}, energy", abs(energy - true_energy) / len(forces), TOLERANCE.energy)
    check(f"{name}, forces", np.abs(forces - true_forces).max(), TOLERANCE.force)


def on_device() -> int:
    """Forces that work on the arrays of a Context."""
    return ctypes.CDLL(LIBRARY).transip_openmm_forces_on_device()


def local_atoms() -> ase.Atoms:
    """Eight atoms in a triclinic cell smaller than the cutoff's sphere; some far outside of it."""
    atoms = crystal(2)
    atoms.positions[::3] += 2 * atoms.cell.array[0] - atoms.cell.array[2]
    return atoms


def test_precisions() -> None:
    atoms = local_atoms()
    for precision in ("single", "mixed", "double"):
        os.environ["EMULATED_PRECISION"] = precision
        context = make_context(atoms, "CUDA", make_force(LOCAL, atoms.numbers, "cuda", periodic=True))
        check(f"{precision}: forces on the device", abs(on_device() - 1), 0)
        # The positions that the arrays of single precision hold.
        stored = (atoms.positions / NM).astype(np.float32).astype(float) * NM if precision == "single" else None
        by_cpu = make_force(LOCAL, atoms.numbers, "cpu", periodic=True)
        compare(precision, context, make_context(atoms, "Reference", by_cpu, positions=stored))
        context.setPositions(context.getState(positions=True).getPositions())
        del context
        check(f"{precision}: forces on the device afterwards", on_device(), 0)
    os.environ["EMULATED_PRECISION"] = "mixed"


def test_groups_and_particles() -> None:
    atoms = local_atoms()
    chosen = [6, 1, 4, 3]
    contexts = {}
    for platform, device in (("CUDA", "cuda"), ("Reference", "cpu")):
        force = make_force(LOCAL, atoms.numbers, device, periodic=True, particles=chosen)
        force.setForceGroup(3)
        other = openmm.CustomExternalForce("x")
        other.addParticle(0, [])
        other.setForceGroup(1)
        contexts[platform] = make_context(atoms, platform, force, other)
    for groups in ({3}, {1}, {1, 3}, {0}):
        compare(f"force groups {groups}", contexts["CUDA"], contexts["Reference"], groups)
    _, forces = energy_and_forces(contexts["CUDA"], {3})
    rest = [i for i in range(len(atoms)) if i not in chosen]
    check("forces on other particles", np.abs(forces[rest]).max(), 0.0)
    check("forces on the particles", -np.abs(forces[chosen]).min(), -1e-6)


def test_energy_alone() -> None:
    atoms = local_atoms()
    context = make_context(atoms, "CUDA", make_force(LOCAL, atoms.numbers, "cuda", periodic=True))
    alone = context.getState(energy=True).getPotentialEnergy()._value / KJ
    energy, forces = energy_and_forces(context)
    check("the energy alone", abs(alone - energy), 0.0)
    check("forces after an energy alone", -np.abs(forces).max(), -1e-3)


def test_barostat() -> None:
    """Volume moves and steps; then the energy is that of a fresh Context."""
    atoms = local_atoms()
    barostat = openmm.MonteCarloAnisotropicBarostat([2000.0] * 3, 300, True, True, True, 1)
    barostat.setRandomNumberSeed(5)
    context = make_context(atoms, "CUDA", make_force(LOCAL, atoms.numbers, "cuda", periodic=True), barostat)
    context.setVelocitiesToTemperature(300, 3)
    context.getIntegrator().step(12)
    state = context.getState(positions=True)
    box = state.getPeriodicBoxVectors(asNumpy=True)._value * NM
    check("volume moves that were accepted", -np.abs(box - atoms.cell.array).max(), -1e-6)
    atoms.set_cell(box)
    atoms.positions = state.getPositions(asNumpy=True)._value * NM
    fresh = make_context(atoms, "Reference", make_force(LOCAL, atoms.numbers, "cpu", periodic=True))
    compare("after volume moves", context, fresh)


def test_dynamics() -> None:
    """The same positions after some steps, in double precision."""
    os.environ["EMULATED_PRECISION"] = "double"
    atoms = local_atoms()
    ends = []
    for platform, device in (("CUDA", "cuda"), ("Reference", "cpu")):
        context = make_context(atoms, platform, make_force(LOCAL, atoms.numbers, device, periodic=True))
        context.setVelocitiesToTemperature(300, 3)
        context.getIntegrator().step(10)
        ends.append(context.getState(positions=True).getPositions(asNumpy=True)._value * NM)
    check("positions after 10 steps, Angstrom", np.abs(ends[0] - ends[1]).max(), 1e-9)
    os.environ["EMULATED_PRECISION"] = "mixed"


def expect_error(name: str, words: str, call) -> None:
    """An OpenMMException that has these words."""
    try:
        call()
    except openmm.OpenMMException as problem:
        check(f"{name}: {problem}", float(words not in str(problem)), 0.0)
    else:
        check(f"{name}: an error with {words!r}", 1.0, 0.0)


def test_molecule() -> None:
    """An all-to-all model's molecule among others in a periodic box: in one piece, then cut in two."""
    numbers, positions = random_molecule(7, 4)
    atoms = ase.Atoms([*numbers, 18], [*positions, [9.0, 9.0, 9.0]], cell=[15.0, 15.0, 15.0], pbc=True)
    contexts = {}
    for platform, device in (("CUDA", "cuda"), ("Reference", "cpu")):
        around = openmm.NonbondedForce()
        for _ in range(len(atoms)):
            around.addParticle(0.0, 0.3, 0.0)
        around.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
        around.setCutoffDistance(0.6)
        force = make_force(MOLECULE, atoms.numbers, device, periodic=False, particles=range(7))
        contexts[platform] = make_context(atoms, platform, force, around)
    check("a molecule's force on the device", abs(on_device() - 1), 0)
    compare("a molecule in a box", contexts["CUDA"], contexts["Reference"])
    atoms.positions[:7] += [40.0, -70.0, 3.0]
    for context in contexts.values():
        context.setPositions(atoms.positions / NM)
    compare("far outside the box", contexts["CUDA"], contexts["Reference"])
    far = np.argmax(np.linalg.norm(atoms.positions[:7] - atoms.positions[0], axis=1))
    atoms.positions[far] += [15.0, 0.0, 0.0]
    contexts["CUDA"].setPositions(atoms.positions / NM)
    expect_error("cut in two", "through the periodic box", lambda: energy_and_forces(contexts["CUDA"]))


def test_errors() -> None:
    atoms = local_atoms()
    context = make_context(atoms, "CUDA", make_force(LOCAL, atoms.numbers, "cuda", periodic=True))
    positions = atoms.positions.copy()
    positions[5] = positions[2]
    context.setPositions(positions / NM)
    expect_error("two particles at one position", "for particle", lambda: energy_and_forces(context))
    positions[5] = np.nan
    context.setPositions(positions / NM)
    expect_error("no number", "not finite", lambda: energy_and_forces(context))
    context.setPositions(atoms.positions / NM)
    fresh = make_context(atoms, "Reference", make_force(LOCAL, atoms.numbers, "cpu", periodic=True))
    compare("after errors", context, fresh)


def test_what_goes_by_the_host() -> None:
    """On the CUDA platform too: a model on the CPU, and a symmetry."""
    atoms = local_atoms()
    by_cpu = make_context(atoms, "CUDA", make_force(LOCAL, atoms.numbers, "cpu", periodic=True))
    symmetric = make_force(LOCAL, atoms.numbers, "cuda", periodic=True, symmetry="average 12")
    averaged = make_context(atoms, "CUDA", symmetric)
    check("forces on the device", on_device(), 0)
    compare(
        "device cpu", by_cpu, make_context(atoms, "Reference", make_force(LOCAL, atoms.numbers, "cpu", periodic=True))
    )
    on_cpu = make_force(LOCAL, atoms.numbers, "cpu", periodic=True, symmetry="average 12")
    compare("symmetry average", averaged, make_context(atoms, "Reference", on_cpu))


def main() -> int:
    openmm.Platform.loadPluginLibrary(LIBRARY)
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
