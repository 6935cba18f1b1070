"""Ethanol at constant energy through LAMMPS's Python module: `transip-md export ethanol -o ethanol.pt` first."""

from transip_md.engines.lammps.module import make_lammps

lmp = make_lammps(["-log", "none"])
lmp.file("in.ethanol")
print(f"potential energy {lmp.get_thermo('pe'):.6f} eV")
