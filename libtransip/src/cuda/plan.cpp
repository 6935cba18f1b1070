#include "plan.h"

#include "kernels/molecule.h"
#include "kernels/search.h"
#include "kernels/totals.h"

#include <algorithm>

namespace transip::cuda {

std::string NetworkShape::type() const
{
  const auto flag = [](bool value) { return value ? ",true" : ",false"; };
  return std::string("transip::cuda::Shape<") + (single ? "float," : "double,") + std::to_string(dim) + "," +
         std::to_string(heads) + "," + std::to_string(feedforward) + flag(local) + flag(radial) + flag(rotary_values) +
         flag(coordinates) + ">";
}

const std::vector<std::string> &kernel_names(NetworkFile file)
{
#define TRANSIP_NAME(name, threads) #name,
  static const std::vector<std::string> step = {TRANSIP_STEP_KERNELS(TRANSIP_NAME)}, molecule = {"molecule"};
#undef TRANSIP_NAME
  return file == NetworkFile::step ? step : molecule;
}

const std::vector<std::string> &kernel_names(KernelFile file)
{
#define TRANSIP_NAME(name) #name,
  static const std::vector<std::string> search = {TRANSIP_SEARCH_KERNELS(TRANSIP_NAME)},
                                        totals = {TRANSIP_TOTALS_KERNELS(TRANSIP_NAME)};
#undef TRANSIP_NAME
  return file == KernelFile::search ? search : totals;
}

unsigned blocks_for(long long items, int threads)
{
  return static_cast<unsigned>(std::max(1LL, (items + threads - 1) / threads));
}

namespace {

/// Launches one after another; how many blocks, for each kind of kernel.
class Planner {
 public:
  /// halo: features of halo atoms come from elsewhere, so that a step is done in parts.
  Planner(const NetworkShape &shape, const Capacity &capacity, bool halo)
      : shape_(shape), capacity_(capacity), halo_(halo), parts_(1)
  {
  }

  void forward();
  void backward(bool virials_too);
  const std::vector<StepPart> &parts() const { return parts_; }

 private:
  /// A warp for each of so many items.
  void warps(StepKernel kernel, long long items, int layer = 0)
  {
    add(kernel, layer, blocks_for(items * warp_size, plain_threads), 1, plain_threads);
  }
  /// A linear layer with so many outputs.
  void dense(StepKernel kernel, int outer, int layer = 0)
  {
    const unsigned abreast = is_narrow(shape_.dim) ? 1 : blocks_for(outer, tile_outer);
    add(kernel, layer, blocks_for(capacity_.tokens, tile_tokens), abreast, dense_threads);
  }
  /// What follows attention in a layer, and what comes before it backward.
  void rest_of_layer(int layer);
  void rest_of_layer_back(int layer);
  void add(StepKernel kernel, int layer, unsigned x, unsigned y, int threads)
  {
    parts_.back().launches.push_back({static_cast<int>(kernel), layer, x, y, static_cast<unsigned>(threads)});
  }
  void end_part(StepPart::Then then)
  {
    parts_.back().then = then;
    parts_.emplace_back();
  }

  const NetworkShape &shape_;
  const Capacity &capacity_;
  bool halo_;
  std::vector<StepPart> parts_;
};

void Planner::rest_of_layer(int layer)
{
  using enum StepKernel;
  const int dim = shape_.dim;
  if (is_narrow(dim)) {
    dense(after_attention, dim, layer);
    return;
  }
  dense(attention_output, dim, layer);
  dense(gate, 2 * padded_feedforward(shape_.feedforward), layer);
  dense(feedforward_output, dim, layer);
  if (layer + 1 < shape_.layers) {
    dense(project, 3 * dim, layer + 1);
    return;
  }
  dense(energy_hidden, dim);
  warps(energies, capacity_.tokens);
}

void Planner::rest_of_layer_back(int layer)
{
  using enum StepKernel;
  const int dim = shape_.dim;
  if (is_narrow(dim)) {
    dense(after_attention_back, dim, layer);
    return;
  }
  if (layer + 1 < shape_.layers)
    dense(project_back, dim, layer + 1);
  else
    dense(energy_hidden_back, dim);
  dense(feedforward_output_back, padded_feedforward(shape_.feedforward), layer);
  dense(gate_back, dim, layer);
  dense(attention_output_back, dim, layer);
}

void Planner::forward()
{
  using enum StepKernel;
  add(begin, 0, blocks_for(static_cast<long long>(capacity_.rows) * warp_size, plain_threads),
      static_cast<unsigned>(shape_.layers), plain_threads);
  dense(project, 3 * shape_.dim);
  for (int layer = 0; layer < shape_.layers; layer++) {
    if (halo_) {
      warps(give_halo, capacity_.given, layer);
      end_part(StepPart::Then::forward);
      // Any row may be an image of a halo atom: the counts are known to the device alone.
      warps(take_halo, capacity_.rows, layer);
    }
    warps(attend, static_cast<long long>(capacity_.tokens) * shape_.split().groups, layer);
    rest_of_layer(layer);
  }
  parts_.back().launches.push_back(plan_energy_sum());
}

void Planner::backward(bool virials_too)
{
  using enum StepKernel;
  const long long tokens = capacity_.tokens, rows = capacity_.rows, groups = shape_.split().groups;
  for (int layer = shape_.layers - 1; layer >= 0; layer--) {
    rest_of_layer_back(layer);
    warps(attend_back_tokens, tokens * groups, layer);
    if (virials_too) warps(attend_back_virials, tokens * groups, layer);
    warps(attend_back_rows, rows * groups, layer);
    warps(fold, tokens, layer);
    if (halo_) {
      warps(fold_halo, capacity_.halo, layer);
      if (layer > 0) {
        end_part(StepPart::Then::reverse);
        warps(fold_given, tokens, layer);
      }
    }
  }
  if (shape_.coordinates) {
    dense(project_back, shape_.dim);
    warps(pull, tokens);
  }
  warps(StepKernel::forces, rows);
  if (virials_too) warps(virials, tokens);
}

}  // namespace

std::vector<StepPart> plan_parts(const NetworkShape &shape, const Capacity &capacity, Gradients gradients)
{
  Planner planner(shape, capacity, true);
  planner.forward();
  if (gradients.forces) planner.backward(gradients.virials);
  return planner.parts();
}

std::vector<Launch> plan_step(const NetworkShape &shape, const Capacity &capacity, Gradients gradients)
{
  Planner planner(shape, capacity, false);
  planner.forward();
  if (gradients.forces) planner.backward(gradients.virials);
  return planner.parts().front().launches;
}

Launch plan_energy_sum()
{
  return {static_cast<int>(StepKernel::energy_sum), 0, 1, 1, sum_threads};
}

bool is_step_of_molecules(const NetworkShape &shape, const Capacity &capacity, int largest, int blocks)
{
  return has_molecule_kernel(shape.dim, shape.local) && largest <= most_molecule_tokens &&
         blocks_for(capacity.tokens, molecule_window) <= static_cast<unsigned>(blocks);
}

Launch plan_molecules(const NetworkShape &shape, const Capacity &capacity, bool forces)
{
  return {0, forces ? with_forces : 0, blocks_for(capacity.tokens, molecule_window), 1,
          static_cast<unsigned>(molecule_threads(shape.bytes()))};
}

Launch plan_molecule(const NetworkShape &shape, bool forces, bool nearest)
{
  const int part = whole_structure | (forces ? with_forces : 0) | (nearest ? nearest_pair : 0);
  return {0, part, 1, 1, static_cast<unsigned>(molecule_threads(shape.bytes()))};
}

}  // namespace transip::cuda
