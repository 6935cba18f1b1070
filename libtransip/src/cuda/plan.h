// The launches of one step, in their order: for the driver and, in tests, for the emulator. Internal to libtransip.
#pragma once

#include "kernels/list.h"
#include "kernels/step.h"

#include <string>
#include <vector>

namespace transip::cuda {

/// Shape of a network, as far as kernels are compiled for it, and its number of layers.
struct NetworkShape {
  int dim = 0, layers = 0, heads = 0, feedforward = 0;
  bool single = false;         ///< float32; else float64
  bool local = false;          ///< attention over neighbours within a cutoff
  bool radial = false;         ///< radial bias
  bool rotary_values = false;
  bool coordinates = false;

  int bytes() const { return single ? 4 : 8; }
  HeadSplit split() const { return split_heads(dim / heads, heads, bytes()); }
  /// The template that kernels are compiled for: "transip::cuda::Shape<float,64,4,160,true,true,true,false>".
  std::string type() const;

  bool operator==(const NetworkShape &) const = default;
};

/// The most tokens, rows and edges of a step.
struct Capacity {
  int tokens = 0, rows = 0, edges = 0;
  int halo = 0;   ///< atoms whose features come from elsewhere
  int given = 0;  ///< features of tokens that are wanted elsewhere

  bool holds(const Counts &counts) const
  {
    return counts.tokens <= tokens && counts.rows <= rows && counts.edges <= edges && counts.halo <= halo &&
           counts.given <= given;
  }
  bool operator==(const Capacity &) const = default;
};

enum class StepKernel {
#define TRANSIP_NAME(name, threads) name,
  TRANSIP_STEP_KERNELS(TRANSIP_NAME)
#undef TRANSIP_NAME
};

/// Files of kernels that are compiled for a network: those of a step, and the one that does a whole step of small molecules.
enum class NetworkFile { step, molecule };

/// Names of a file's kernels as their launches number them (StepKernel); "transip_" stands before them in compiled code.
const std::vector<std::string> &kernel_names(NetworkFile file);

/// Files of kernels that do not depend on the network.
enum class KernelFile { search, totals };

/// Names of a file's kernels as their launches number them.
const std::vector<std::string> &kernel_names(KernelFile file);

/// A launch of one kernel of a file, by its number there (StepKernel, SearchKernel, TotalsKernel; 0 in a file of one), with
/// the number that it is given beside its argument: of a layer, of a part.
struct Launch {
  int kernel, part;
  unsigned grid_x, grid_y, threads;
};

/// So many blocks as hold `items` threads of `threads` each, one at least.
unsigned blocks_for(long long items, int threads);

/// What a step shall give beside energies; virials of atoms with the forces only.
struct Gradients {
  bool forces = false, virials = false;
};

/// Launches of a step that fits the capacity; without forces the forward alone. Grids have one block at least.
std::vector<Launch> plan_step(const NetworkShape &shape, const Capacity &capacity, Gradients gradients);

/// Whether each molecule of a step is done by one block, in one launch. That is for small molecules which do not fill the
/// device: launches, one after another, would take longer than their work.
///
/// largest: tokens of the largest molecule. blocks: that the device works on at a time.
bool is_step_of_molecules(const NetworkShape &shape, const Capacity &capacity, int largest, int blocks);

/// The launch of such a step, of the kernel of NetworkFile::molecule. Behind it the energies are yet to be added up
/// (`plan_energy_sum`).
Launch plan_molecules(const NetworkShape &shape, const Capacity &capacity, bool forces);

/// The launch of a structure that is one small molecule, with the places of its rows and its totals. nearest: the nearest
/// pair of atoms is wanted too.
Launch plan_molecule(const NetworkShape &shape, bool forces, bool nearest);

/// The launch that adds up the energies of a step.
Launch plan_energy_sum();

/// Part of a step with a halo, and what the host has to do behind it: nothing, hand features of tokens to halo atoms, or
/// gradients of halo atoms back.
struct StepPart {
  enum class Then { nothing, forward, reverse };
  std::vector<Launch> launches;
  Then then = Then::nothing;
};

/// The same in parts: between them the keys and values of halo atoms come from elsewhere, in every layer, and the gradients
/// by them go back, in every layer but the first.
std::vector<StepPart> plan_parts(const NetworkShape &shape, const Capacity &capacity, Gradients gradients);

}  // namespace transip::cuda
