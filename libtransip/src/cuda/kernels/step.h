// All arrays of one step: what every kernel is given, and what the host fills. Sizes in brackets, row-major.
//
// Features of a token are [head][pair][2]: the two of a rotary pair lie side by side, so that whoever holds one holds the
// other. Of the feed-forward's gate and value, a feature's two numbers lie side by side for the same reason.
#pragma once

#include "tiles.h"

namespace transip::cuda {

/// What is fixed when the kernels are compiled.
template <typename Real_, int dim_, int heads_, int feedforward_, bool local_, bool radial_, bool rotary_values_,
          bool coordinates_>
struct Shape {
  using Real = Real_;
  static constexpr int dim = dim_, heads = heads_, width = dim_ / heads_, pairs = dim_ / 2;
  static constexpr int feedforward = padded_feedforward(feedforward_);
  static constexpr bool narrow = is_narrow(dim);         ///< several linear layers in one kernel
  static constexpr bool local = local_;                  ///< neighbours within a cutoff, not all atoms
  static constexpr bool radial = radial_;                ///< a bias of the logits that depends on the distance
  static constexpr bool rotary_values = rotary_values_;  ///< values are rotated too
  static constexpr bool coordinates = coordinates_;      ///< tokens see their place

  static_assert(fits(dim, heads), "a shape that the kernels are not made for");
};

/// Sizes of one step. They are on the device: grids are sized by capacity, so that a launch holds for any step that fits.
struct Counts {
  int tokens, rows, edges;
  int halo = 0;   ///< atoms whose features come from elsewhere, with images among the rows
  int given = 0;  ///< features of tokens that are wanted elsewhere
};

/// What the host, or the search for neighbours, gives.
struct Inputs {
  Counts *counts;
  double *positions;       ///< [rows, 3] Angstrom
  int *owner;              ///< [rows] token, or tokens + halo atom, of a row; row t < tokens is token t itself
  int *image_first;        ///< [tokens + halo + 1] where the images of a token or halo atom begin in image_row
  int *image_row;          ///< [rows - tokens], ascending for each of them
  int *species, *charge, *multiplicity;  ///< [tokens] places in the embeddings
  int *begin, *end;        ///< [tokens] the tokens of its molecule
  unsigned char *owned;    ///< [tokens] 1 if the energy counts
  int *first;              ///< [tokens + 1] where a token's edges begin
  int *row;                ///< [edges] the row at an edge's end; those beyond the cutoff are left out by the step
  int *back_first;         ///< [rows + 1] where the edges to a row begin in the two below
  int *back_edge;          ///< [edges] the edge, ascending for each row
  int *back_token;         ///< [edges] its token
  int *given;              ///< [given] token; null, as are the next, without a halo
  int *given_first;        ///< [tokens + 1] where a token begins in given_place
  int *given_place;        ///< [given] places in `given`, ascending for each token
};

struct Results {
  double *energies;  ///< [tokens] eV, zero where not owned
  double *forces;    ///< [rows, 3] eV/Angstrom
  double *energy;    ///< their sum, eV
  int *clash;        ///< a row that lies where another does, or -1
  double *virials;   ///< [tokens, 9] eV, where they were asked for (virials.cuh)
};

/// The edges of the lists that are within the cutoff, in the same order: lists may have a skin. Those of a token begin
/// where its listed ones do, at `first`, and those to a row at `back_first`; what lies behind their end is unused. Only of
/// local models, and those to rows only for forces, else null.
struct NearEdges {
  int *end;         ///< [tokens] where a token's edges end in the two below
  int *edge;        ///< [edges] the edge, by its place in the lists
  int *row;         ///< [edges] its row
  int *back_end;    ///< [rows] where the edges to a row end in the two below
  int *back_edge;   ///< [edges] the edge, by its place in the lists
  int *back_token;  ///< [edges] its token
};

/// A matrix [inner, outer], in the order of `place_in_matrix`, padded with zeros, and the bias [outer]; null: none.
template <typename Real> struct Dense {
  const Real *weight, *bias;
};

/// Weights; arrays over layers have one layer after the other. A norm's scale and shift are in the matrix behind it,
/// and 1 / sqrt(width) is in the queries.
template <typename Real> struct DeviceWeights {
  Dense<Real> query_key_value, attention_output, gate_and_value, feedforward_output, energy_hidden;
  /// The transposed ones, for the gradient.
  Dense<Real> query_key_value_back, attention_output_back, gate_and_value_back, feedforward_output_back,
      energy_hidden_back;
  const double *exact_frequencies;  ///< [layers, pairs of all heads, 3], rad/Angstrom
  const Real *frequencies;          ///< the same
  const Real *radial;               ///< [layers, pieces, 6, heads]: powers of (r - start) / spacing
  const Real *energy_output;        ///< [dim]
  const double *species, *charge, *multiplicity;  ///< embeddings [kinds, dim]
  const double *coordinates;                      ///< [dim, 3], 1/Angstrom; null: the network does not see them
  const double *reference;                        ///< [kinds] eV
  const double *charge_energies;                  ///< [charges] eV, shared by a molecule's tokens; null: there are none
};

/// One step. Arrays [layers, tokens, ...] have room for `most_tokens` in each layer, likewise rows and edges.
template <typename Real> struct Step {
  int layers, pieces, most_tokens, most_rows, most_edges, most_halo;
  Real cutoff, inverse_cutoff;  ///< Angstrom, 1/Angstrom; only of local models
  Real inverse_spacing;         ///< of the radial table, 1/Angstrom
  Real energy_shift;            ///< bias of the energy head's last layer
  double energy_scale;          ///< eV
  DeviceWeights<Real> weights;
  Inputs in;
  Results out;

  // Arrays of the forward, kept for the backward.
  NearEdges near;
  Real *distance;     ///< [edges] Angstrom
  int *clash;         ///< [tokens] a row in the same place, or -1
  Real *phase;        ///< [layers, rows, pairs, 2] cosine and sine: of w.r for a token and for images of halo atoms, of
                      ///< w.(r - r_owner) for images of tokens
  Real *token;        ///< [tokens, dim]
  Real *normal_one, *normal_two;        ///< [layers, tokens, dim]
  Real *deviation_one, *deviation_two;  ///< [layers, tokens], the inverse
  Real *normal_last, *deviation_last;   ///< [tokens, dim], [tokens]
  Real *query;        ///< [layers, tokens, dim], rotated
  Real *key, *value;  ///< [layers, rows, dim], rotated
  Real *given;        ///< [given, 2 dim] keys and values before they are rotated, for images of them elsewhere; in the
                      ///< backward the gradients by them that come from there
  Real *halo;         ///< [halo, 2 dim] the same of halo atoms, from elsewhere
  Real *mixed;        ///< [layers, tokens, dim], before they are rotated back
  Real *lse;          ///< [layers, tokens, heads] logarithm of the sum of the exponentials
  Real *gate;         ///< [layers, tokens, feedforward, 2]
  Real *hidden;       ///< [tokens, dim] of the energy head, before its activation

  // Arrays of the backward.
  Real *pending;           ///< [tokens, dim] gradient by a normal, not yet taken through its norm
  // Two buffers: blocks that share a token must not see what another of them has written already.
  Real *gradient_between;  ///< [tokens, dim] gradient by the tokens between two layers, without what is pending
  Real *gradient_inside;   ///< [tokens, dim] between attention and feed-forward, without what is pending
  Real *gradient_gate;     ///< [tokens, feedforward, 2]
  Real *gradient_mixed;    ///< [tokens, dim], rotated
  Real *along;             ///< [tokens, heads] scalar product of mixed and its gradient
  Real *gradient_query;    ///< [tokens, dim], rotated
  Real *gradient_key, *gradient_value;  ///< [rows, dim], rotated
  Real *gradient_three;    ///< [tokens, 3 dim] of queries, keys and values before they are rotated
  Real *gradient_halo;     ///< [halo, 2 dim] of keys and values of halo atoms before they are rotated
  Real *slopes;            ///< [groups of heads, edges] derivative by the distance
  Real *phase_gradient;    ///< [rows, 3] by way of the phases
  double *pull;            ///< [tokens, 3] by way of the coordinates
  double *phase_virials;   ///< [groups of heads, tokens, 9] of atoms, by way of the phases
};

}  // namespace transip::cuda
