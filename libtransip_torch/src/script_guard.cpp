// The twin of python/transip_md/modelfile/guard.py.
#include "script_guard.h"

#include "operators.h"
#include "transip/error.h"
#include "transip/text.h"

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/api/function_impl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace transip {

namespace {

/// Bytes that one compressed entry, code that is, may have.
constexpr std::uint64_t most_code = std::uint64_t{1} << 24;
constexpr std::int64_t most_iterations = 1000000;
/// Functions of our exports that search, by loops which end when they have found; evaluations must not call them.
constexpr std::array<std::string_view, 2> searching = {"make_frame", "rotation_set"};
constexpr std::array<std::string_view, 2> pickles = {"data.pkl", "constants.pkl"};

[[noreturn]] void refuse(const std::string &path, const std::string &what)
{
  throw Error(path + " is refused: " + what + ", which no model exported by transip-md does. A model file is a program; "
                     "use only what comes from people you trust.");
}

class MemoryAdapter : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit MemoryAdapter(std::span<const unsigned char> data) : data_(data) {}
  std::size_t size() const override { return data_.size(); }
  std::size_t read(std::uint64_t position, void *buffer, std::size_t count, const char *) const override
  {
    if (position >= data_.size()) return 0;
    count = std::min<std::size_t>(count, data_.size() - position);
    std::memcpy(buffer, data_.data() + position, count);
    return count;
  }

 private:
  std::span<const unsigned char> data_;
};

/// Globals that torch's own writer puts into a module's pickle: the file's classes, tensors, lists of numbers.
bool is_known_global(std::string_view module, std::string_view name)
{
  if (module.starts_with("__torch__.")) return !module.starts_with("__torch__.torch.classes");
  if (module == "torch.jit._pickle")
    return (name.starts_with("build_") && name.ends_with("list")) || name == "restore_type_tag";
  if (module == "torch._utils") return name == "_rebuild_tensor_v2" || name == "_rebuild_parameter";
  if (module == "torch") return name.ends_with("Storage") || name == "device";
  return module == "collections" && name == "OrderedDict";
}

/// Opcodes of pickle's protocol 2 as torch's writer uses them, and the bytes that follow each (pickletools.py).
class PickleScanner {
 public:
  PickleScanner(std::span<const unsigned char> data, const std::string &path, std::string_view entry)
      : data_(data), path_(path), entry_(entry)
  {
  }

  void scan()
  {
    while (place_ < data_.size()) {
      const unsigned char code = data_[place_++];
      if (code == '.') return;
      if (code == 'c') {
        const std::string_view module = line(), name = line();
        if (!is_known_global(module, name))
          refuse(path_, "its " + std::string(entry_) + " refers to " + printable(module) + "." + printable(name));
      } else {
        skip(length(code));
      }
    }
    refuse(path_, "its " + std::string(entry_) + " has no end");
  }

 private:
  std::uint64_t length(unsigned char code)
  {
    switch (code) {
      // No argument: marks, containers, booleans, building, references to stored tensors.
      case '(': case ')': case ']': case '}': case 'N': case '0': case '1': case '2': case 'a': case 'e': case 's':
      case 'u': case 't': case 'l': case 'd': case 'b': case 'R': case 'Q': case 0x81: case 0x85: case 0x86: case 0x87:
      case 0x88: case 0x89:
        return 0;
      case 0x80: case 'K': case 'q': case 'h': return 1;
      case 'M': return 2;
      case 'J': case 'r': case 'j': return 4;
      case 'G': return 8;
      case 'X': case 'T': return number(4);
      case 'U': case 0x8a: return number(1);
      default:
        refuse(path_, "its " + std::string(entry_) + " has the pickle opcode " + std::to_string(code));
    }
  }

  std::uint64_t number(std::size_t bytes)
  {
    std::uint64_t value = 0;
    if (bytes > data_.size() - place_) refuse(path_, "its " + std::string(entry_) + " ends too early");
    for (std::size_t i = 0; i < bytes; i++) value |= std::uint64_t{data_[place_ + i]} << 8 * i;
    place_ += bytes;
    return value;
  }

  void skip(std::uint64_t bytes)
  {
    if (bytes > data_.size() - place_) refuse(path_, "its " + std::string(entry_) + " ends too early");
    place_ += bytes;
  }

  std::string_view line()
  {
    const auto *start = reinterpret_cast<const char *>(data_.data()) + place_;
    const std::string_view rest(start, data_.size() - place_);
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) refuse(path_, "its " + std::string(entry_) + " ends too early");
    place_ += end + 1;
    return rest.substr(0, end);
  }

  std::span<const unsigned char> data_;
  const std::string &path_;
  std::string_view entry_;
  std::size_t place_ = 0;
};

