#include "torch_library.h"

#include "common/trusted_path.h"
#include "transip/error.h"
#include "transip/text.h"

#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <string>
#include <vector>

namespace transip {

namespace {

constexpr const char *library_name = "libtransip_torch.so";
constexpr const char *named_by = "TRANSIP_TORCH_LIBRARY";
constexpr const char *remedy = "Type `transip-md build torch`.";

/// Folder of the library or program that this code was linked into.
std::filesystem::path own_folder()
{
  Dl_info found{};
  if (!dladdr(reinterpret_cast<const void *>(&own_folder), &found) || !found.dli_fname) return {};
  std::error_code problem;
  const auto whole = std::filesystem::absolute(found.dli_fname, problem);
  return whole.parent_path();
}

std::string find_library()
{
  if (const char *named = std::getenv(named_by); named && *named) {
    if (!std::filesystem::is_regular_file(named))
      throw Error("The environment variable " + std::string(named_by) + " names no file: " + printable(named) + ". " + remedy);
    return named;
  }
  const std::filesystem::path here = own_folder();
  for (const auto &folder : {here, here / "torch", here.parent_path() / "torch"})
    if (std::filesystem::is_regular_file(folder / library_name)) return (folder / library_name).string();
  throw Error("Evaluating a model by torch needs " + std::string(library_name) + ", which is neither in " + here.string() +
              " nor in its folder torch. " + remedy);
}

const torch_interface::Functions *open_library()
{
  const std::string path = find_library();
  require_trusted(path);
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *reason = dlerror();
    throw Error(path + " does not fit the torch that is installed: " + (reason ? reason : "no reason given") + ". " + remedy);
  }
  using Function = const torch_interface::Functions *(*)();
  const auto function = reinterpret_cast<Function>(dlsym(library, torch_interface::symbol));
  const torch_interface::Functions *functions = function ? function() : nullptr;
  if (!functions || functions->number != torch_interface::number)
    throw Error(path + " belongs to another version of transip-md. " + remedy);
  return functions;
}

}  // namespace

const torch_interface::Functions &torch_functions()
{
  // Tried anew after a failure: the library may have been built meanwhile.
  static const torch_interface::Functions *const functions = open_library();
  return *functions;
}

int driver_devices()
{
  static const int found = [] {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!driver) return 0;
    const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
    const auto count = reinterpret_cast<int (*)(int *)>(dlsym(driver, "cuDeviceGetCount"));
    int devices = 0;
    return init && count && init(0) == 0 && count(&devices) == 0 ? devices : 0;
  }();
  return found;
}

}  // namespace transip
