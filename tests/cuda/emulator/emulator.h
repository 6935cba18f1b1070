// Runs CUDA kernels on the CPU, thread by thread, to see whether they are right: every thread of a block is a fiber with
// a stack of its own, barriers and warp shuffles are real, the order of threads and of blocks is drawn by a seed.
//
// Built with -fsanitize=thread (the kernels' file alone), races between threads are found, those between blocks too:
// blocks of a launch are not ordered by one another. Registers and alignment of vector loads (UBSan sees that) are not
// modelled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>

namespace emulator {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

/// A kernel that no GPU could finish: threads that wait for others which never come, or too much shared memory.
class BadKernel : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Run `body` once for every thread of grid.x * grid.y blocks of `threads` threads.
///
/// seed: draws the order of blocks, and that of the threads of each. Throws BadKernel: some threads of a block or of a
/// warp wait at a barrier that the others do not reach. That one has left already counts as not reaching it, which is
/// stricter than CUDA; also if a block asks for more than 48 kB of shared memory.
void run(Index grid, unsigned threads, unsigned seed, const std::function<void()> &body);
/// From now on no thread waits in sync_block: for a test of what finds the races.
void plant_missing_barriers();

// What a kernel sees.

Index thread();
Index block();
Index block_size();
Index grid_size();
void sync_block();
void sync_warp();
int lane();
/// End the launch with a BadKernel that says this.
[[noreturn]] void fail(const std::string &problem);
/// Bits that the lane `from` of the caller's warp gave.
std::uint64_t exchange(std::uint64_t bits, int from);
/// What all lanes of the caller's warp gave, `bytes` of each, 64 at most, lane by lane; it is there until the next but
/// one exchange.
const std::byte *gather(const void *from, std::size_t bytes);
/// Memory of the caller's block, one piece for each key; filled with bits that are not a number.
void *shared(const void *key, std::size_t bytes);

template <typename T> T shuffle(T value, int from)
{
  static_assert(sizeof value <= sizeof(std::uint64_t));
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(bits, from);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace emulator
