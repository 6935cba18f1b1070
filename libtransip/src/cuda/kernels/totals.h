// What a whole structure's step comes to: its arrays and its kernels by name. Sizes in brackets, row-major.
#pragma once

#include "search.h"

namespace transip::cuda {

/// What the host is told of a step.
struct StepReport {
  double energy;        ///< eV
  double virial[9];     ///< eV: sum of r_a f_b over atoms and images
  Counts needed;        ///< what the lists take; if more than there is room for, the step has done nothing
  int moved, moved_far; ///< 1 if neighbours have to be sought before the next step; for this one
  int clash;            ///< an atom that lies where another does, or -1
  double nearest;       ///< Angstrom between the two atoms that are nearest, 1e300 if none sees another
  int pair[2];          ///< these atoms
};

/// Ziegler-Biersack-Littmark repulsion, see evaluate/short_range.h.
struct Repulsion {
  const double *charge, *screening, *radius;  ///< [kinds] nuclear charges, their powers, covalent radii in Angstrom
  double coulomb;                             ///< energy of two elementary charges at 1 Angstrom, eV
  double cutoff;                              ///< Angstrom; 0: none
  double longest;                             ///< Angstrom, of any pair
};

/// The results of a step by tokens and rows, and what they come to by atoms.
struct Totals {
  bool forces, virial;    ///< what is wanted
  bool virials;           ///< virials of atoms too
  bool repels;            ///< the model has a repulsion
  Repulsion repulsion;
  Inputs lists;
  Results rows;           ///< of the network
  const int *order;       ///< [tokens] the atom of a token
  const SearchBox *box;   ///< [structures] which atoms are in it
  const Counts *needed;
  const int *moved, *moved_far;
  double *repelled;       ///< [tokens, 13] energy, force and virial of the repulsion, in eV and Angstrom
  double *sums;           ///< [chunks of rows + structures, 10] energy and virial, eV
  double *nearest;        ///< [tokens] Angstrom to the nearest row
  int *nearest_row;       ///< [tokens]

  StepReport *report;     ///< [1]
  double *structure_energies;      ///< [structures] eV, where there are several
  double *structure_virials;       ///< [structures, 9] eV, as in the report
  double *of_forces;      ///< [atoms, 3] eV/Angstrom, those of images added
  double *of_energies;    ///< [atoms] eV
  double *of_virials;     ///< [atoms, 9] eV
};

/// X(name): each is a function `name(totals, part)`, in the order of their launches.
#define TRANSIP_TOTALS_KERNELS(X) \
  X(repel) \
  X(fold_atoms) \
  X(sum_chunks) \
  X(sum_all) \
  X(sum_structures) \
  X(find_nearest) \
  X(take_nearest) \
  X(fold_virials)

}  // namespace transip::cuda
