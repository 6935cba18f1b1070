// The functions that libtransip looks up here. No exception leaves them.

#include "evaluate/torch_interface.h"
#include "program.h"
#include "torch_model.h"
#include "transip/error.h"

#include <ATen/Parallel.h>
#include <torch/version.h>

#include <exception>
#include <string>
#include <utility>

namespace transip {

namespace {

thread_local std::string last_message;

TorchModel &model_of(void *model)
{
  return *static_cast<TorchModel *>(model);
}

/// Run something; false, with a message, if it throws.
template <typename Call>
bool guarded(Call &&call) noexcept
{
  try {
    call();
    return true;
  } catch (const Error &problem) {
    last_message = problem.what();
  } catch (const std::exception &problem) {
    last_message = "torch could not evaluate the model: " + essence(problem);
  }
  return false;
}

const torch_interface::Functions functions = {
    .number = torch_interface::number,
    .version = [] { return TORCH_VERSION; },
    .message = [] { return last_message.c_str(); },
    .devices = [] { return static_cast<int>(at::getNumGPUs()); },
    .load = [](const torch_interface::File *file) -> void * {
      TorchModel *model = nullptr;
      guarded([&] { model = new TorchModel(*file); });
      return model;
    },
    .release = [](void *model) { delete static_cast<TorchModel *>(model); },
    .name = [](void *model) { return model_of(model).name().c_str(); },
    .evaluate = [](void *model, const torch_interface::Evaluation *evaluation) {
      return guarded([&] { model_of(model).evaluate(*evaluation); });
    },
    .native_network = [](void *model) { return model_of(model).native_network(); },
    .tensors = [](void *model, torch_interface::TakeTensor take, void *caller) {
      return guarded([&] { model_of(model).tensors(take, caller); });
    },
    .set_threads = [](int threads) { at::set_num_threads(threads); },
};

}  // namespace

}  // namespace transip

extern "C" __attribute__((visibility("default"))) const transip::torch_interface::Functions *transip_torch_functions()
{
  return &transip::functions;
}
