"""Liquid water at 300 K, at constant volume or pressure: `transip-md export water -o water.pt` first.

Faster, in single precision: `transip-md export water -o water32.pt --dtype float32`, then `--model water32.pt`.
"""

import argparse
import sys

import openmm
from openmm.app import DCDReporter, PDBFile, Simulation, StateDataReporter

from transip_md.engines.openmm import create_force

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--model", default="water.pt")
options.add_argument("--ensemble", choices=["nvt", "npt"], default="nvt")
options.add_argument("--anisotropic", action="store_true", help="npt: edges of the box change one by one")
options.add_argument("--steps", type=int, default=200, help="of 0.5 fs")
options = options.parse_args()

pdb = PDBFile("water.pdb")
system = openmm.System()
for atom in pdb.topology.atoms():
    system.addParticle(atom.element.mass)
system.setDefaultPeriodicBoxVectors(*pdb.topology.getPeriodicBoxVectors())
system.addForce(create_force(options.model, pdb.topology))
if options.ensemble == "npt":
    if options.anisotropic:
        system.addForce(openmm.MonteCarloAnisotropicBarostat([1.0, 1.0, 1.0], 300))
    else:
        system.addForce(openmm.MonteCarloBarostat(1.0, 300))
integrator = openmm.LangevinMiddleIntegrator(300, 1.0, 0.0005)
simulation = Simulation(pdb.topology, system, integrator, openmm.Platform.getPlatformByName("CPU"))
simulation.context.setPositions(pdb.positions)
simulation.context.setVelocitiesToTemperature(300, 1)
for output in ("water.csv", sys.stdout):
    simulation.reporters.append(
        StateDataReporter(output, 20, step=True, potentialEnergy=True, temperature=True, density=True, speed=True)
    )
simulation.reporters.append(DCDReporter("water.dcd", 20))
simulation.step(options.steps)
