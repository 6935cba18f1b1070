#include "compiler.h"

#include "common/trusted_path.h"
#include "kernel_sources.h"
#include "shared_library.h"
#include "transip/error.h"
#include "transip/sha256.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <unistd.h>

namespace transip::cuda {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t digits = 64;  // of a SHA-256

std::string hash(const std::string &text)
{
  return sha256({reinterpret_cast<const unsigned char *>(text.data()), text.size()});
}

std::string environment(const char *name)
{
  const char *value = std::getenv(name);
  return value ? value : "";
}

// ---- NVRTC ---------------------------------------------------------------------------------------------------------

/// The part of NVRTC's interface that is used; its results are zero where all went well.
class Nvrtc {
 public:
  Nvrtc() : library_(names())
  {
    if (!library_.is_open())
      throw Error("CUDA's compiler NVRTC is not there (" + library_.problem() +
                  "). Type `pip install nvidia-cuda-nvrtc` and let TRANSIP_NVRTC name its libnvrtc.so, or use the device "
                  "cpu.");
    library_.find(create_, "nvrtcCreateProgram");
    library_.find(compile_, "nvrtcCompileProgram");
    library_.find(destroy_, "nvrtcDestroyProgram");
    library_.find(log_size_, "nvrtcGetProgramLogSize");
    library_.find(log_, "nvrtcGetProgramLog");
    library_.find(cubin_size_, "nvrtcGetCUBINSize");
    library_.find(cubin_, "nvrtcGetCUBIN");
  }

  /// file: of the sources. definition: for the preprocessor, "TRANSIP_SHAPE=..."; empty: none.
  std::string compile(const char *file, const std::string &definition, const std::string &architecture) const
  {
    std::vector<std::string> texts;  // ended by a zero, as C wants them
    std::vector<const char *> names, headers;
    std::string source;
    for (const auto &[name, text] : kernel_sources()) {
      if (name == file) source = text;
      names.push_back(name.data());
      texts.emplace_back(text);
    }
    for (const std::string &text : texts) headers.push_back(text.c_str());
    void *program = nullptr;
    if (create_(&program, source.c_str(), file, static_cast<int>(names.size()), headers.data(), names.data()))
      throw Error("NVRTC does not take the source of the kernels.");
    const std::string options[] = {"--gpu-architecture=" + architecture, "--std=c++17", "-D" + definition};
    const char *pointers[] = {options[0].c_str(), options[1].c_str(), options[2].c_str()};
    const int failed = compile_(program, definition.empty() ? 2 : 3, pointers);
    const std::string result = failed ? text_of(program, log_size_, log_) : text_of(program, cubin_size_, cubin_);
    destroy_(&program);
    if (failed)
      throw Error("NVRTC cannot compile " + std::string(file) + " for " + architecture + " and '" + definition + "': " +
                  result.substr(0, result.find('\n')));
    return result;
  }

 private:
  using Size = int(void *, std::size_t *);
  using Text = int(void *, char *);

  static std::vector<std::string> names()
  {
    const std::string chosen = environment("TRANSIP_NVRTC");
    if (chosen.empty()) return {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};
    // NVRTC looks for its built-in functions by name only: they are opened from beside it.
    std::error_code ignored;
    for (const auto &file : fs::directory_iterator(fs::path(chosen).parent_path(), ignored))
      if (file.path().filename().string().starts_with("libnvrtc-builtins.so."))
        dlopen(file.path().c_str(), RTLD_NOW | RTLD_GLOBAL);
    return {chosen};
  }

  static std::string text_of(void *program, Size *size, Text *text)
  {
    std::size_t bytes = 0;
    if (size(program, &bytes)) throw Error("NVRTC does not give its result.");
    std::string content(bytes, '\0');
    if (text(program, content.data())) throw Error("NVRTC does not give its result.");
    return content;
  }

