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

}  // namespace

bool is_native_network(const torch::jit::Module &module)
{
  if (!is_class(module, engine_class) || !module.hasattr("model")) return false;
  return is_class(module.attr("model").toModule(), network_class);
}

void each_tensor(const torch::jit::Module &module, const std::string &prefix, const TakeScripted &take)
{
  const auto hand_out = [&](const std::string &name, const at::Tensor &tensor) {
    if (tensor.is_floating_point()) take(prefix + name, tensor.detach().to(at::kCPU, at::kDouble).contiguous());
  };
  for (const auto &parameter : module.named_parameters()) hand_out(parameter.name, parameter.value);
  for (const auto &buffer : module.named_buffers()) hand_out(buffer.name, buffer.value);
}

}  // namespace transip
