"""Ethanol at constant energy, 0.5 ps: `transip-md export ethanol -o ethanol.pt` first."""

import argparse
import sys

import openmm
from openmm.app import DCDReporter, PDBFile, Simulation, StateDataReporter

from transip_md.engines.openmm import create_force

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--steps", type=int, default=1000)
steps = options.parse_args().steps

pdb = PDBFile("ethanol.pdb")
system = openmm.System()
for atom in pdb.topology.atoms():
    system.addParticle(atom.element.mass)
system.addForce(create_force("ethanol.pt", pdb.topology))
simulation = Simulation(pdb.topology, system, openmm.VerletIntegrator(0.0005))
simulation.context.setPositions(pdb.positions)
simulation.context.setVelocitiesToTemperature(300, 1)
for output in ("energy.csv", sys.stdout):
    simulation.reporters.append(StateDataReporter(output, 100, step=True, totalEnergy=True, temperature=True))
simulation.reporters.append(DCDReporter("ethanol.dcd", 10))
simulation.step(steps)
