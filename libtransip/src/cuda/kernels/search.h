// The search for neighbours: its arrays and its kernels by name.
//
// Atoms are wrapped into the box and sorted into cells; tokens are the atoms in the order of the cells, so that what is
// near in space is near in memory. Rows are the tokens and behind them the images that some token sees, those of one token
// together. All lists come out in the same order whatever the order of threads: what is filled in any order is sorted
// afterwards.
#pragma once

#include "step.h"

namespace transip::cuda {

/// The box as the host gives it; it may change at every step.
///
/// The place of an atom along vector a is its fractional coordinate where the box is periodic, else Angstrom along a unit
/// vector that is normal to the periodic ones.
struct SearchBox {
  double vectors[9];   ///< Angstrom, one after another
  double inverse[9];   ///< places are r times this
  int periodic[3];
  int cells[3];        ///< along each periodic vector; 1 along the others, which the device divides by itself
  int spread[3];       ///< how many cells away neighbours may be
  int images[3];       ///< how many boxes away images may be
  double allowed;      ///< Angstrom by which a token may move before neighbours have to be sought anew
  int first_atom, atoms;       ///< those in it, among the atoms of all structures
  int first_cell, most_cells;  ///< its cells among those of all, and how many there may be
};

/// Cells and images of the last search, of one structure.
struct SearchGrid {
  int periodic[3], cells[3], spread[3], images[3];
  int shifts;                  ///< boxes in which images may lie, the own one among them
  double start[3], extent[3];  ///< of the cells, in the places along each vector
};

/// A kept search, of one structure or of several that do not see one another; sizes in brackets.
struct Search {
  int structures;
  int atoms, most_rows, most_edges;
  int most_cells, most_shifts;     ///< the most cells and boxes that there is room for
  double reach;                    ///< Angstrom: cutoff + skin

  const SearchBox *box;            ///< [structures]
  const double *atom;              ///< [atoms, 3] Angstrom, anywhere
  const int *atom_species;         ///< [atoms] places in the embedding
  const int *structure;            ///< [atoms] the structure of an atom, ascending; unused where there is one
  SearchGrid *grid;                ///< [structures]
  int *boxes;                      ///< [atoms, 3] vectors by which an atom is moved into the box
  int *cell_of;                    ///< [atoms]
  int *cell_first, *cell_next;     ///< [cells + 1]
  int *order;                      ///< [atoms] the atom of a token
  double *place_then;              ///< [atoms, 3] where tokens were when neighbours were sought
  int *token_cell;                 ///< [atoms] their cells
  int *seen;                       ///< [atoms, most_shifts] 1 if some token sees the image; then the running number among all
  int *image_shift;                ///< [most_rows] box of an image
  int *edge_token;                 ///< [most_edges]
  int *back_next;                  ///< [most_rows + 1]
  Inputs lists;                    ///< what a step reads: counts, species, owner, images, edges both ways, rows' positions
  Counts *needed;                  ///< what the lists take; if more than there is room for, a step has nothing to do
  int *moved, *moved_far;          ///< 1 if a token has moved by almost as much as is allowed; by more
};

/// X(name): each is a function `name(search, part)`, in the order of their launches.
#define TRANSIP_SEARCH_KERNELS(X) \
  X(clear_search) \
  X(measure_box) \
  X(wrap_atoms) \
  X(count_cells) \
  X(add_up) \
  X(fill_cells) \
  X(sort_cells) \
  X(order_tokens) \
  X(count_edges) \
  X(count_images) \
  X(take_counts) \
  X(fill_images) \
  X(fill_edges) \
  X(fill_back) \
  X(sort_back) \
  X(pair_all) \
  X(place_rows) \
  X(watch_tokens)

/// What `add_up` adds up.
enum SearchPart { of_cells, of_edges, of_images, of_back };

}  // namespace transip::cuda
