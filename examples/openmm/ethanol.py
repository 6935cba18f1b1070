import openmm
from openmm.app import PDBFile, Simulation, StateDataReporter

from transip_md.openmm import create_force

pdb = PDBFile("ethanol.pdb")
system = openmm.System()
for atom in pdb.topology.atoms():
    system.addParticle(atom.element.mass)
system.addForce(create_force("ethanol.pt", pdb.topology))
simulation = Simulation(pdb.topology, system, openmm.VerletIntegrator(0.0005))
simulation.context.setPositions(pdb.positions)
simulation.context.setVelocitiesToTemperature(300, 1)
simulation.reporters.append(StateDataReporter("energy.csv", 100, step=True, totalEnergy=True, temperature=True))
simulation.step(1000)
