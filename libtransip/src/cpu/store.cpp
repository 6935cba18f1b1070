#include "store.h"

#include <cstdlib>
#include <new>
#include <tuple>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace transip::native {

namespace {

constexpr std::int64_t line = 64;
/// Large pages of x86-64 and most others.
constexpr std::int64_t large_page = std::int64_t{1} << 21;

}  // namespace

Store::~Store()
{
  std::free(place_);
}

void *Store::reserve(std::int64_t bytes)
{
  if (bytes <= bytes_) return place_;
  // A quarter more than asked: the number of neighbours goes up and down from step to step.
  const std::int64_t wanted = bytes + bytes / 4 + line;
  // Rows of neighbours lie far apart: with small pages looking up where takes longer than reading them.
  const std::int64_t unit = wanted >= large_page ? large_page : line, whole = (wanted + unit - 1) / unit * unit;
  std::free(place_);
  place_ = std::aligned_alloc(static_cast<std::size_t>(unit), static_cast<std::size_t>(whole));
  bytes_ = place_ ? whole - line : 0;
  if (!place_) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  if (unit == large_page) static_cast<void>(madvise(place_, static_cast<std::size_t>(whole), MADV_HUGEPAGE));
#endif
  return place_;
}

std::int64_t Memory::bytes() const
{
  return state.bytes() + lists.bytes() + edges.bytes() + scratch.bytes();
}

bool Memory::holds(const Lists &wanted) const
{
  const auto all = [](const Lists &of) {
    return std::tie(of.geometry, of.positions, of.first, of.row, of.tokens, of.rows, of.parts, of.cutoff, of.layers, of.lanes,
                    of.bytes_of_number, of.threads, of.gradient);
  };
  return found.geometry != 0 && all(found) == all(wanted);
}

}  // namespace transip::native
