"""A long run that may be killed at any moment: start it again, and it goes on from its last checkpoint.

`transip-md export ethanol -o ethanol.pt` first. Writes long_run.chk and, for each start, long_run.STEP.csv and .dcd.
What was recorded after the last checkpoint is recorded again by the next start, with the same step numbers.
"""

import argparse
import os
import sys
from pathlib import Path

import openmm
from openmm.app import CheckpointReporter, DCDReporter, PDBFile, Simulation, StateDataReporter

from transip_md.engines.openmm import create_force


class SafeCheckpointReporter(CheckpointReporter):
    """Replaces the last checkpoint when the new one is whole: one that was cut off cannot be loaded."""

    def report(self, simulation, state):
        part = f"{self._file}.part"
        simulation.saveCheckpoint(part)
        os.replace(part, self._file)


options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--steps", type=int, default=2000, help="of 0.5 fs, in all")
options.add_argument("--every", type=int, default=100, help="steps between checkpoints")
options = options.parse_args()

pdb = PDBFile("ethanol.pdb")
system = openmm.System()
for atom in pdb.topology.atoms():
    system.addParticle(atom.element.mass)
system.addForce(create_force("ethanol.pt", pdb.topology))
integrator = openmm.LangevinMiddleIntegrator(300, 1.0, 0.0005)
integrator.setRandomNumberSeed(1)
# The Reference platform keeps the state of its random numbers in the checkpoint: the run goes on as if unbroken.
simulation = Simulation(pdb.topology, system, integrator, openmm.Platform.getPlatformByName("Reference"))
checkpoint = Path("long_run.chk")
if checkpoint.exists():
    simulation.loadCheckpoint(str(checkpoint))
    print(f"Resuming from step {simulation.currentStep}", flush=True)
else:
    simulation.context.setPositions(pdb.positions)
    simulation.context.setVelocitiesToTemperature(300, 1)
start = simulation.currentStep
for output in (f"long_run.{start}.csv", sys.stdout):
    simulation.reporters.append(
        StateDataReporter(
            output, 100, step=True, totalEnergy=True, temperature=True, remainingTime=True, totalSteps=options.steps
        )
    )
simulation.reporters.append(DCDReporter(f"long_run.{start}.dcd", 10))
simulation.reporters.append(SafeCheckpointReporter(str(checkpoint), options.every))
simulation.step(options.steps - start)
