// The search for neighbours: its arrays and its kernels by name.
//
// Atoms are wrapped into the box, sorted into cells, and looked up from every atom. Rows are the wrapped atoms and behind
// them the images that some atom sees, those of one atom together. All lists come out in the same order whatever the
// order of threads: what is filled in any order is sorted afterwards.
#pragma once

#include "step.h"

namespace transip::cuda {

/// One search; sizes in brackets.
struct Search {
  int atoms, most_rows, most_edges;
  bool periodic;
  double reach, skin;              ///< Angstrom: cutoff + skin, and the skin
  double box[9];                   ///< three vectors, Angstrom; if not periodic, a box around the atoms
  double inverse[9];               ///< its inverse: fractional coordinates are r - origin times this
  double origin[3];                ///< corner of the box, Angstrom
  int cells[3];                    ///< cells along each vector
  int spread[3];                   ///< how many cells away neighbours may be
  int images[3];                   ///< how many boxes away images may be
  int shifts;                      ///< boxes in which images may lie, the own one among them

  const double *atom;              ///< [atoms, 3] Angstrom, anywhere
  double *atom_then;               ///< [atoms, 3] where they were when the lists were made
  double *wrap;                    ///< [atoms, 3] vectors by which atoms are moved into the box, Angstrom
  double *wrapped;                 ///< [atoms, 3] in the box when the lists were made
  int *cell_of;                    ///< [atoms]
  int *cell_first, *cell_next;     ///< [cells + 1]
  int *cell_atom;                  ///< [atoms], those of a cell ascending
  int *seen;                       ///< [atoms * shifts + 1] 1 if some atom sees the image; then their running number
  int *image_shift;                ///< [most_rows] box of an image
  int *edge_token;                 ///< [most_edges]
  int *back_next;                  ///< [most_rows + 1]
  Inputs lists;                    ///< what a step reads: counts, owner, images, edges both ways, positions of the rows
  Counts *needed;                  ///< what the lists take; if more than there is room for, the lists are not made
  int *moved;                      ///< 1 if an atom has moved by half of the skin
};

/// X(name): each is a function `name(search, part)`, in the order of their launches.
#define TRANSIP_SEARCH_KERNELS(X) \
  X(clear_search) \
  X(wrap_atoms) \
  X(count_cells) \
  X(add_up) \
  X(fill_cells) \
  X(sort_cells) \
  X(count_edges) \
  X(take_counts) \
  X(fill_images) \
  X(fill_edges) \
  X(fill_back) \
  X(sort_back) \
  X(place_rows) \
  X(watch_atoms)

/// What `add_up` adds up.
enum SearchPart { of_cells, of_edges, of_images, of_back };

}  // namespace transip::cuda
