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
constexpr std::size_t most_sanitizers = 4096;  // ThreadSanitizer has room for 8,128 at a time
constexpr std::size_t most_gathered = 64;
constexpr int warp_width = 32, most_warps = 32;

struct Barrier {
  unsigned arrived = 0, generation = 0;
};

struct Fiber {
  ucontext_t context;  // how it starts
  void *place[5];      // where it goes on; far quicker, because signals are left alone
  std::unique_ptr<char[]> stack;
  void *sanitizer = nullptr;
  unsigned exchanges = 0;
  bool started = false, waiting = false, done = false;
  const Barrier *at = nullptr;
  unsigned generation = 0;  // of the barrier that it waits for
};

/// Barriers, shared memory and what warps exchange, of one block. Each block has its own: what two share would order them.
struct BlockState {
  Barrier of_block, of_warp[most_warps];
  alignas(64) char memory[most_shared];
  alignas(64) std::byte slots[most_warps][2][warp_width * most_gathered];
  std::size_t used = 0;
  std::map<const void *, void *> pieces;
};

/// Everything about the launch at hand; the emulator runs on one thread.
struct Launch {
  const std::function<void()> *body = nullptr;
  std::vector<Fiber> fibers;
  std::vector<unsigned> order;
  unsigned now = 0, place = 0, live = 0;
  bool stuck = false;
  std::string problem;
  Index grid, block, size;
  BlockState *state = nullptr;
  std::vector<std::unique_ptr<BlockState>> states;
  ucontext_t host;
  void *host_sanitizer = nullptr;
  std::vector<void *> sanitizers;
  std::vector<std::unique_ptr<char[]>> old_stacks;
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

[[noreturn]] void leave_for_host()
{
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(launch.host_sanitizer, without_order);
  setcontext(&launch.host);
  std::abort();  // it does not come back
}

/// In a function of its own, as the compiler wants it.
__attribute__((noinline, noreturn)) void resume(Fiber &fiber)
{
  __builtin_longjmp(fiber.place, 1);
}

bool can_run(const Fiber &fiber)
{
  return !fiber.done && !(fiber.waiting && fiber.at->generation == fiber.generation);
}

/// Go on with another thread, until someone goes on with this one.
__attribute__((noinline)) void switch_to(Fiber &from, Fiber &to)
{
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(to.sanitizer, without_order);
  if (__builtin_setjmp(from.place)) return;
  if (!to.started) setcontext(&to.context);
  resume(to);
}

/// Go on with the next thread that can; if there is none, with the host.
void next()
{
  const unsigned from = launch.now;
  for (std::size_t tried = 0; tried < launch.order.size(); tried++) {
    launch.place = (launch.place + 1) % launch.order.size();
    const unsigned to = launch.order[launch.place];
    if (!can_run(launch.fibers[to])) continue;
    launch.now = to;
    if (to == from) return;
    switch_to(launch.fibers[from], launch.fibers[to]);
    return;
  }
  launch.stuck = launch.live > 0;
  leave_for_host();
}

void wait(Barrier &barrier, unsigned count)
{
  release(&barrier);
  if (++barrier.arrived == count) {
    barrier.arrived = 0;
    barrier.generation++;
  } else {
    Fiber &fiber = launch.fibers[launch.now];
    fiber.waiting = true;
    fiber.at = &barrier;
    fiber.generation = barrier.generation;
    next();
    fiber.waiting = false;
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

void enter()
{
  launch.fibers[launch.now].started = true;
  acquire(&launch.started);
  (*launch.body)();
  release(&launch.ended);
  launch.fibers[launch.now].done = true;
  launch.live--;
  next();
}

std::string stuck_message()
{
  constexpr std::size_t most_named = 4;
  std::ostringstream text;
  text << "Block (" << launch.block.x << ", " << launch.block.y << "): threads";
  std::size_t waiting = 0;
  for (std::size_t i = 0; i < launch.fibers.size(); i++)
    if (!launch.fibers[i].done && waiting++ < most_named) text << ' ' << i;
  text << (waiting > most_named ? " ..." : "") << " (" << waiting << " of " << launch.fibers.size()
       << ") wait at a barrier that the others do not reach.";
  return text.str();
}

/// Not after each block: ThreadSanitizer takes a new fiber that gets the number of one that has gone for the same.
void forget_sanitizers()
{
  for (void *const fiber : launch.sanitizers) __tsan_destroy_fiber(fiber);
  launch.sanitizers.clear();
  launch.old_stacks.clear();
}

void run_block(std::mt19937 &random)
{
  launch.live = launch.size.x;
  launch.stuck = false;
  // ThreadSanitizer wants new memory for each block until all are done; otherwise one piece serves all.
  if (!__tsan_create_fiber) launch.states.clear();
  launch.states.push_back(std::make_unique_for_overwrite<BlockState>());
  launch.state = launch.states.back().get();
  std::memset(launch.state->memory, 0xff, most_shared);
  for (unsigned t = 0; t < launch.size.x; t++) {
    Fiber &fiber = launch.fibers[t];
    // To ThreadSanitizer a stack that two blocks have in turn would be memory that they share.
    if (fiber.stack && __tsan_create_fiber) launch.old_stacks.push_back(std::move(fiber.stack));
    if (!fiber.stack) fiber.stack = std::make_unique_for_overwrite<char[]>(stack_bytes);
    fiber.exchanges = 0;
    fiber.started = fiber.waiting = fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = stack_bytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
    if (__tsan_create_fiber) launch.sanitizers.push_back(fiber.sanitizer = __tsan_create_fiber(0));
    launch.order[t] = t;
  }
  for (unsigned i = launch.size.x; i > 1; i--) std::swap(launch.order[i - 1], launch.order[random() % i]);
  launch.place = 0;
  launch.now = launch.order[0];
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(launch.fibers[launch.now].sanitizer, without_order);
  swapcontext(&launch.host, &launch.fibers[launch.now].context);
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
  launch.fibers.resize(threads);
  launch.order.resize(threads);
  if (__tsan_get_current_fiber) launch.host_sanitizer = __tsan_get_current_fiber();
  std::mt19937 random(seed);
  std::vector<unsigned> blocks(std::size_t{grid.x} * grid.y);
  for (std::size_t i = 0; i < blocks.size(); i++) blocks[i] = static_cast<unsigned>(i);
  for (std::size_t i = blocks.size(); i > 1; i--) std::swap(blocks[i - 1], blocks[random() % i]);
  release(&launch.started);
  launch.problem.clear();
  for (const unsigned number : blocks) {
    launch.block = {number % grid.x, number / grid.x, 0};
    run_block(random);
    if (launch.stuck) launch.problem = stuck_message();
    if (!launch.problem.empty()) break;
    if (launch.sanitizers.size() > most_sanitizers) forget_sanitizers();
  }
  acquire(&launch.ended);
  launch.states.clear();
  forget_sanitizers();
  if (!launch.problem.empty()) throw BadKernel(launch.problem);
}

}  // namespace emulator
