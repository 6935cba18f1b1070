// Threads that share the work of one evaluation. Internal to libtransip.
#pragma once

#include "network.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace transip::native {

/// Caller's thread and workers that stay, and take the parts of a task as they come.
///
/// Every thread has a range of parts of its own, so that it meets the data of the last task again, and helps the others
/// when it is done. A task ends when its parts are done, not when all threads have been there: a worker whose core is
/// busy with something else holds nobody up. Idle workers spin for some microseconds, then let others have
/// their core, then sleep.
class Threads final : public Workers {
 public:
  /// `count` threads, the caller's among them; fewer, if the system gives no more.
  explicit Threads(int count);
  /// Ends the workers. In a forked child, which has none of them, lets go of what belongs to them.
  ~Threads() override;

  int count() const override { return static_cast<int>(workers_.size()) + 1; }
  std::int64_t most_parts() const override { return (std::int64_t{1} << part_bits) - 1; }
  void run(std::int64_t parts, Task task, void *context) override;

  /// Whether this is a child forked from the process that made the workers, which do not exist here.
  bool orphaned() const;

 private:
  static constexpr int part_bits = 18;

  /// Task's number (28 bits), next part and end of a range: in one word, so that a late worker cannot take a part of
  /// one task for that of another.
  struct alignas(64) Range {
    std::atomic<std::uint64_t> ticket{0};
  };

  void work(std::size_t place);
  bool take(std::size_t range, std::uint32_t number, std::int64_t &part);
  void take_all(std::size_t place, std::uint32_t number);

  long process_;
  std::vector<Range> ranges_;
  Task task_ = nullptr;
  void *context_ = nullptr;
  std::uint32_t parts_ = 0;
  alignas(64) std::atomic<std::uint32_t> number_{0};
  alignas(64) std::atomic<std::uint32_t> done_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

}  // namespace transip::native