std::optional<std::int64_t> constant_integer(const torch::jit::Value *value)
{
  const auto constant = torch::jit::toIValue(value);
  return constant && constant->isInt() ? std::optional(constant->toInt()) : std::nullopt;
}

bool searches(const std::string &name)
{
  return std::find(searching.begin(), searching.end(), name) != searching.end();
}

void check_block(const torch::jit::Block *block, const std::string &function, const std::string &path)
{
  for (const torch::jit::Node *node : block->nodes()) {
    const std::string kind = node->kind().toQualString();
    if (std::find(std::begin(allowed_operators), std::end(allowed_operators), kind) == std::end(allowed_operators))
      refuse(path, "its TorchScript uses the operator " + printable(kind));
    if (node->kind() == c10::prim::Loop && !searches(function))
      if (const auto count = constant_integer(node->input(0)); count && *count > most_iterations)
        refuse(path, "its TorchScript has a loop without a bound in " + printable(function));
    if (node->kind() == c10::prim::CallMethod && searches(node->s(c10::attr::name)))
      refuse(path, "its TorchScript calls " + node->s(c10::attr::name) + " in " + printable(function));
    for (const torch::jit::Block *inner : node->blocks()) check_block(inner, function, path);
  }
}

}  // namespace

std::shared_ptr<caffe2::serialize::ReadAdapterInterface> adapter(const Archive &archive)
{
  return std::make_shared<MemoryAdapter>(archive.bytes());
}

void check_before_unpickling(const Archive &archive, const std::string &path)
{
  archive.check_contents();
  caffe2::serialize::PyTorchStreamReader reader(adapter(archive));
  for (const Archive::Entry &entry : archive.entries()) {
    if (!entry.compressed) continue;
    if (entry.size > most_code) refuse(path, "its " + printable(entry.name) + " is larger than 16 MB");
    const auto [data, size] = reader.getRecord(entry.name);
    const std::span<const unsigned char> contents(static_cast<const unsigned char *>(data.get()), size);
    if (size != entry.size || crc32(contents) != entry.crc) throw_damaged(path, printable(entry.name));
  }
  for (const Archive::Entry &entry : archive.entries()) {
    if (!entry.name.starts_with("code/") || entry.name.ends_with(".debug_pkl")) continue;
    const auto [data, size] = reader.getRecord(entry.name);
    const std::string_view code(static_cast<const char *>(data.get()), size);
    if (code.find("__setstate__") != std::string_view::npos)
      refuse(path, "its class in " + printable(entry.name) + " runs code when it is unpickled (__setstate__)");
  }
  for (const std::string_view name : pickles)
    if (const Archive::Entry *entry = archive.find(name)) PickleScanner(archive.contents(*entry), path, name).scan();
}

void check_operators(const torch::jit::Module &module, const std::string &path)
{
  for (torch::jit::Function *function : module._ivalue()->compilation_unit()->get_functions())
    if (const auto *graph = torch::jit::tryToGraphFunction(*function)) {
      function->ensure_defined();
      check_block(graph->graph()->block(), function->name(), path);
    }
}

}  // namespace transip
