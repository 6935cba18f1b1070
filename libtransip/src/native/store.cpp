#include "store.h"

#include <cstdlib>
#include <new>

namespace transip::native {

namespace {
constexpr std::int64_t line = 64;
}

Store::~Store()
{
  std::free(place_);
}

void *Store::reserve(std::int64_t bytes)
{
  if (bytes <= bytes_) return place_;
  // A quarter more than asked: the number of neighbours goes up and down from step to step.
  const std::int64_t wanted = (bytes + bytes / 4 + 2 * line - 1) / line * line;
  std::free(place_);
  place_ = std::aligned_alloc(line, static_cast<std::size_t>(wanted));
  bytes_ = place_ ? wanted - line : 0;
  if (!place_) throw std::bad_alloc();
  return place_;
}

}  // namespace transip::native
