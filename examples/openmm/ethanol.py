"""Ethanol at constant energy. Before: transip-md build openmm && transip-md export ethanol -o ethanol.pt."""

import ase.io
from openmm.app import Element, Simulation, StateDataReporter, Topology

import openmm
from transip_md.openmm import create_force

atoms = ase.io.read("ethanol.xyz")
topology = Topology()
residue = topology.addResidue("EOH", topology.addChain())
system = openmm.System()
for symbol, mass in zip(atoms.symbols, atoms.get_masses(), strict=True):
    topology.addAtom(symbol, Element.getBySymbol(symbol), residue)
    system.addParticle(mass)
system.addForce(create_force("ethanol.pt", topology))

simulation = Simulation(topology, system, openmm.VerletIntegrator(0.0005))
simulation.context.setPositions(atoms.positions / 10)
simulation.context.setVelocitiesToTemperature(300, 1)
simulation.reporters.append(StateDataReporter("energy.csv", 100, step=True, totalEnergy=True, temperature=True))
simulation.step(1000)
