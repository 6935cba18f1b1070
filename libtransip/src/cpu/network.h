// A TransIP network's weights and one evaluation of it, as plain arrays: what the kernels for each instruction set see.
//
// No standard containers here: code of the kernels is compiled for instructions that the machine may lack, and an
// inline function that the linker takes from there for all the others would bring them along.
#pragma once

#include "transip/halo_exchange.h"

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

/// Rows that a caller offers as neighbours of each token, those of one token after those of the other.
struct Candidates {
  const std::int64_t *first;  ///< [T + 1] place in `row` where a token's begin; null: all rows, of an isolated molecule
  const std::int64_t *row;    ///< negative: none. Those beyond the cutoff are passed over
};

/// Threads that take the parts of a task.
class Workers {
 public:
  /// part: which; worker: number of the thread, from 0.
  using Task = void (*)(void *context, std::int64_t part, int worker);
  virtual ~Workers() = default;
  virtual int count() const = 0;
  /// The most parts that `run` takes.
  virtual std::int64_t most_parts() const = 0;
  /// Run a task that throws nothing on all parts, in any order; returns when all are done.
  virtual void run(std::int64_t parts, Task task, void *context) = 0;
};

struct Memory;

struct Input {
  std::int64_t tokens, rows;
  std::int64_t kinds;         ///< rows of the embedding
  const double *embedding;    ///< [kinds, dim], what tokens are before the first block
  const std::int32_t *kind;   ///< [T], row of the embedding
  const double *positions;    ///< [I, 3], Angstrom
  const std::int64_t *owner;  ///< [I] token, or T + halo atom; of a token itself
  const std::uint8_t *owned;  ///< [T]
  Candidates candidates;
  HaloExchange *exchange;  ///< brings keys and values of halo atoms; null: there are none
  Workers *workers;    ///< null: the caller's thread alone
  Memory *memory;          ///< to work in
  std::uint64_t geometry;  ///< positions and candidates are those of other inputs of this number; 0: of no other
  double near;             ///< Angstrom; edges shorter than this are listed for `Kernel::near`; 0: none
};

struct Output {
  double *energies;   ///< [T], of the energy head: neither scaled nor referred to anything; zero where not owned
  double *gradient;   ///< [I, 3], of their sum by the positions; null: only energies are wanted
  double *embedding;  ///< [T, dim], gradient by each token's embedding; may be null
  double *virials;    ///< [T, 9], -sum over a token's edges of r_ij (x) gradient by r_ij; may be null
  double *normalised; ///< [T, dim], input of the energy head before scale and shift of its norm; may be null
};

/// What is wrong with an input: found while its edges are made.
struct Fault {
  enum class Kind { none, same_place, no_such_row, too_many_edges };
  Kind kind;
  std::int64_t row;
};

/// Rows that short edges of a token lead to, in the order of its candidates.
struct NearRows {
  const std::int32_t *row;
  std::int32_t count;
};

/// One network, made ready for one instruction set and precision.
class Kernel {
 public:
  virtual ~Kernel() = default;
  /// The same bits for any number of workers. With a fault nothing is written. Throws std::bad_alloc.
  virtual Fault run(const Input &input, const Output &output) = 0;
  /// Of the last run that had no fault and whose input asked for them; valid until its memory is used again.
  virtual NearRows near(std::int64_t token) const = 0;
};

/// Null: the shape is none that the kernels are made for. Throws std::bad_alloc.
using Maker = Kernel *(*) (const Network &network, const RadialPieces &pieces, bool single);
Kernel *make_baseline(const Network &network, const RadialPieces &pieces, bool single);
#if defined(__x86_64__)
Kernel *make_avx2(const Network &network, const RadialPieces &pieces, bool single);
Kernel *make_avx512(const Network &network, const RadialPieces &pieces, bool single);
#endif

}  // namespace transip::native
