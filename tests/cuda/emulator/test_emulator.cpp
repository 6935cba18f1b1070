// The emulator itself: it finds a barrier that is missing and one that not all reach, and its seed shuffles.
//
// With an argument the program runs one kernel only, for ThreadSanitizer to judge: `threads` and `blocks` have a race
// between these, `none` has none.

#include "cuda_on_cpu.h"

#include <iostream>
#include <set>
#include <string>
#include <vector>

namespace {

int failures = 0;

void check(bool good, const std::string &what)
{
  if (good) return;
  failures++;
  std::cout << "FAILED: " << what << '\n';
}

/// Sum of a block's 64 numbers; only with the barrier is it right in any order of threads.
void sum_block(const int *from, int *to, bool with_barrier)
{
  TRANSIP_SHARED(int, part, 64);
  part[threadIdx.x] = from[threadIdx.x];
  if (with_barrier) __syncthreads();
  if (threadIdx.x != 0) return;
  int total = 0;
  for (int i = 0; i < 64; i++) total += part[i];
  *to = total;
}

void test_missing_barrier()
{
  std::vector<int> from(64, 1);
  bool always = true, sometimes_wrong = false;
  for (unsigned seed = 1; seed <= 8; seed++) {
    int sum = 0;
    emulator::run({1, 1, 1}, 64, seed, [&] { sum_block(from.data(), &sum, true); });
    always = always && sum == 64;
    emulator::run({1, 1, 1}, 64, seed, [&] { sum_block(from.data(), &sum, false); });
    sometimes_wrong = sometimes_wrong || sum != 64;
  }
  check(always, "a sum with its barrier is right for every seed");
  check(sometimes_wrong, "a sum without its barrier is wrong for some seed");
}

void expect_bad(const std::function<void()> &body, unsigned threads, const std::string &words)
{
  try {
    emulator::run({1, 1, 1}, threads, 1, body);
  } catch (const emulator::BadKernel &problem) {
    check(std::string(problem.what()).find(words) != std::string::npos, std::string("message: ") + problem.what());
    return;
  }
  check(false, "no error that says: " + words);
}

void test_deadlocks()
{
  expect_bad([] { if (threadIdx.x != 7) __syncthreads(); }, 64, "(63 of 64) wait at a barrier");
  expect_bad([] { if (threadIdx.x < 3) __syncwarp(); }, 32, "threads 0 1 2 (3 of 32) wait");
  expect_bad([] { if (threadIdx.x % 2) __syncthreads(); else __syncwarp(); }, 64, "(64 of 64) wait at a barrier");
  expect_bad([] {
    TRANSIP_SHARED(double, much, 7000);
    much[threadIdx.x] = 0.0;
  }, 32, "56000 bytes of shared memory");
  // What went wrong before must not disturb what comes after.
  int sum = 0;
  std::vector<int> from(64, 2);
  emulator::run({1, 1, 1}, 64, 1, [&] { sum_block(from.data(), &sum, true); });
  check(sum == 128, "a launch after one that failed");
}

void test_orders()
{
  std::set<std::vector<unsigned>> thread_orders, block_orders;
  for (unsigned seed = 1; seed <= 5; seed++)
    for (int again = 0; again < 2; again++) {
      std::vector<unsigned> threads, blocks;
      emulator::run({1, 1, 1}, 32, seed, [&] { threads.push_back(threadIdx.x); });
      emulator::run({4, 8, 1}, 1, seed, [&] { blocks.push_back(blockIdx.x + 4 * blockIdx.y); });
      check(std::set<unsigned>(threads.begin(), threads.end()).size() == 32, "every thread runs once");
      check(std::set<unsigned>(blocks.begin(), blocks.end()).size() == 32, "every block runs once");
      thread_orders.insert(threads);
      block_orders.insert(blocks);
    }
  check(thread_orders.size() == 5, "an order of threads for each seed, the same each time");
  check(block_orders.size() == 5, "an order of blocks for each seed, the same each time");
}

void test_shuffles()
{
  std::vector<int> sums(64), from(64), up(64);
  emulator::run({1, 1, 1}, 64, 3, [&] {
    const int me = static_cast<int>(threadIdx.x);
    int sum = me;
    for (int bits = 16; bits; bits /= 2) sum += __shfl_xor_sync(~0u, sum, bits);
    sums[me] = sum;
    from[me] = __shfl_sync(~0u, me, 5);
    up[me] = __shfl_up_sync(~0u, me, 1);
  });
  for (int i = 0; i < 64; i++) {
    check(sums[i] == (i < 32 ? 496 : 1520), "sum of a warp");
    check(from[i] == (i < 32 ? 5 : 37), "value of lane 5");
    check(up[i] == (i % 32 ? i - 1 : i), "value of the lane before");
  }
}

/// Two blocks add to one place.
void count_blocks(int *place)
{
  if (threadIdx.x == 0) *place += 1;
}

void run_for_sanitizer(const std::string &what)
{
  std::vector<int> from(64, 1);
  int result = 0;
  if (what == "blocks")
    emulator::run({2, 1, 1}, 32, 1, [&] { count_blocks(&result); });
  else
    emulator::run({1, 1, 1}, 64, 1, [&] { sum_block(from.data(), &result, what == "none"); });
}

}  // namespace

int main(int count, char **arguments)
{
  if (count > 1) {
    run_for_sanitizer(arguments[1]);
    return 0;
  }
  test_missing_barrier();
  test_deadlocks();
  test_orders();
  test_shuffles();
  std::cout << (failures ? "FAILED" : "passed") << '\n';
  return failures ? 1 : 0;
}
