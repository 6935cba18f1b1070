#include "emulator.h"

#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <ucontext.h>
#include <utility>
#include <vector>

extern "C" {  // of ThreadSanitizer, where it is linked in
void *__tsan_create_fiber(unsigned) __attribute__((weak));
void *__tsan_get_current_fiber() __attribute__((weak));
void __tsan_destroy_fiber(void *) __attribute__((weak));
void __tsan_switch_to_fiber(void *, unsigned) __attribute__((weak));
void __tsan_acquire(void *) __attribute__((weak));
void __tsan_release(void *) __attribute__((weak));
}

namespace emulator {

namespace {

constexpr unsigned without_order = 1;  // ThreadSanitizer: changing fibers orders nothing
constexpr std::size_t stack_bytes = 64 << 10, most_shared = 48 << 10;
constexpr std::size_t most_sanitized = 2048;  // ThreadSanitizer has room for 8,128 at a time
constexpr std::size_t most_gathered = 64;
constexpr int warp_width = 32, most_warps = 32;

/// Threads, in the order in which they came; each is in one list at most, and no memory is asked for: ThreadSanitizer
/// would take it for the threads' own.
struct Queue {
  unsigned first = 0, last = 0, count = 0;
};

/// A stack, and the fiber that ThreadSanitizer takes for the one who runs on it.
struct Stack {
  std::unique_ptr<char[]> memory = std::make_unique_for_overwrite<char[]>(stack_bytes);
  void *sanitizer = __tsan_create_fiber ? __tsan_create_fiber(0) : nullptr;
};

struct Fiber {
  ucontext_t context;  // how it starts
  void *place[5];      // where it goes on; far quicker, because signals are left alone
  void *sanitizer = nullptr;
  unsigned exchanges = 0;
  bool started = false, done = true;
  unsigned behind = 0;  // the next thread of its queue
};

/// Barriers, shared memory and what warps exchange, of one block. Each block has its own: what two share would order them.
struct BlockState {
  Queue of_block, of_warp[most_warps];  // those who wait at a barrier
  alignas(64) char memory[most_shared];
  alignas(64) std::byte slots[most_warps][2][warp_width * most_gathered];
  std::size_t used = most_shared;
  std::map<const void *, void *> pieces;

