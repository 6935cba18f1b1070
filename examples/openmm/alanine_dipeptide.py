"""Alanine dipeptide in vacuum, Langevin dynamics at 300 K, and where its backbone goes (mdtraj, matplotlib).

`transip-md export organic -o organic.pt` first. Writes alanine_dipeptide.dcd and ramachandran.png.
"""

import argparse
import sys

import matplotlib
import mdtraj
import numpy as np
import openmm
from openmm.app import DCDReporter, PDBFile, Simulation, StateDataReporter

from transip_md.engines.openmm import create_force

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--steps", type=int, default=2000, help="of 0.5 fs")
steps = options.parse_args().steps

pdb = PDBFile("alanine_dipeptide.pdb")
system = openmm.System()
for atom in pdb.topology.atoms():
    system.addParticle(atom.element.mass)
system.addForce(create_force("organic.pt", pdb.topology))
simulation = Simulation(pdb.topology, system, openmm.LangevinMiddleIntegrator(300, 1.0, 0.0005))
simulation.context.setPositions(pdb.positions)
simulation.context.setVelocitiesToTemperature(300, 1)
simulation.reporters.append(
    StateDataReporter(
        sys.stdout,
        100,
        step=True,
        potentialEnergy=True,
        temperature=True,
        speed=True,
        remainingTime=True,
        totalSteps=steps,
    )
)
simulation.reporters.append(DCDReporter("alanine_dipeptide.dcd", 10))
simulation.step(steps)

frames = mdtraj.load("alanine_dipeptide.dcd", top="alanine_dipeptide.pdb")
phi, psi = (np.degrees(angles(frames)[1][:, 0]) for angles in (mdtraj.compute_phi, mdtraj.compute_psi))
print(f"{frames.n_frames} frames; the last one has phi {phi[-1]:.0f} and psi {psi[-1]:.0f} degrees")

matplotlib.use("agg")
from matplotlib import pyplot  # noqa: E402, after the backend is chosen

figure, axes = pyplot.subplots(figsize=(4, 4), layout="constrained")
axes.scatter(phi, psi, s=4)
axes.set(xlim=(-180, 180), ylim=(-180, 180), xlabel="phi (degrees)", ylabel="psi (degrees)")
figure.savefig("ramachandran.png", dpi=150)
