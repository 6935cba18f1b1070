#include "program.h"

#include "script_guard.h"
#include "scripted_weights.h"
#include "transip/error.h"
#include "common/trusted_path.h"

#include <ATen/TensorOperators.h>
#include <ATen/Version.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/version.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace transip {

namespace {

/// torch.export takes sizes 0 and 1 for constants: compiled code runs from two tokens and two neighbour slots on.
constexpr std::int64_t smallest = 2;

/// Tokens that one pass of an average takes at most, unless one rotation has more; BATCH and CPU_BATCH in Python.
constexpr std::int64_t batch = 4096, cpu_batch = 256;

/// Entry of a package with TorchScript; SYMMETRY_ENTRY in Python.
constexpr const char *symmetry_record = "transip/symmetry.pt";

/// Two tensors that TorchScript gives.
std::pair<at::Tensor, at::Tensor> pair_of(const c10::IValue &value)
{
  const auto &elements = value.toTupleRef().elements();
  return {elements.at(0).toTensor(), elements.at(1).toTensor()};
}

/// Run a method of TorchScript that takes no gradients.
c10::IValue call(torch::jit::Module &module, const char *method, std::vector<c10::IValue> arguments)
{
  const c10::AutoGradMode differentiation(false);
  const torch::jit::GraphOptimizerEnabledGuard plain_execution(false);
  return module.get_method(method)(std::move(arguments));
}

class ScriptedProgram : public Program {
 public:
  ScriptedProgram(const Archive &archive, c10::Device device) : module_(torch::jit::load(adapter(archive), device))
  {
    check_operators(module_, archive.path());
    module_.eval();
  }

  at::Tensor energies(std::vector<at::Tensor> inputs) override
  {
    // Files made before there was this method do without.
    const auto method = module_.find_method("energies");
    if (!method) return Program::energies(std::move(inputs));
    const c10::AutoGradMode differentiation(false);
    const torch::jit::GraphOptimizerEnabledGuard plain_execution(false);
    return (*method)({inputs.begin(), inputs.end()}).toTensor();
  }

  Output run(std::vector<at::Tensor> inputs) override
  {
    // The forward takes the gradient itself, so differentiation must be on whatever the host program has set. Plain
    // execution: graph optimisation would specialise anew, at the cost of hundreds of steps, on every new number of
    // atoms.
    const c10::AutoGradMode differentiation(true);
    const torch::jit::GraphOptimizerEnabledGuard plain_execution(false);
    return output_of(module_.forward({inputs.begin(), inputs.end()}));
  }

  torch::jit::Module &script() override { return module_; }

  bool native_network() override { return is_native_network(module_); }

  Output run_average(std::vector<at::Tensor> inputs, const at::Tensor &rotations, const at::Tensor &weights) override
  {
    return run_method("forward_average", inputs, rotations, weights);
  }

 private:
  static Output output_of(const c10::IValue &value)
  {
    auto [energies, forces] = pair_of(value);
    return {energies, forces};
  }

  Output run_method(const char *name, const std::vector<at::Tensor> &inputs, const at::Tensor &first,
                    const at::Tensor &second)
  {
    const c10::AutoGradMode differentiation(true);
    const torch::jit::GraphOptimizerEnabledGuard plain_execution(false);
    std::vector<c10::IValue> arguments(inputs.begin(), inputs.end());
    arguments.insert(arguments.end(), {first, second});
    return output_of(module_.get_method(name)(std::move(arguments)));
  }

  torch::jit::Module module_;
};

class CompiledProgram : public Program {
 public:
  CompiledProgram(const std::string &path, c10::Device device, bool local)
      : loader_(path, "model", true, 1, device.index()), local_(local), path_(path), device_(device)
  {
  }

  Output run(std::vector<at::Tensor> inputs) override
  {
    const c10::InferenceMode no_bookkeeping;
    const std::int64_t tokens = inputs[0].size(0);
    if (tokens == 0) return {at::zeros({0}, inputs[1].options()), at::zeros_like(inputs[1])};
    at::Tensor &neighbours = inputs[4];
    if (local_ && neighbours.size(1) < smallest)
      neighbours = at::constant_pad_nd(neighbours, {0, smallest - neighbours.size(1)}, -1);
    if (tokens >= smallest) {
      auto outputs = loader_.run(inputs);
      return {outputs.at(0), outputs.at(1)};
    }
    if (!local_)
      throw Error("A compiled all-to-all model takes two atoms or more; got one. Use a TorchScript file (`transip-md "
                  "export --format torchscript`).");
    return run_alone(std::move(inputs));
  }

