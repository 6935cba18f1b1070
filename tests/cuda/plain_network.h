// The forward of a TransIP network written down as plainly as it goes, in float64: the truth about what lies between
// positions and energies. The formulas are those of python/transip_md/model.
#pragma once

#include "cpu/network.h"

#include <cstdint>
#include <span>
#include <vector>

struct PlainInput {
  std::vector<double> tokens;        ///< [T*dim] embeddings
  std::span<const double> positions; ///< [I*3] Angstrom
  std::span<const int> owner;        ///< [I]
  std::span<const int> first, row;   ///< edges
};

/// What one block makes of its tokens. Features are [head][width], the two of a pair half a head apart.
struct PlainLayer {
  std::vector<double> normal_one, deviation_one;  ///< [T*dim], [T]
  std::vector<double> query;                      ///< [T*dim], rotated, over the root of a head's width
  std::vector<double> key, value;                 ///< [I*dim], rotated
  std::vector<double> cosine, sine;               ///< [I*dim/2] of the phases w.r
  std::vector<double> mixed;                      ///< [T*dim], before it is rotated back
  std::vector<double> lse;                        ///< [T*heads]
  std::vector<double> normal_two, deviation_two;
  std::vector<double> gate;                       ///< [T*2 feedforward], gates and behind them values
};

struct PlainStep {
  std::vector<PlainLayer> layers;
  std::vector<double> distance;                     ///< [edges] Angstrom
  std::vector<double> tokens;                       ///< [T*dim] after the last block
  std::vector<double> normal_last, deviation_last;
  std::vector<double> hidden;                       ///< [T*dim] before the activation
  std::vector<double> energies;                     ///< [T] of the energy head, neither scaled nor referred to anything
};

PlainStep plain_step(const transip::native::Network &network, const transip::native::RadialPieces &pieces,
                     const PlainInput &input);
