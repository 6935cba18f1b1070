// A TransIP network's weights and one evaluation of it, as plain arrays: what the kernels for each instruction set see.
//
// No standard containers here: code of the kernels is compiled for instructions that the machine may lack, and an
// inline function that the linker takes from there for all the others would bring them along.
#pragma once

#include "transip/exchange.h"

#include <cstdint>

namespace transip::native {

/// A linear layer, y = W x + b.
struct Linear {
  const double *weight;  ///< [out, in], row-major
  const double *bias;    ///< [out]
};

/// What follows a layer norm sees (x - mean) / deviation * scale + shift.
struct Norm {
  const double *scale;  ///< [dim]
  const double *shift;  ///< [dim]
};

struct Layer {
  Norm attention_norm;
  Linear query_key_value;  ///< 3 dim outputs: queries, keys, values; heads in turn
  Linear attention_output;
  Norm feedforward_norm;
  Linear gate_and_value;  ///< 2 feedforward outputs
  Linear feedforward_output;
};

struct Network {
  int dim, layers, heads, feedforward;
  bool rotary_values;
  double cutoff;              ///< Angstrom; 0 for attention over all atoms
  const double *frequencies;  ///< [layers, heads, pairs, 3], rad/Angstrom
  const Layer *layer;         ///< [layers]
  Norm energy_norm;
  Linear energy_hidden;  ///< dim outputs
  Linear energy_output;  ///< one output
};

/// Radial biases of all layers and heads as piecewise polynomials of the fifth degree.
struct RadialPieces {
  double spacing;              ///< Angstrom; what is beyond the last piece has its value at the end
  int pieces;                  ///< 0: the network has no radial bias
  const double *coefficients;  ///< [pieces, 6, layers * heads], of powers of (r - start) / spacing
};

/// Pairs of a token and a neighbour, those of one token after those of the other.
struct Edges {
  std::int64_t count;
  const std::int64_t *first;  ///< [T + 1]
  const std::int32_t *row;    ///< [count]
  const double *distance;     ///< [count], Angstrom
};

struct Input {
  std::int64_t tokens, rows;
  const double *embedding;    ///< [T, dim], before the first block, without coordinates
  const double *positions;    ///< [I, 3], Angstrom
  const std::int64_t *owner;  ///< [I] token, or T + guest; of a token itself
  const std::uint8_t *owned;  ///< [T]
  Edges edges;
  Exchange *exchange;  ///< brings keys and values of guests; null: there are none
};

struct Output {
  double *energies;  ///< [T], of the energy head: neither scaled nor referred to anything; zero where not owned
  double *phases;    ///< [I, 3], gradient by way of rotary phases; null: only energies are wanted
  double *slopes;    ///< [edges], derivative by the distance
  double *tokens;    ///< [T, dim], gradient by the embedding; may be null
};

/// One network, made ready for one instruction set and precision.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(const Input &input, const Output &output) = 0;
  /// Bytes that are kept from one evaluation to the next.
  virtual std::int64_t memory() const = 0;
};

/// Null: the shape is none that the kernels are made for. Throws std::bad_alloc.
using Maker = Kernel *(*) (const Network &network, const RadialPieces &pieces, bool single);
Kernel *make_baseline(const Network &network, const RadialPieces &pieces, bool single);
#if defined(__x86_64__)
Kernel *make_avx2(const Network &network, const RadialPieces &pieces, bool single);
Kernel *make_avx512(const Network &network, const RadialPieces &pieces, bool single);
#endif

/// Memory for the kernels: grows, and is given back with the kernel. Aligned to 64 bytes, 64 bytes longer than asked.
class Store {
 public:
  Store() = default;
  ~Store();
  Store(const Store &) = delete;
  Store &operator=(const Store &) = delete;
  /// At least so many bytes; what was there before is lost when it grows.
  void *reserve(std::int64_t bytes);
  std::int64_t bytes() const { return bytes_; }

 private:
  void *place_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace transip::native