  Output run_average(std::vector<at::Tensor> inputs, const at::Tensor &rotations, const at::Tensor &weights) override
  {
    const at::Tensor species = inputs[0], positions = inputs[1];
    const std::int64_t tokens = species.size(0);
    Output total{at::zeros({tokens}, positions.options()), at::zeros_like(positions)};
    const std::int64_t limit = device_.is_cuda() ? batch : cpu_batch;
    // Compiled all-to-all code takes one molecule at a time.
    const std::int64_t at_once = local_ ? std::max<std::int64_t>(1, limit / std::max<std::int64_t>(1, tokens)) : 1;
    for (std::int64_t first = 0; first < rotations.size(0); first += at_once) {
      const at::Tensor part = rotations.slice(0, first, first + at_once);
      const at::Tensor shares = weights.slice(0, first, first + at_once);
      const c10::IValue stacked =
          call(script(), "stack", {species, positions, inputs[2], inputs[3], inputs[4], part});
      std::vector<at::Tensor> copies;
      for (const c10::IValue &tensor : stacked.toTupleRef().elements()) copies.push_back(tensor.toTensor());
      copies.insert(copies.end(), {inputs[5], inputs[6]});
      const Output several = run(std::move(copies));
      auto [energies, forces] =
          pair_of(call(script(), "unstack", {several.energies, several.forces, part, shares}));
      total.energies += energies;
      total.forces += forces;
    }
    return total;
  }

  torch::jit::Module &script() override
  {
    if (!script_) {
      caffe2::serialize::PyTorchStreamReader reader(path_);
      auto [data, size] = reader.getRecord(symmetry_record);
      const auto *bytes = static_cast<const unsigned char *>(data.get());
      const Archive inside({bytes, bytes + size}, path_);
      check_before_unpickling(inside, path_);
      script_ = torch::jit::load(adapter(inside), device_);
      check_operators(*script_, path_);
    }
    return *script_;
  }

 private:
  /// One token: a second one that nobody sees and whose energy does not count goes behind it.
  Output run_alone(std::vector<at::Tensor> inputs)
  {
    const at::Tensor &positions = inputs[1], &owner = inputs[2], &owned = inputs[3], &neighbours = inputs[4];
    inputs[0] = inputs[0].repeat({2});
    at::Tensor second_owner = at::cat({owner.slice(0, 0, 1), at::ones_like(owner.slice(0, 0, 1)), owner.slice(0, 1)});
    at::Tensor twice = at::cat({positions.slice(0, 0, 1), positions});
    at::Tensor counted = at::cat({owned, at::zeros_like(owned)});
    at::Tensor slots = at::cat({at::where(neighbours > 0, neighbours + 1, neighbours), at::full_like(neighbours, -1)});
    inputs[1] = twice;
    inputs[2] = second_owner;
    inputs[3] = counted;
    inputs[4] = slots;
    auto outputs = loader_.run(inputs);
    const at::Tensor &forces = outputs.at(1);
    return {outputs.at(0).slice(0, 0, 1), at::cat({forces.slice(0, 0, 1), forces.slice(0, 2)})};
  }

  torch::inductor::AOTIModelPackageLoader loader_;
  bool local_;
  std::string path_;
  c10::Device device_;
  std::optional<torch::jit::Module> script_;
};

/// Place of a name among torch's names of vector instructions, the poorer first; -1 if it is none of them.
int rank(std::string_view capability)
{
  constexpr std::array<std::string_view, 3> known = {"DEFAULT", "AVX2", "AVX512"};
  const auto found = std::find(known.begin(), known.end(), capability);
  return found == known.end() ? -1 : static_cast<int>(found - known.begin());
}

std::string minor_version(const std::string &version)
{
  return version.substr(0, version.find('.', version.find('.') + 1));
}

void check_machine(const std::string &path, const Metadata &metadata)
{
  const std::string otherwise = ". Export the model again on this machine, or use a TorchScript file (`transip-md "
                                "export --format torchscript`).";
  const std::string here = at::get_cpu_capability();
  if (rank(here) >= 0 && rank(metadata.cpu_capability) > rank(here))
    throw Error(path + " was compiled for CPUs with " + metadata.cpu_capability + ", and this one has " + here +
                otherwise);
  if (minor_version(metadata.torch) != minor_version(TORCH_VERSION))
    throw Error(path + " was compiled with torch " + metadata.torch + ", and this is " + TORCH_VERSION + otherwise);
}

}  // namespace

std::string essence(const std::exception &problem)
{
  if (const auto *error = dynamic_cast<const c10::Error *>(&problem)) {
    const std::string text = error->what_without_backtrace();
    return text.substr(0, text.find('\n'));
  }
  std::string text = problem.what();
  text.erase(text.find_last_not_of(" \n") + 1);
  text = text.substr(text.rfind('\n') + 1);
  for (const std::string_view prefix : {"builtins.", "RuntimeError: "})
    if (text.starts_with(prefix)) text.erase(0, prefix.size());
  return text;
}

std::unique_ptr<Program> load_program(const Archive &archive, const Metadata &metadata, bool compiled,
                                      c10::Device device)
{
  const std::string &path = archive.path();
  if (compiled) check_machine(path, metadata);
  try {
    if (compiled) {
      require_trusted(path);
      archive.check_contents();
      return std::make_unique<CompiledProgram>(path, device, metadata.cutoff.has_value());
    }
    check_before_unpickling(archive, path);
    return std::make_unique<ScriptedProgram>(archive, device);
  } catch (const Error &) {
    throw;
  } catch (const std::exception &problem) {
    throw Error(path + " has a transip.json, but torch " + TORCH_VERSION + " cannot load its " +
                (compiled ? "compiled code: " : "TorchScript: ") + essence(problem));
  }
}

}  // namespace transip
