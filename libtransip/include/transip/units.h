// The one source of physical constants in C++ (CODATA 2018): the twin of python/transip_md/common/units.py.
// Inside libtransip: energy in eV, length in Angstrom. Source: Rev. Mod. Phys. 93, 025010 (2021).
#pragma once

namespace transip::units {

inline constexpr double joule_per_ev = 1.602176634e-19;  // exact
inline constexpr double avogadro = 6.02214076e23;        // 1/mol, exact

inline constexpr double bohr = 0.529177210903;           // Angstrom
inline constexpr double hartree = 27.211386245988;       // eV

inline constexpr double kj_per_mol_per_ev = joule_per_ev * avogadro / 1000.0;
inline constexpr double kcal_per_mol_per_ev = kj_per_mol_per_ev / 4.184;  // thermochemical calorie
inline constexpr double angstrom_per_nm = 10.0;

}  // namespace transip::units
