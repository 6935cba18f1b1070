// What libtransip and libtransip_torch agree on: plain functions and plain structs, so that the two may be compiled
// against different C++ libraries. Internal to the two.
//
// A function that fails shows it by what it returns; `message` has the reason.
#pragma once

#include <cstdint>

namespace transip::torch_interface {

/// Number of this interface: a libtransip_torch with another number is not used.
constexpr int number = 1;

/// The one symbol that libtransip looks up; a function without arguments that returns `const Functions *`.
constexpr const char *symbol = "transip_torch_functions";

/// A model file whose archive and metadata libtransip has checked.
struct File {
  const char *path;
  const unsigned char *bytes;
  std::uint64_t size;
  const char *device;  ///< "cpu" or "cuda:N"
  bool graphs;         ///< replay evaluations of an all-to-all model on a CUDA device as CUDA graphs
};

/// One evaluation; arrays as in transip/model.h.
struct Evaluation {
  std::int64_t tokens, rows;
  const std::int64_t *species;
  const double *positions;
  const std::int64_t *owner;   ///< null: every row its own
  const std::uint8_t *owned;   ///< null: all count
  const std::int64_t *first;   ///< null: no neighbours
  const std::int64_t *neighbours;
  int charge, multiplicity;
  std::int64_t rotations;      ///< number of rotated copies to average over; 0: the structure as it is
  const double *rotation;      ///< [rotations*9], row-major
  const double *weight;        ///< [rotations]
  double *energies;            ///< [tokens], written
  double *forces;              ///< [rows*3], written; null: only energies are wanted
};

/// Called with each tensor of floating-point numbers: name, shape, values in float64, and what the caller handed in.
using TakeTensor = void (*)(const char *name, const std::int64_t *shape, int dimensions, const double *values,
                            void *caller);

struct Functions {
  int number;
  const char *(*version)();              ///< of the torch that was compiled against
  const char *(*message)();              ///< of the last failure in this thread
  int (*devices)();                      ///< number of CUDA devices that torch sees
  void *(*load)(const File *file);       ///< null: failed
  void (*release)(void *model);
  const char *(*name)(void *model);
  bool (*evaluate)(void *model, const Evaluation *evaluation);
  bool (*native_network)(void *model);   ///< whether its classes are those whose forward the native kernels repeat
  bool (*tensors)(void *model, TakeTensor take, void *caller);
  void (*set_threads)(int threads);
};

}  // namespace transip::torch_interface