  /// As a block finds it: nothing waits, and what is in shared memory is no number.
  void clear()
  {
    of_block = {};
    for (Queue &queue : of_warp) queue = {};
    std::memset(memory, 0xff, used);
    used = 0;
    pieces.clear();
  }
};

/// Everything about the launch at hand; the emulator runs on one thread.
struct Launch {
  const std::function<void()> *body = nullptr;
  std::vector<Fiber> fibers;
  std::vector<unsigned> order;  // in which threads start
  Queue ready;
  unsigned now = 0, live = 0;
  bool stuck = false;
  std::string problem;
  Index grid, block, size;
  BlockState *state = nullptr;
  std::vector<std::unique_ptr<BlockState>> states;
  void *host[5];  // where the host goes on
  void *host_sanitizer = nullptr;
  std::vector<Stack> stacks;
  std::size_t stacks_taken = 0;
  char started = 0, ended = 0;  // places that stand for the order of launches
};
Launch launch;
bool barriers_are_missing = false;

void acquire(void *place)
{
  if (__tsan_acquire) __tsan_acquire(place);
}

void release(void *place)
{
  if (__tsan_release) __tsan_release(place);
}

/// In a function of its own, as the compiler wants it.
__attribute__((noinline, noreturn)) void resume(void **place)
{
  __builtin_longjmp(place, 1);
}

[[noreturn]] void leave_for_host()
{
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(launch.host_sanitizer, without_order);
  resume(launch.host);
}

/// Go on with a thread, and later at the place that is kept here.
__attribute__((noinline)) void switch_to(void **place, Fiber &to)
{
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(to.sanitizer, without_order);
  if (__builtin_setjmp(place)) return;
  if (!to.started) setcontext(&to.context);
  resume(to.place);
}

/// Go on with the host, and later, in another block, at the place that is kept here.
__attribute__((noinline)) void rest(void **place)
{
  if (__builtin_setjmp(place)) return;
  leave_for_host();
}

void append(Queue &queue, unsigned thread)
{
  (queue.count++ ? launch.fibers[queue.last].behind : queue.first) = thread;
  queue.last = thread;
}

unsigned take_first(Queue &queue)
{
  queue.count--;
  return std::exchange(queue.first, launch.fibers[queue.first].behind);
}

/// Go on with the next thread that can; if there is none, with the host.
void next()
{
  if (launch.ready.count == 0) {
    launch.stuck = launch.live > 0;
    return rest(launch.fibers[launch.now].place);
  }
  const unsigned from = std::exchange(launch.now, take_first(launch.ready));
  switch_to(launch.fibers[from].place, launch.fibers[launch.now]);
}

void wait(Queue &barrier, unsigned count)
{
  release(&barrier);
  if (barrier.count + 1 == count) {
    while (barrier.count) append(launch.ready, take_first(barrier));
  } else {
    append(barrier, launch.now);
    next();
  }
  acquire(&barrier);
}

unsigned warp_of(unsigned thread)
{
  return thread / warp_width;
}

unsigned lanes_of(unsigned warp)
{
  const unsigned left = launch.size.x - warp_width * warp;
  return left < warp_width ? left : warp_width;
}

/// Threads of one number, one after the other: the next block's goes on where this one has ended.
void enter()
{
  while (true) {
    launch.fibers[launch.now].started = true;
    acquire(&launch.started);
    (*launch.body)();
    release(&launch.ended);
    launch.fibers[launch.now].done = true;
    launch.live--;
    next();
  }
}

std::string stuck_message()
{
  constexpr std::size_t most_named = 4;
  std::ostringstream text;
  text << "Block (" << launch.block.x << ", " << launch.block.y << "): threads";
  std::size_t waiting = 0;
  for (std::size_t i = 0; i < launch.size.x; i++)
    if (!launch.fibers[i].done && waiting++ < most_named) text << ' ' << i;
  text << (waiting > most_named ? " ..." : "") << " (" << waiting << " of " << launch.size.x
       << ") wait at a barrier that the others do not reach.";
  return text.str();
}

/// Not after each block: ThreadSanitizer takes a new fiber that gets the number of one that has gone for the same.
void forget_stacks()
{
  for (const Stack &stack : launch.stacks)
    if (stack.sanitizer) __tsan_destroy_fiber(stack.sanitizer);
  launch.stacks.clear();
  launch.stacks_taken = 0;
}

/// A stack that no thread of this launch had: to ThreadSanitizer it would be memory that two threads share. Launches come
/// one after another, and without ThreadSanitizer so do blocks: what came before has left its stacks.
const Stack &take_stack()
{
  if (launch.stacks_taken == launch.stacks.size()) launch.stacks.emplace_back();
  return launch.stacks[launch.stacks_taken++];
}

void run_block(std::mt19937 &random)
{
  launch.live = launch.size.x;
  launch.stuck = false;
  // ThreadSanitizer wants new memory for each block until all are done; otherwise one piece serves all.
  if (!__tsan_create_fiber) launch.stacks_taken = 0;
  if (__tsan_create_fiber || launch.states.empty()) launch.states.push_back(std::make_unique_for_overwrite<BlockState>());
  launch.state = launch.states.back().get();
  launch.state->clear();
  release(&launch.started);
  for (unsigned t = 0; t < launch.size.x; t++) {
    Fiber &fiber = launch.fibers[t];
    const Stack &stack = take_stack();
    fiber.sanitizer = stack.sanitizer;
    fiber.exchanges = 0;
    // What has ended goes on in the same stack; what was left in the middle does not.
    if (__tsan_create_fiber || !fiber.started || !fiber.done) {
      fiber.started = false;
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = stack.memory.get();
      fiber.context.uc_stack.ss_size = stack_bytes;
      fiber.context.uc_link = nullptr;
      makecontext(&fiber.context, enter, 0);
    }
    fiber.done = false;
    launch.order[t] = t;
  }
  for (unsigned i = launch.size.x; i > 1; i--) std::swap(launch.order[i - 1], launch.order[random() % i]);
  launch.ready = {};
  for (const unsigned thread : launch.order) append(launch.ready, thread);
  launch.now = take_first(launch.ready);
  switch_to(launch.host, launch.fibers[launch.now]);
}

}  // namespace

Index thread()
{
  return {launch.now, 0, 0};
}

Index block()
{
  return launch.block;
}

Index block_size()
{
  return launch.size;
}

Index grid_size()
{
  return launch.grid;
}

int lane()
{
  return static_cast<int>(launch.now % warp_width);
}

void plant_missing_barriers()
{
  barriers_are_missing = true;
}

void sync_block()
{
  if (barriers_are_missing) return;
  wait(launch.state->of_block, launch.size.x);
}

void sync_warp()
{
  const unsigned warp = warp_of(launch.now);
  wait(launch.state->of_warp[warp], lanes_of(warp));
}

const std::byte *gather(const void *from, std::size_t bytes)
{
  // Two sets of slots in turn: nobody writes to one before all have read from it and written to the other.
  std::byte *const slots = launch.state->slots[warp_of(launch.now)][launch.fibers[launch.now].exchanges++ % 2];
  std::memcpy(slots + bytes * static_cast<unsigned>(lane()), from, bytes);
  sync_warp();
  return slots;
}

std::uint64_t exchange(std::uint64_t bits, int from)
{
  std::memcpy(&bits, gather(&bits, sizeof bits) + sizeof bits * static_cast<unsigned>(from), sizeof bits);
  return bits;
}

void fail(const std::string &problem)
{
  launch.problem = problem;
  leave_for_host();
}

void *shared(const void *key, std::size_t bytes)
{
  BlockState &state = *launch.state;
  const auto known = state.pieces.find(key);
  if (known != state.pieces.end()) return known->second;
  if (state.used + bytes > most_shared)
    fail("A block asks for " + std::to_string(state.used + bytes) + " bytes of shared memory; " +
         std::to_string(most_shared) + " are the most.");
  void *place = state.memory + state.used;
  state.used += (bytes + 15) / 16 * 16;
  state.pieces[key] = place;
  return place;
}

void run(Index grid, unsigned threads, unsigned seed, const std::function<void()> &body)
{
  if (threads == 0 || threads > warp_width * most_warps)
    throw BadKernel("A block has 1 to 1024 threads, not " + std::to_string(threads) + ".");
  launch.body = &body;
  launch.grid = grid;
  launch.size = {threads, 1, 1};
  if (launch.fibers.size() < threads) launch.fibers.resize(threads);
  launch.order.resize(threads);
  if (__tsan_get_current_fiber) launch.host_sanitizer = __tsan_get_current_fiber();
  std::mt19937 random(seed);
  std::vector<unsigned> blocks(std::size_t{grid.x} * grid.y);
  for (std::size_t i = 0; i < blocks.size(); i++) blocks[i] = static_cast<unsigned>(i);
  for (std::size_t i = blocks.size(); i > 1; i--) std::swap(blocks[i - 1], blocks[random() % i]);
  launch.problem.clear();
  for (const unsigned number : blocks) {
    launch.block = {number % grid.x, number / grid.x, 0};
    run_block(random);
    if (launch.stuck) launch.problem = stuck_message();
    if (!launch.problem.empty()) break;
    if (launch.stacks_taken > most_sanitized) forget_stacks();
  }
  acquire(&launch.ended);
  if (__tsan_create_fiber) launch.states.clear();
  launch.stacks_taken = 0;
  if (!launch.problem.empty()) throw BadKernel(launch.problem);
}

}  // namespace emulator
