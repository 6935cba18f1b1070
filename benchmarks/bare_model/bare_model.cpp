// libtransip's model call and nothing else, for ctypes: what a step must cost at least.

#include "transip/error.h"
#include "transip/model.h"
#include "transip/neighbours.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace {

/// CPU time of this process in seconds: what other programs on the machine do does not count.
double now()
{
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

struct Bare {
  transip::Model model;
  std::optional<transip::Neighbours> neighbours;
  std::vector<std::int64_t> species;
  transip::Result result;
};

}  // namespace

extern "C" {

/// Load a model file for `count` atoms; skin in Angstrom. Null, with the reason on standard error, if that fails.
__attribute__((visibility("default"))) void *bare_open(const char *file, const std::int64_t *species, int count,
                                                       double skin)
{
  try {
    transip::set_threads(1);
    auto bare = std::make_unique<Bare>(Bare{transip::Model(file, "cpu"), {}, {species, species + count}, {}});
    if (const auto cutoff = bare->model.metadata().cutoff) bare->neighbours.emplace(*cutoff, skin);
    return bare.release();
  } catch (const transip::Error &problem) {
    std::fprintf(stderr, "%s\n", problem.what());
    return nullptr;
  }
}

/// Evaluate once: positions [N*3] and box [9] in Angstrom, periodic if the model has a cutoff. Returns the seconds of
/// CPU time of the model call, without the search for neighbours, and writes the energy in eV; -1 if it fails.
__attribute__((visibility("default"))) double bare_call(void *handle, const double *positions, const double *box,
                                                        double *energy)
{
  Bare &bare = *static_cast<Bare *>(handle);
  try {
    transip::Request request;
    request.species = bare.species;
    request.positions = {positions, 3 * bare.species.size()};
    if (bare.neighbours) {
      std::array<double, 9> vectors{};
      for (std::size_t d = 0; d < vectors.size(); d++) vectors[d] = box[d];
      bare.neighbours->find(request.positions, vectors, true);
      request.positions = bare.neighbours->positions;
      request.owner = bare.neighbours->owner;
      request.neighbours = bare.neighbours->neighbours;
    }
    const double start = now();
    bare.model.evaluate(request, bare.result);
    const double seconds = now() - start;
    *energy = bare.result.energy;
    return seconds;
  } catch (const transip::Error &problem) {
    std::fprintf(stderr, "%s\n", problem.what());
    return -1;
  }
}

}  // extern "C"
