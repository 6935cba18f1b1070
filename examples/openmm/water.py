"""Liquid water at 300 K, 0.1 ps: `transip-md export water -o water.pt` first."""

import openmm
from openmm.app import DCDReporter, PDBFile, Simulation, StateDataReporter

from transip_md.openmm import create_force

pdb = PDBFile("water.pdb")
system = openmm.System()
for atom in pdb.topology.atoms():
    system.addParticle(atom.element.mass)
system.setDefaultPeriodicBoxVectors(*pdb.topology.getPeriodicBoxVectors())
system.addForce(create_force("water.pt", pdb.topology))
integrator = openmm.LangevinMiddleIntegrator(300, 1.0, 0.0005)
simulation = Simulation(pdb.topology, system, integrator, openmm.Platform.getPlatformByName("CPU"))
simulation.context.setPositions(pdb.positions)
simulation.context.setVelocitiesToTemperature(300, 1)
simulation.reporters.append(StateDataReporter("water.csv", 20, step=True, potentialEnergy=True, temperature=True))
simulation.reporters.append(DCDReporter("water.dcd", 20))
simulation.step(200)
