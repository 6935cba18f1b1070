#include "shared_library.h"

#include "transip/error.h"

#include <dlfcn.h>

namespace transip::cuda {

SharedLibrary::SharedLibrary(const std::vector<std::string> &names)
{
  for (const std::string &name : names) {
    handle_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_) {
      opened_ = name;
      return;
    }
    if (const char *reason = dlerror(); reason && problem_.empty()) problem_ = reason;
  }
}

void *SharedLibrary::symbol(const char *name) const
{
  void *found = dlsym(handle_, name);
  if (!found) throw Error(opened_ + " is too old: it has no function " + name + ". Install a newer one.");
  return found;
}

}  // namespace transip::cuda
