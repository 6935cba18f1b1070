"""Alanine dipeptide by a TransIP model in TIP3P water, by OpenMM-ML: `transip-md export organic -o organic.pt` first.

The interaction of the solute with the water stays that of the classical force field (mechanical embedding).
"""

import argparse
import sys

import openmm
from openmm.app import PME, DCDReporter, ForceField, HBonds, Modeller, PDBFile, Simulation, StateDataReporter
from openmmml import MLPotential

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--steps", type=int, default=200, help="of 0.5 fs")
steps = options.parse_args().steps

pdb = PDBFile("alanine_dipeptide.pdb")
field = ForceField("amber14-all.xml", "amber14/tip3p.xml")
modeller = Modeller(pdb.topology, pdb.positions)
solute = [atom.index for atom in pdb.topology.atoms()]
modeller.addSolvent(field, boxSize=openmm.Vec3(2.4, 2.4, 2.4))
with open("solute_in_water.pdb", "w") as file:
    PDBFile.writeFile(modeller.topology, modeller.positions, file)

classical = field.createSystem(
    modeller.topology, nonbondedMethod=PME, nonbondedCutoff=0.9, constraints=HBonds, rigidWater=True
)
system = MLPotential("transip", model="organic.pt").createMixedSystem(modeller.topology, classical, solute)
integrator = openmm.LangevinMiddleIntegrator(300, 1.0, 0.0005)
simulation = Simulation(modeller.topology, system, integrator, openmm.Platform.getPlatformByName("CPU"))
simulation.context.setPositions(modeller.positions)
print("Minimizing ...", flush=True)
simulation.minimizeEnergy(maxIterations=50)
simulation.context.setVelocitiesToTemperature(300, 1)
simulation.reporters.append(
    StateDataReporter(sys.stdout, 20, step=True, potentialEnergy=True, temperature=True, speed=True)
)
simulation.reporters.append(DCDReporter("solute_in_water.dcd", 20))
simulation.step(steps)
