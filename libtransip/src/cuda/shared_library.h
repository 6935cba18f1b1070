// Shared libraries that are opened when first wanted: CUDA's driver and compiler, which need not be there.
#pragma once

#include <string>
#include <vector>

namespace transip::cuda {

class SharedLibrary {
 public:
  /// Open the first of these names or paths that opens; none: `is_open` is false and `problem` has the reason.
  explicit SharedLibrary(const std::vector<std::string> &names);

  bool is_open() const { return handle_ != nullptr; }
  const std::string &problem() const { return problem_; }

  /// Let `function` point to a function of the library. Throws Error: it has none of that name.
  template <typename Function> void find(Function *&function, const char *name) const
  {
    function = reinterpret_cast<Function *>(symbol(name));
  }

 private:
  void *symbol(const char *name) const;

  void *handle_ = nullptr;  // stays open: drivers do not like to be closed
  std::string opened_, problem_;
};

}  // namespace transip::cuda
