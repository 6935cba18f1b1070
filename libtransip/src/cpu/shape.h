// Sizes of a network as the kernels lay it out.
#pragma once

#include "dense.h"
#include "lanes.h"
#include "network.h"

namespace transip::native {
namespace {

template <typename Real, int lanes> struct Shape {
  static constexpr int size = Lanes<Real>::size;

  explicit Shape(const Network &network)
      : dim(network.dim), wide(round_up(network.dim, size)), layers(network.layers), heads(network.heads),
        feedforward(round_up(network.feedforward, size)), half(network.dim / network.heads / 2 * lanes),
        features(2 * half), vectors(features / size), bias_stride(round_up(layers * lanes, size)),
        rotary_values(network.rotary_values), cutoff(network.cutoff)
  {
  }

  /// Whether a row of features is a whole number of vectors, and each half of it too.
  static bool fits(const Network &network)
  {
    return lanes >= network.heads && network.dim / network.heads / 2 * lanes % size == 0;
  }

  int dim, wide;      ///< width of a token, and this in whole vectors
  int layers, heads;
  int feedforward;    ///< hidden width of the feed-forward, in whole vectors
  int half;           ///< features that are the first of their rotary pairs
  int features;       ///< of a query, key or value, padded heads included
  int vectors;        ///< that hold them
  int bias_stride;    ///< radial biases of all layers and lanes, in whole vectors
  bool rotary_values;
  double cutoff;      ///< Angstrom; 0: none
};

}  // namespace
}  // namespace transip::native
