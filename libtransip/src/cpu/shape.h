// Sizes of a network as the kernels lay it out.
#pragma once

#include "network.h"

namespace transip::native {

struct Shape {
  /// lanes: heads with padded ones; size: numbers in a vector.
  Shape(const Network &network, int lanes, int size);

  /// Whether a row of features is a whole number of vectors, and each half of it too.
  static bool fits(const Network &network, int lanes, int size);

  int dim, wide;      ///< width of a token, and this in whole vectors
  int layers, heads;
  int lanes;          ///< heads, padded ones included
  int feedforward;    ///< hidden width of the feed-forward, in whole vectors
  int half;           ///< features that are the first of their rotary pairs
  int features;       ///< of a query, key or value, padded heads included
  int vectors;        ///< that hold them
  int bias_stride;    ///< radial biases of all layers and lanes, in whole vectors
  bool rotary_values;
  double cutoff;      ///< Angstrom; 0: none
};

}  // namespace transip::native