  SharedLibrary library_;
  int (*create_)(void **, const char *, const char *, int, const char *const *, const char *const *) = nullptr;
  int (*compile_)(void *, int, const char *const *) = nullptr;
  int (*destroy_)(void **) = nullptr;
  Size *log_size_ = nullptr, *cubin_size_ = nullptr;
  Text *log_ = nullptr, *cubin_ = nullptr;
};

// ---- the cache -----------------------------------------------------------------------------------------------------

/// Folder of what is compiled; empty where there is none.
fs::path cache_folder()
{
  if (const std::string chosen = environment("TRANSIP_MD_CACHE"); !chosen.empty()) return chosen;
  if (const std::string users = environment("XDG_CACHE_HOME"); !users.empty()) return fs::path(users) / "transip-md";
  const std::string home = environment("HOME");
  return home.empty() ? fs::path() : fs::path(home) / ".cache" / "transip-md";
}

/// A kept cubin; none if there is none, or if it is not what was written.
std::optional<std::string> kept(const fs::path &file)
{
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return std::nullopt;
  require_trusted(file.string());
  std::string content{std::istreambuf_iterator<char>(stream), {}};
  if (content.size() < digits) return std::nullopt;
  const std::string cubin = content.substr(digits);
  if (hash(cubin) != content.substr(0, digits)) return std::nullopt;
  return cubin;
}

/// Keep a cubin behind its hash; the file appears whole. A cache that cannot be written is no fault.
void keep(const fs::path &file, const std::string &cubin)
{
  std::error_code failed;
  if (!fs::is_directory(file.parent_path())) {
    fs::create_directories(file.parent_path(), failed);
    if (failed) return;
    fs::permissions(file.parent_path(), fs::perms::owner_all, failed);
  }
  const fs::path unfinished = file.string() + "." + std::to_string(getpid());
  {
    std::ofstream stream(unfinished, std::ios::binary);
    stream << hash(cubin) << cubin;
    if (!stream.flush()) failed = std::make_error_code(std::errc::io_error);
  }
  if (!failed) fs::rename(unfinished, file, failed);
  std::error_code ignored;
  if (failed) fs::remove(unfinished, ignored);
}

const Nvrtc &nvrtc()
{
  static const Nvrtc opened;
  return opened;
}

/// A lock for each file of the cache: of several threads that want one kernel, one compiles and the others find it.
std::mutex &lock_of(const std::string &cubin_file)
{
  static std::mutex changes;
  static std::map<std::string, std::mutex> locks;
  const std::lock_guard locked(changes);
  return locks[cubin_file];
}

std::shared_future<std::string> compile(const char *file, const std::string &definition, const std::string &architecture)
{
  std::string key = architecture + '\n' + file + '\n' + definition;
  for (const auto &[name, text] : kernel_sources()) key += '\n' + std::string(name) + '\n' + std::string(text);
  const fs::path folder = cache_folder(), cubin_file = folder / ("cuda-" + hash(key).substr(0, 16) + ".cubin");
  const auto find = [folder, cubin_file] { return folder.empty() ? std::nullopt : kept(cubin_file); };
  if (std::optional<std::string> cubin = find()) {
    std::promise<std::string> there;
    there.set_value(std::move(*cubin));
    return there.get_future().share();
  }
  const Nvrtc &compiler = nvrtc();
  return std::async([=, &compiler] {
           const std::lock_guard locked(lock_of(cubin_file.string()));
           if (const std::optional<std::string> cubin = find()) return *cubin;
           const std::string cubin = compiler.compile(file, definition, architecture);
           if (!folder.empty()) keep(cubin_file, cubin);
           return cubin;
         })
      .share();
}

}  // namespace

std::shared_future<std::string> compile_kernels(const NetworkShape &shape, NetworkFile file,
                                                const std::string &architecture)
{
  return compile(file == NetworkFile::step ? "step.cu" : "molecule.cu", "TRANSIP_SHAPE=" + shape.type(), architecture);
}

std::shared_future<std::string> compile_kernels(KernelFile file, const std::string &architecture)
{
  return compile(file == KernelFile::search ? "search.cu" : "totals.cu", "", architecture);
}

}  // namespace transip::cuda
