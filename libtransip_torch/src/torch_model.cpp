#include "torch_model.h"

#include "modelfile/archive.h"
#include "modelfile/layout.h"
#include "scripted_weights.h"
#include "transip/error.h"
#include "transip/metadata.h"
#include "transip/tolerances.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace transip {

namespace {

using torch_interface::Evaluation;

/// A tensor on the caller's memory; the model only reads it.
template <typename T>
at::Tensor view(const T *values, at::IntArrayRef shape, at::ScalarType type)
{
  return at::from_blob(const_cast<T *>(values), shape, at::TensorOptions().dtype(type));
}

/// Lists of neighbours as the forward takes them: [T, K] rows, padded with -1.
at::Tensor padded(const Evaluation &evaluation)
{
  const std::int64_t tokens = evaluation.tokens;
  std::int64_t width = 0;
  if (evaluation.first)
    for (std::int64_t t = 0; t < tokens; t++) width = std::max(width, evaluation.first[t + 1] - evaluation.first[t]);
  at::Tensor slots = at::full({tokens, width}, -1, at::kLong);
  auto *place = slots.mutable_data_ptr<std::int64_t>();
  for (std::int64_t t = 0; t < tokens && width > 0; t++)
    std::copy(evaluation.neighbours + evaluation.first[t], evaluation.neighbours + evaluation.first[t + 1],
              place + t * width);
  return slots;
}

std::vector<at::Tensor> inputs_of(const Evaluation &evaluation, c10::Device device)
{
  const std::int64_t tokens = evaluation.tokens, rows = evaluation.rows;
  std::vector<at::Tensor> inputs = {
      view(evaluation.species, {tokens}, at::kLong),
      view(evaluation.positions, {rows, 3}, at::kDouble),
      evaluation.owner ? view(evaluation.owner, {rows}, at::kLong) : at::arange(rows, at::kLong),
      evaluation.owned ? view(evaluation.owned, {tokens}, at::kBool) : at::ones({tokens}, at::kBool),
      padded(evaluation),
      at::scalar_tensor(evaluation.charge, at::kLong),
      at::scalar_tensor(evaluation.multiplicity, at::kLong),
  };
  for (at::Tensor &input : inputs) input = input.to(device);
  return inputs;
}

void copy_out(const at::Tensor &tensor, double *values, std::int64_t count)
{
  const at::Tensor host = tensor.to(at::kCPU, at::kDouble).contiguous();
  if (host.numel() != count)
    throw Error("The model gave " + std::to_string(host.numel()) + " numbers where " + std::to_string(count) +
                " were expected.");
  std::copy_n(host.const_data_ptr<double>(), count, values);
}

}  // namespace

TorchModel::TorchModel(const torch_interface::File &file) : device_(file.device)
{
  const Archive archive({file.bytes, file.bytes + file.size}, file.path);
  const auto text = archive.contents(*archive.find(metadata_record));
  const Metadata metadata = parse_metadata({reinterpret_cast<const char *>(text.data()), text.size()}, file.path);
  compiled_ = is_compiled(archive);
  program_ = load_program(archive, metadata, compiled_, device_);
  // The shapes of an isolated molecule never change; neighbours' do.
  if (file.graphs)
    graph_ = make_cuda_graph(device_, parity(metadata.dtype),
                             [program = program_.get()](auto inputs) { return program->run(std::move(inputs)); });
  name_ = std::string(compiled_ ? "compiled code" : "TorchScript") + (graph_ ? ", CUDA graphs" : "");
}

/// torch keeps a CUDA device's memory for its next model; other programs on the device shall have it back.
TorchModel::~TorchModel()
{
  graph_.reset();
  program_.reset();
  if (!device_.is_cuda()) return;
  try {
    c10::getDeviceAllocator(device_.type())->emptyCache();
  } catch (const c10::Error &) {
    // A destructor must not throw; after an error of CUDA the allocator may.
  }
}

void TorchModel::tensors(torch_interface::TakeTensor take, void *caller)
{
  each_tensor(program_->script(), compiled_ ? "symmetry." : "", [&](const std::string &name, const at::Tensor &values) {
    take(name.c_str(), values.sizes().data(), static_cast<int>(values.dim()), values.const_data_ptr<double>(), caller);
  });
}

Output TorchModel::run(const Evaluation &evaluation)
{
  std::vector<at::Tensor> inputs = inputs_of(evaluation, device_);
  if (evaluation.rotations > 0) {
    const std::int64_t count = evaluation.rotations;
    return program_->run_average(std::move(inputs),
                                 view(evaluation.rotation, {count, 3, 3}, at::kDouble).to(device_),
                                 view(evaluation.weight, {count}, at::kDouble).to(device_));
  }
  return graph_ ? graph_->run(inputs) : program_->run(std::move(inputs));
}

void TorchModel::evaluate(const Evaluation &evaluation)
{
  if (!evaluation.forces && evaluation.rotations == 0) {
    copy_out(program_->energies(inputs_of(evaluation, device_)), evaluation.energies, evaluation.tokens);
    return;
  }
  const Output output = run(evaluation);
  copy_out(output.energies, evaluation.energies, evaluation.tokens);
  if (evaluation.forces) copy_out(output.forces, evaluation.forces, 3 * evaluation.rows);
}

}  // namespace transip
