"""The one source of physical constants and unit conversions (CODATA 2018).

Inside transip-md: energy in eV, length in Angstrom, mass in amu, time in fs, temperature in K. The C++ twin is
``libtransip/include/transip/units.h``; a test holds the two together. Source: Tiesinga et al., "CODATA recommended
values of the fundamental physical constants: 2018", Rev. Mod. Phys. 93, 025010 (2021).
"""

from __future__ import annotations

#: Elementary charge in C, hence joule per electronvolt (exact).
JOULE_PER_EV = 1.602176634e-19
#: Avogadro constant in 1/mol (exact).
AVOGADRO = 6.02214076e23
#: Boltzmann constant in eV/K (exact: 1.380649e-23 J/K).
BOLTZMANN = 1.380649e-23 / JOULE_PER_EV
#: Atomic mass constant in kg.
KILOGRAM_PER_AMU = 1.66053906660e-27
#: Bohr radius in Angstrom.
BOHR = 0.529177210903
#: Hartree energy in eV.
HARTREE = 27.211386245988

#: 1 eV in kJ/mol.
KJ_PER_MOL_PER_EV = JOULE_PER_EV * AVOGADRO / 1000.0
#: 1 eV in kcal/mol (thermochemical calorie, 4.184 J).
KCAL_PER_MOL_PER_EV = KJ_PER_MOL_PER_EV / 4.184
#: 1 nm in Angstrom.
ANGSTROM_PER_NM = 10.0
#: 1 amu (Angstrom/fs)^2 in eV.
EV_PER_AMU_ANGSTROM2_PER_FS2 = KILOGRAM_PER_AMU * 1e10 / JOULE_PER_EV
#: 1 eV/Angstrom on 1 amu, as an acceleration in Angstrom/fs^2.
ACCELERATION = 1.0 / EV_PER_AMU_ANGSTROM2_PER_FS2
