// Memory of the kernels.
#pragma once

#include <cstdint>

namespace transip::native {

/// Memory that grows, and is given back with its owner. Aligned to 64 bytes, 64 bytes longer than asked.
class Store {
 public:
  Store() = default;
  ~Store();
  Store(const Store &) = delete;
  Store &operator=(const Store &) = delete;
  /// At least so many bytes; what was there before is lost when it grows. Throws std::bad_alloc.
  void *reserve(std::int64_t bytes);
  std::int64_t bytes() const { return bytes_; }

 private:
  void *place_ = nullptr;
  std::int64_t bytes_ = 0;
};

/// What evaluations work in. Each lays it out anew, so that models which are evaluated in turn may share it: what one has
/// brought into the near caches the next finds there.
struct Memory {
  /// What the lists in it were made from, and for.
  struct Lists {
    std::uint64_t geometry;
    const double *positions;
    const std::int64_t *first, *row;
    std::int64_t tokens, rows, parts;
    double cutoff;  ///< Angstrom
    int layers, lanes, bytes_of_number, threads;
    bool gradient;
  };

  std::int64_t bytes() const;
  /// Whether the lists in it were made like these.
  bool holds(const Lists &wanted) const;

  Store state, lists, edges, scratch;
  Lists found{};  ///< geometry 0: there are none to be taken
};

namespace {

/// Hands out parts of a store.
class Parts {
 public:
  /// Places at `start`; null: only counts what is needed.
  explicit Parts(char *start) : start_(start) {}
  template <typename T> void place(T *&array, std::int64_t count)
  {
    array = start_ ? reinterpret_cast<T *>(start_ + used_) : nullptr;
    // Whole lines, and one more: kernels read a vector where one number of it is theirs.
    used_ += (count * std::int64_t(sizeof(T)) + 191) / 64 * 64;
  }
  std::int64_t used() const { return used_; }

 private:
  char *start_;
  std::int64_t used_ = 0;
};

/// Lay out arrays in a store: `lay(parts)` names them, and is called twice.
template <typename Lay> inline void place_in(Store &store, Lay lay)
{
  Parts count(nullptr);
  lay(count);
  Parts placed(static_cast<char *>(store.reserve(count.used())));
  lay(placed);
}

}  // namespace
}  // namespace transip::native
