#include "weights.h"

#include "transip/sha256.h"
#include "transip/error.h"
#include "transip/text.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

namespace transip {

namespace {

/// Folder of the archive in which torch stores tensors.
constexpr std::string_view tensor_folder = "data/";

static_assert(std::endian::native == std::endian::little, "torch's archives are little-endian, and so are the readers");

std::size_t size_of(const std::string &dtype)
{
  if (dtype == "float64" || dtype == "int64") return 8;
  if (dtype == "float32" || dtype == "int32") return 4;
  return dtype == "uint8" || dtype == "bool" ? 1 : 2;
}

std::size_t elements(const WeightEntry &weight)
{
  std::size_t count = 1;
  for (const std::int64_t size : weight.shape) count *= static_cast<std::size_t>(size);
  return count;
}

std::span<const unsigned char> contents(const Archive &archive, const WeightEntry &weight)
{
  const Archive::Entry *entry = archive.find(weight.entry);
  if (!entry || entry->compressed || entry->size != elements(weight) * size_of(weight.dtype))
    throw_damaged(archive.path(), "the tensor " + printable(weight.name));
  return archive.bytes().subspan(entry->offset, entry->stored);
}

template <typename T>
std::vector<double> as_float64(std::span<const unsigned char> bytes)
{
  std::vector<double> values(bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < values.size(); i++) {
    T value;
    std::memcpy(&value, &bytes[i * sizeof(T)], sizeof(T));
    values[i] = static_cast<double>(value);
  }
  return values;
}

/// Numbers of binary16 (IEEE 754), which the C++ of today has no type for.
std::vector<double> of_float16(std::span<const unsigned char> bytes)
{
  std::vector<double> values(bytes.size() / 2);
  for (std::size_t i = 0; i < values.size(); i++) {
    const unsigned bits = bytes[2 * i] | static_cast<unsigned>(bytes[2 * i + 1]) << 8;
    const int exponent = static_cast<int>(bits >> 10 & 31u), fraction = static_cast<int>(bits & 1023u);
    double value = exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24);
    if (exponent == 31) value = fraction ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
    values[i] = bits >> 15 ? -value : value;
  }
  return values;
}

std::string text(std::span<const std::int64_t> shape)
{
  std::string list;
  for (const std::int64_t size : shape) list += (list.empty() ? "" : ", ") + std::to_string(size);
  return "[" + list + "]";
}

}  // namespace

void check_weights(const Archive &archive, const Metadata &metadata)
{
  std::set<std::string_view> indexed;
  for (const WeightEntry &weight : metadata.weights) {
    if (sha256(contents(archive, weight)) != weight.sha256)
      throw_damaged(archive.path(), "the tensor " + printable(weight.name));
    indexed.insert(weight.entry);
  }
  for (const Archive::Entry &entry : archive.entries())
    if (entry.name.starts_with(tensor_folder) && entry.name.find('/', tensor_folder.size()) == std::string::npos &&
        !indexed.contains(entry.name))
      throw_damaged(archive.path(), "the tensor " + printable(entry.name) + ", which the index of weights does not name,");
}

Weights::Weights(const Archive &archive, const Metadata &metadata)
{
  for (const WeightEntry &weight : metadata.weights) {
    if (weight.dtype == "float64")
      add(weight.name, weight.shape, as_float64<double>(contents(archive, weight)));
    else if (weight.dtype == "float32")
      add(weight.name, weight.shape, as_float64<float>(contents(archive, weight)));
    else if (weight.dtype == "float16")
      add(weight.name, weight.shape, of_float16(contents(archive, weight)));
  }
}

void Weights::add(const std::string &name, std::vector<std::int64_t> shape, std::vector<double> values)
{
  values_[name] = {std::move(shape), std::move(values)};
}

std::int64_t Weights::extent(const std::string &name, std::size_t axis) const
{
  const auto found = values_.find(name);
  return found != values_.end() && axis < found->second.shape.size() ? found->second.shape[axis] : 0;
}

const std::vector<double> &Weights::get(const std::string &name, std::initializer_list<std::int64_t> shape) const
{
  const auto found = values_.find(name);
  if (found == values_.end())
    throw Error("The file has no weights called " + name + ", which its architecture asks for. Export the model again.");
  const Tensor &tensor = found->second;
  std::size_t count = 1;
  for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
  if (tensor.shape.size() != shape.size() || !std::equal(shape.begin(), shape.end(), tensor.shape.begin()) ||
      tensor.values.size() != count)
    throw Error("The weights " + name + " shall have shape " + text({shape.begin(), shape.size()}) +
                " by the file's transip.json; they have " + text(tensor.shape) + ". Export the model again.");
  for (const double value : tensor.values)
    if (!std::isfinite(value)) throw Error("The weights " + name + " hold NaN or infinity. Export the model again.");
  return tensor.values;
}

}  // namespace transip
