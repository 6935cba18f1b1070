"""Copies of a molecule at 300 K in one batch by torch-sim: python molecules.py model.pt structure.xyz [--steps N]."""

import argparse

import ase.io
import torch_sim

from transip_md.engines.torch_sim import TransIPModel

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("model")
options.add_argument("structure")
options.add_argument("--steps", type=int, default=100)
options = options.parse_args()

final = torch_sim.integrate(
    system=[ase.io.read(options.structure)] * 4,
    model=TransIPModel(options.model),
    integrator=torch_sim.nvt_langevin,
    n_steps=options.steps,
    temperature=300,
    timestep=0.0005,  # ps
)
print("energies", " ".join(f"{energy:.6f}" for energy in final.energy.tolist()), "eV")
