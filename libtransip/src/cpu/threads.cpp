#include "threads.h"

#include <chrono>
#include <csignal>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace transip::native {

namespace {

/// How long a thread that waits looks again and again: a little more than a part of a small evaluation takes, so that threads
/// meet awake where their cores are their own. And how long it then looks while it lets others have its core, before it
/// sleeps: what engines do between the evaluations of two steps of some hundred atoms is shorter, and to wake a thread takes
/// a twentieth of such a step.
constexpr std::chrono::microseconds patience{20}, politeness{250};

constexpr std::uint32_t number_mask = (std::uint32_t{1} << 28) - 1;

inline void relax()
{
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Wait, spinning, then giving way, then asleep, for a value that is no more `old`.
std::uint32_t wait_for_change(const std::atomic<std::uint32_t> &value, std::uint32_t old)
{
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 16; i++) {
      const std::uint32_t now = value.load(std::memory_order_acquire);
      if (now != old) return now;
      relax();
    }
    if (std::chrono::steady_clock::now() - start > patience) std::this_thread::yield();
  } while (std::chrono::steady_clock::now() - start < politeness);
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

/// Signals are blocked while this lives, for threads that are made meanwhile to inherit: signals are the host's.
class WithoutSignals {
 public:
  WithoutSignals()
  {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~WithoutSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  WithoutSignals(const WithoutSignals &) = delete;
  WithoutSignals &operator=(const WithoutSignals &) = delete;

 private:
  sigset_t before_;
};

}  // namespace

Threads::Threads(int count) : process_(getpid()), ranges_(static_cast<std::size_t>(count))
{
  const WithoutSignals quiet;
  workers_.reserve(ranges_.size() - 1);
  for (std::size_t place = 1; place < ranges_.size(); place++) {
    try {
      workers_.emplace_back([this, place] { work(place); });
    } catch (const std::system_error &) {
      // The ranges of those that are missing are done by the others.
      return;
    }
  }
}

Threads::~Threads()
{
  if (orphaned()) {
    // A thread object that is destroyed must be joined, and there is no thread to join.
    static_cast<void>(new std::vector<std::thread>(std::move(workers_)));
    return;
  }
  stopping_.store(true, std::memory_order_relaxed);
  number_.fetch_add(1, std::memory_order_release);
  number_.notify_all();
  for (std::thread &worker : workers_) worker.join();
}

bool Threads::orphaned() const
{
  return getpid() != process_;
}

bool Threads::take(std::size_t range, std::uint32_t number, std::int64_t &part)
{
  constexpr std::uint64_t mask = (std::uint64_t{1} << part_bits) - 1;
  std::atomic<std::uint64_t> &ticket = ranges_[range].ticket;
  std::uint64_t seen = ticket.load(std::memory_order_acquire);
  for (;;) {
    const std::uint64_t next = (seen >> part_bits) & mask;
    if (seen >> (2 * part_bits) != number || next >= (seen & mask)) return false;
    if (ticket.compare_exchange_weak(seen, seen + mask + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      part = static_cast<std::int64_t>(next);
      return true;
    }
  }
}

void Threads::take_all(std::size_t place, std::uint32_t number)
{
  std::int64_t part;
  for (std::size_t turn = 0; turn < ranges_.size(); turn++)
    while (take((place + turn) % ranges_.size(), number, part)) {
      // Who holds a part may look at the task: its caller waits until the part is done.
      const std::uint32_t parts = parts_;
      task_(context_, part, static_cast<int>(place));
      if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == parts) done_.notify_one();
    }
}

void Threads::work(std::size_t place)
{
  std::uint32_t seen = 0;
  for (;;) {
    seen = wait_for_change(number_, seen);
    if (stopping_.load(std::memory_order_relaxed)) return;
    take_all(place, seen & number_mask);
  }
}

void Threads::run(std::int64_t parts, Task task, void *context)
{
  task_ = task;
  context_ = context;
  parts_ = static_cast<std::uint32_t>(parts);
  done_.store(0, std::memory_order_relaxed);
  const std::uint32_t next = number_.load(std::memory_order_relaxed) + 1, number = next & number_mask;
  const auto ranges = static_cast<std::int64_t>(ranges_.size());
  for (std::int64_t range = 0; range < ranges; range++) {
    const auto first = static_cast<std::uint64_t>(parts * range / ranges);
    const auto end = static_cast<std::uint64_t>(parts * (range + 1) / ranges);
    ranges_[static_cast<std::size_t>(range)].ticket.store(
        (std::uint64_t{number} << (2 * part_bits)) | (first << part_bits) | end, std::memory_order_release);
  }
  number_.store(next, std::memory_order_release);
  number_.notify_all();
  take_all(0, number);
  for (std::uint32_t done = done_.load(std::memory_order_acquire); done != parts_;) done = wait_for_change(done_, done);
}

}  // namespace transip::native
