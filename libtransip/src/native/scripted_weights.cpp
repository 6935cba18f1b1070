#include "scripted_weights.h"

namespace transip {

namespace {

/// Classes whose forward the kernels repeat; a file made with any other code runs that code.
constexpr const char *engine_class = "transip_md.export.EngineModel";
constexpr const char *network_class = "transip_md.model.network.TransIP";

bool is_class(const torch::jit::Module &module, const std::string &name)
{
  const auto type = module.type()->name();
  if (!type) return false;
  // A second class of one name in a process gets a number put into its path.
  std::string found;
  for (const std::string &part : type->atoms())
    if (!part.starts_with("___torch_mangle_")) found += "." + part;
  return found == ".__torch__." + name;
}

void add(Weights &weights, const std::string &name, const at::Tensor &tensor)
{
  if (!tensor.is_floating_point()) return;
  const at::Tensor host = tensor.detach().to(at::kCPU, at::kDouble).contiguous();
  const double *data = host.const_data_ptr<double>();
  weights.add(name, host.sizes().vec(), std::vector<double>(data, data + host.numel()));
}

}  // namespace

std::optional<Weights> scripted_weights(const torch::jit::Module &module)
{
  if (!is_class(module, engine_class) || !module.hasattr("model")) return std::nullopt;
  const torch::jit::Module network = module.attr("model").toModule();
  if (!is_class(network, network_class)) return std::nullopt;
  Weights weights;
  for (const auto &parameter : module.named_parameters()) add(weights, parameter.name, parameter.value);
  for (const auto &buffer : module.named_buffers()) add(weights, buffer.name, buffer.value);
  return weights;
}

}  // namespace transip
