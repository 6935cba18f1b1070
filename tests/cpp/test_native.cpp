// The native kernels without any engine. Usage: test_native [--short] MODEL...
// Each model is a TorchScript file of format 2, local or all-to-all, float64 or float32; "coordinates" in its name: it
// sees coordinates. --short does little work, for ThreadSanitizer. TRANSIP_INSTRUCTIONS chooses the kernels.

#include "checks.h"
#include "modelfile/archive.h"
#include "modelfile/weights.h"
#include "cpu/native_model.h"
#include "transip/error.h"
#include "transip/halo_exchange.h"
#include "transip/metadata.h"

#include <algorithm>
#include <array>
#include <barrier>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace {

using transip::Metadata;
using transip::NativeModel;

using checks::check, checks::check_error;

bool brief = false;

/// Largest difference of two lists, over the largest number of the second; 1 if they do not compare.
double difference(const std::vector<double> &got, const std::vector<double> &wanted)
{
  double most = 0.0, size = 1.0e-300;
  if (got.size() != wanted.size()) return 1.0;
  for (std::size_t i = 0; i < got.size(); i++) {
    const double here = std::abs(got[i] - wanted[i]);
    if (!(here <= 1.0e300)) return 1.0;
    most = std::max(most, here);
    size = std::max(size, std::abs(wanted[i]));
  }
  return most / size;
}

void check_close(const std::vector<double> &got, const std::vector<double> &wanted, double allowed,
                 const std::string &what)
{
  const double here = difference(got, wanted);
  check(here <= allowed, what + ": differ by " + std::to_string(here / allowed) + " of what is allowed");
}

/// Structure with its rows: what a request points at. Units: Angstrom.
struct Structure {
  std::vector<std::int64_t> species, owner, first, neighbours;
  std::vector<double> positions, shifts;  // [I*3]; positions of rows are those of their owners and shifts
  std::vector<std::uint8_t> owned;
  transip::HaloExchange *exchange = nullptr;

  std::size_t tokens() const { return species.size(); }

  transip::Request request() const
  {
    transip::Request request;
    request.species = species;
    request.positions = positions;
    request.owner = owner;
    request.owned = owned;
    request.first = first;
    request.neighbours = neighbours;
    request.exchange = exchange;
    return request;
  }

  void move(std::size_t token, std::size_t x, double by)
  {
    for (std::size_t row = 0; row < owner.size(); row++)
      if (owner[row] == static_cast<std::int64_t>(token)) positions[3 * row + x] += by;
  }

  void add_row(std::int64_t of, const std::array<double, 3> &shift)
  {
    owner.push_back(of);
    for (std::size_t x = 0; x < 3; x++) positions.push_back(positions[3 * static_cast<std::size_t>(of) + x] + shift[x]);
  }

  void set_neighbours(const std::vector<std::vector<std::int64_t>> &lists)
  {
    first.assign(1, 0);
    neighbours.clear();
    for (const auto &list : lists) {
      neighbours.insert(neighbours.end(), list.begin(), list.end());
      first.push_back(static_cast<std::int64_t>(neighbours.size()));
    }
  }
};

constexpr double spacing = 1.7;

/// Atoms on a jittered grid, nx x ny x nz.
Structure grid(const Metadata &metadata, int nx, int ny, int nz, unsigned seed)
{
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> jitter(-0.25, 0.25);
  Structure made;
  for (int i = 0; i < nx; i++)
    for (int j = 0; j < ny; j++)
      for (int k = 0; k < nz; k++) {
        made.owner.push_back(static_cast<std::int64_t>(made.species.size()));
        made.species.push_back(metadata.species[random() % metadata.species.size()]);
        for (const int n : {i, j, k}) made.positions.push_back(spacing * n + jitter(random));
      }
  return made;
}

/// Call with token, other token, shift and whether there is none, for every pair within `reach` in a periodic box.
template <typename Call> void for_pairs(const Structure &atoms, const std::array<double, 3> &box, double reach, Call call)
{
  const std::size_t count = atoms.tokens();
  for (std::size_t i = 0; i < count; i++)
    for (std::size_t j = 0; j < count; j++)
      for (int a = -1; a <= 1; a++)
        for (int b = -1; b <= 1; b++)
          for (int c = -1; c <= 1; c++) {
            const bool inside = a == 0 && b == 0 && c == 0;
            if (inside && i == j) continue;
            const std::array<double, 3> shift = {a * box[0], b * box[1], c * box[2]};
            double square = 0.0;
            for (std::size_t x = 0; x < 3; x++) {
              const double d = atoms.positions[3 * j + x] + shift[x] - atoms.positions[3 * i + x];
              square += d * d;
            }
            if (square < reach * reach) call(i, j, shift, inside);
          }
}

/// Periodic box with a row for each image that is seen, or with a row of its own for each edge. Candidates reach beyond
/// the cutoff, as with a skin.
Structure periodic(const Metadata &metadata, int n, bool row_for_edge = false)
{
  Structure made = grid(metadata, n, n, n, 7);
  const double length = spacing * n;
  const std::array<double, 3> box = {length, length, length};
  std::vector<std::vector<std::int64_t>> lists(made.tokens());
  const Structure atoms = made;
  for_pairs(atoms, box, *metadata.cutoff + 0.3, [&](std::size_t i, std::size_t j, const std::array<double, 3> &shift, bool inside) {
    std::int64_t row = inside && !row_for_edge ? static_cast<std::int64_t>(j) : -1;
    for (std::size_t known = atoms.tokens(); row < 0 && !row_for_edge && known < made.owner.size(); known++)
      if (made.owner[known] == static_cast<std::int64_t>(j) &&
          std::abs(made.positions[3 * known] - made.positions[3 * j] - shift[0]) < 1e-9 &&
          std::abs(made.positions[3 * known + 1] - made.positions[3 * j + 1] - shift[1]) < 1e-9 &&
          std::abs(made.positions[3 * known + 2] - made.positions[3 * j + 2] - shift[2]) < 1e-9)
        row = static_cast<std::int64_t>(known);
    if (row < 0) {
      row = static_cast<std::int64_t>(made.owner.size());
      made.add_row(static_cast<std::int64_t>(j), shift);
    }
    lists[i].push_back(row);
  });
  made.set_neighbours(lists);
  return made;
}

/// A piece of matter in vacuum: there are no images.
Structure cluster(const Metadata &metadata, int n)
{
  Structure made = grid(metadata, n, n, n, 11);
  if (!metadata.cutoff) return made;
  std::vector<std::vector<std::int64_t>> lists(made.tokens());
  const double far = 100.0 * spacing * n;
  for_pairs(made, {far, far, far}, *metadata.cutoff,
            [&](std::size_t i, std::size_t j, const std::array<double, 3> &, bool) {
              lists[i].push_back(static_cast<std::int64_t>(j));
            });
  made.set_neighbours(lists);
  return made;
}

/// A structure for a model: large enough to be shared by threads, or small.
Structure structure(const Metadata &metadata, bool large)
{
  if (metadata.cutoff) return periodic(metadata, large ? (brief ? 5 : 8) : 3);
  return large ? grid(metadata, 6, brief ? 4 : 6, brief ? 3 : 6, 3) : grid(metadata, 3, 2, 2, 3);
}

struct Answer {
  transip::Result result;
  std::vector<double> virials;
  bool operator==(const Answer &other) const
  {
    const auto same = [](const std::vector<double> &a, const std::vector<double> &b) {
      return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
    };
    return same(result.energies, other.result.energies) && same(result.forces, other.result.forces) &&
           same(virials, other.virials);
  }
};

Answer evaluate(NativeModel &model, const Structure &structure, bool virials = true, std::uint64_t geometry = 0)
{
  Answer answer;
  transip::Request request = structure.request();
  request.geometry = geometry;
  model.evaluate(request, structure.positions, answer.result, true, virials ? &answer.virials : nullptr);
  return answer;
}

double energy(NativeModel &model, const Structure &structure)
{
  transip::Result result;
  model.evaluate(structure.request(), structure.positions, result, false);
  double sum = 0.0;
  for (const double one : result.energies) sum += one;
  return sum;
}

struct File {
  std::string path;
  Metadata metadata;
  transip::Archive archive;

  explicit File(const std::string &from) : path(from), metadata(), archive(from)
  {
    const auto text = archive.contents(*archive.find("extra/transip.json"));
    metadata = transip::parse_metadata({reinterpret_cast<const char *>(text.data()), text.size()}, path);
  }
  std::unique_ptr<NativeModel> model(int threads = 1) const
  {
    auto made = NativeModel::make(transip::Weights(archive, metadata), metadata);
    if (!made) throw transip::Error("There are no kernels for " + path + ".");
    made->set_threads(threads);
    return made;
  }
  bool exact() const { return metadata.dtype == "float64"; }
  bool coordinates() const { return metadata.architecture->coordinates; }
};

void test_same_bits(const File &file)
{
  const bool virials = !file.coordinates();
  const auto one = file.model();
  const std::vector<Structure> all = {structure(file.metadata, true), structure(file.metadata, false),
                                      cluster(file.metadata, brief ? 5 : 6), cluster(file.metadata, 1), Structure{}};
  for (const Structure &atoms : all) {
    const Answer wanted = evaluate(*one, atoms, virials);
    check(std::all_of(wanted.result.forces.begin(), wanted.result.forces.end(), [](double f) { return std::abs(f) < 1e6; }),
          file.path + ": forces that are not finite");
    check(wanted.result.energies.size() == atoms.tokens(), file.path + ": energies");
    for (const int threads : {2, 3, 5}) {
      const auto model = file.model(threads);
      for (int repeat = 0; repeat < (brief ? 2 : 10); repeat++)
        check(evaluate(*model, atoms, virials) == wanted,
              file.path + ": other bits with " + std::to_string(threads) + " threads");
    }
    Answer without = evaluate(*one, atoms, false);
    without.virials = wanted.virials;
    check(without == wanted, file.path + ": virials change the rest");
  }
  const auto changing = file.model(3);
  const Answer wanted = evaluate(*one, all[0], virials);
  for (const int threads : {3, 1, 4, 2}) {
    changing->set_threads(threads);
    check(evaluate(*changing, all[0], virials) == wanted, file.path + ": other bits when the number of threads changes");
  }
  check_error([&] { changing->set_threads(0); }, "one thread or more; got 0", "no threads");
}

/// Models that work in one memory give what they give alone, whatever was evaluated in it before.
void test_shared_memory(const File &file)
{
  const bool virials = !file.coordinates();
  const auto alone = file.model();
  Structure atoms = structure(file.metadata, true);
  const Structure few = structure(file.metadata, false);
  for (const auto &[threads, of_second] : {std::pair(1, 1), std::pair(3, 3), std::pair(2, 1), std::pair(1, 2)}) {
    const auto first = file.model(threads), second = file.model(of_second);
    check(second->share_memory(*first), file.path + ": memory is shared");
    check(!second->share_memory(*first), file.path + ": memory is shared already");
    std::uint64_t geometries = 0;
    const auto by_both = [&](const Structure &of, const std::string &what) {
      const Answer wanted = evaluate(*alone, of, virials);
      geometries++;
      for (NativeModel *model : {first.get(), second.get()})
        check(evaluate(*model, of, virials, geometries) == wanted, file.path + ": in shared memory, " + what);
    };
    by_both(atoms, "at first");
    for (std::size_t token = 0; token < atoms.tokens(); token++) atoms.move(token, token % 3, token % 2 ? 0.2 : -0.2);
    by_both(atoms, "other positions in the same place");
    by_both(few, "another structure");
    by_both(atoms, "the structure before");
    check(evaluate(*second, few, virials) == evaluate(*alone, few, virials), file.path + ": in shared memory, no number");
    by_both(atoms, "after a structure without a number");
  }
}

std::vector<double> sum_of_virials(const std::vector<double> &virials)
{
  std::vector<double> sum(9);
  for (std::size_t i = 0; i < virials.size(); i++) sum[i % 9] += virials[i];
  return sum;
}

std::vector<double> virial_of_rows(const Structure &atoms, const std::vector<double> &forces)
{
  std::vector<double> sum(9);
  for (std::size_t row = 0; row < atoms.owner.size(); row++)
    for (std::size_t a = 0; a < 3; a++)
      for (std::size_t b = 0; b < 3; b++) sum[3 * a + b] += atoms.positions[3 * row + a] * forces[3 * row + b];
  return sum;
}

void test_virials(const File &file)
{
  const auto model = file.model();
  Structure atoms = structure(file.metadata, false);
  if (file.coordinates()) {
    check_error([&] { evaluate(*model, atoms); }, "sees coordinates", "virials with coordinates");
    return;
  }
  check_error(
      [&] {
        Answer answer;
        model->evaluate(atoms.request(), atoms.positions, answer.result, false, &answer.virials);
      },
      "not asked for", "virials without forces");
  const Answer answer = evaluate(*model, atoms);
  check(answer.virials.size() == 9 * atoms.tokens(), file.path + ": shape of virials");
  check_close(sum_of_virials(answer.virials), virial_of_rows(atoms, answer.result.forces), file.exact() ? 1e-10 : 1e-4,
              file.path + ": sum of virials");
  if (!file.metadata.cutoff) return;

  // With a row of its own for every edge, the force on the row is that along the edge.
  const Structure edges = periodic(file.metadata, 3, true);
  const Answer of_edges = evaluate(*model, edges);
  check_close(of_edges.virials, answer.virials, file.exact() ? 1e-10 : 1e-4, file.path + ": virials with other rows");
  std::vector<double> wanted(9 * edges.tokens());
  for (std::size_t t = 0; t < edges.tokens(); t++)
    for (auto e = static_cast<std::size_t>(edges.first[t]); e < static_cast<std::size_t>(edges.first[t + 1]); e++) {
      const auto row = static_cast<std::size_t>(edges.neighbours[e]);
      for (std::size_t a = 0; a < 3; a++)
        for (std::size_t b = 0; b < 3; b++)
          wanted[9 * t + 3 * a + b] +=
              (edges.positions[3 * row + a] - edges.positions[3 * t + a]) * of_edges.result.forces[3 * row + b];
    }
  check_close(answer.virials, wanted, file.exact() ? 1e-10 : 1e-4, file.path + ": virials against forces along edges");
}

void test_differences(const File &file, Structure atoms)
{
  if (!file.exact()) return;
  const auto model = file.model();
  const Answer answer = evaluate(*model, atoms, false);
  std::vector<double> folded(3 * atoms.tokens());
  for (std::size_t row = 0; row < atoms.owner.size(); row++)
    for (std::size_t x = 0; x < 3; x++)
      folded[3 * static_cast<std::size_t>(atoms.owner[row]) + x] += answer.result.forces[3 * row + x];
  std::vector<double> wanted(folded.size());
  constexpr double step = 1.0e-4;
  for (std::size_t t = 0; t < atoms.tokens(); t++)
    for (std::size_t x = 0; x < 3; x++) {
      // Fourth order: E(x + h) and E(x + 2 h).
      double sum = 0.0;
      for (const auto &[places, weight] : {std::pair{-2, 1.0}, std::pair{-1, -8.0}, std::pair{1, 8.0}, std::pair{2, -1.0}}) {
        atoms.move(t, x, places * step);
        sum += weight * energy(*model, atoms);
        atoms.move(t, x, -places * step);
      }
      wanted[3 * t + x] = -sum / (12.0 * step);
    }
  check_close(folded, wanted, 1e-8, file.path + ": forces against differences of energies");
}

void test_bad_input(const File &file)
{
  const auto model = file.model(2);
  Structure atoms = structure(file.metadata, true);
  const Answer good = evaluate(*model, atoms, false);
  if (file.metadata.cutoff) {
    Structure bad = atoms;
    bad.neighbours[3] = static_cast<std::int64_t>(bad.owner.size());
    check_error([&] { evaluate(*model, bad, false); }, "A neighbour is row", "a row that is not there");
  }
  Structure together = atoms;
  std::size_t other = 1;
  if (file.metadata.cutoff) other = static_cast<std::size_t>(atoms.neighbours[0]);
  for (std::size_t x = 0; x < 3; x++) together.positions[3 * other + x] = together.positions[x];
  check_error([&] { evaluate(*model, together, false); }, "at one position", "atoms at one position");
  check(evaluate(*model, atoms, false) == good, file.path + ": an error is not forgotten");
}

/// A child has none of its parent's threads; it and its parent go on.
void test_fork(const File &file)
{
  const bool virials = !file.coordinates();
  auto model = file.model(3);
  const Structure atoms = structure(file.metadata, true);
  const Answer wanted = evaluate(*model, atoms, virials);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    bool good = evaluate(*model, atoms, virials) == wanted && evaluate(*model, atoms, virials) == wanted;
    model->set_threads(2);
    good = good && evaluate(*model, atoms, virials) == wanted;
    model.reset();
    _exit(good ? 0 : 1);
  }
  const pid_t idle = fork();
  if (idle == 0) {
    alarm(60);
    model.reset();
    _exit(0);
  }
  check(evaluate(*model, atoms, virials) == wanted, file.path + ": the parent of a child");
  for (const pid_t one : {child, idle}) {
    int status = 1;
    waitpid(one, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, file.path + ": a forked child");
  }
}

void test_ends(const File &file)
{
  const Structure atoms = structure(file.metadata, true);
  for (int repeat = 0; repeat < (brief ? 3 : 20); repeat++) {
    const auto model = file.model(4);
    if (repeat % 4 == 0) continue;
    evaluate(*model, atoms, false);
    // Awake, about to fall asleep, or asleep.
    if (repeat % 4 > 1) usleep(repeat % 4 == 2 ? 20 : 2000);
  }
  // Several models, each with threads of its own, at a time.
  const Answer wanted = evaluate(*file.model(), atoms, false);
  std::array<bool, 3> good{};
  std::vector<std::thread> hosts;
  for (bool &one : good)
    hosts.emplace_back([&] {
      const auto model = file.model(2);
      one = evaluate(*model, atoms, false) == wanted;
    });
  for (std::thread &host : hosts) host.join();
  check(good == std::array<bool, 3>{true, true, true}, file.path + ": several models at a time");
}

/// Two ranks that are threads: each has the other's atoms for halo atoms.
class TwoRanks {
 public:
  class Rank final : public transip::HaloExchange {
   public:
    std::int64_t halo_atoms() const override { return static_cast<std::int64_t>(halo_atom.size()); }
    std::int64_t given_atoms() const override { return static_cast<std::int64_t>(other->halo_atom.size()); }
    const int *given() const override { return other->halo_atom.data(); }
    void forward(const float *given, float *halo, int width) override { take(given, halo, halo_atoms(), width); }
    void forward(const double *given, double *halo, int width) override { take(given, halo, halo_atoms(), width); }
    void reverse(const float *halo, float *given, int width) override { take(halo, given, given_atoms(), width); }
    void reverse(const double *halo, double *given, int width) override { take(halo, given, given_atoms(), width); }
    bool takes_device_memory() const override { return false; }

    TwoRanks *both = nullptr;
    Rank *other = nullptr;
    std::vector<int> halo_atom;  // token of the other rank that each halo atom is

   private:
    /// Show the other rank what it shall have, and take what it shows.
    template <typename Real> void take(const Real *shown, Real *taken, std::int64_t count, int width)
    {
      shown_ = shown;
      both->barrier.arrive_and_wait();
      std::copy_n(static_cast<const Real *>(other->shown_), count * width, taken);
      both->barrier.arrive_and_wait();
    }
    const void *shown_ = nullptr;
  };

  std::array<Rank, 2> rank;
  std::barrier<> barrier{2};
};

void test_ranks(const File &file)
{
  if (!file.metadata.cutoff) return;
  const Structure whole = periodic(file.metadata, brief ? 5 : 6);
  const auto model = file.model();
  const Answer wanted = evaluate(*model, whole);
  const std::size_t count = whole.tokens();

  // Every second atom each.
  TwoRanks ranks;
  std::array<Structure, 2> parts;
  std::array<std::vector<std::size_t>, 2> origin;  // row of the whole that each row is
  for (std::size_t side = 0; side < 2; side++) {
    Structure &part = parts[side];
    std::vector<std::int64_t> row_of(whole.owner.size(), -1), halo_atom_of(count, -1);
    const auto add = [&](std::size_t row, std::int64_t owner) {
      row_of[row] = static_cast<std::int64_t>(part.owner.size());
      part.owner.push_back(owner);
      part.positions.insert(part.positions.end(), &whole.positions[3 * row], &whole.positions[3 * row] + 3);
      origin[side].push_back(row);
    };
    for (std::size_t t = side; t < count; t += 2) {
      part.species.push_back(whole.species[t]);
      add(t, static_cast<std::int64_t>(t / 2));
    }
    const auto tokens = static_cast<std::int64_t>(part.tokens());
    std::vector<std::vector<std::int64_t>> lists;
    for (std::size_t t = side; t < count; t += 2) {
      lists.emplace_back();
      for (auto e = static_cast<std::size_t>(whole.first[t]); e < static_cast<std::size_t>(whole.first[t + 1]); e++) {
        const auto row = static_cast<std::size_t>(whole.neighbours[e]);
        if (row_of[row] < 0) {
          const auto owner = static_cast<std::size_t>(whole.owner[row]);
          if (owner % 2 != side && halo_atom_of[owner] < 0) {
            halo_atom_of[owner] = static_cast<std::int64_t>(ranks.rank[side].halo_atom.size());
            ranks.rank[side].halo_atom.push_back(static_cast<int>(owner / 2));
          }
          add(row, owner % 2 == side ? static_cast<std::int64_t>(owner / 2) : tokens + halo_atom_of[owner]);
        }
        lists.back().push_back(row_of[row]);
      }
    }
    part.set_neighbours(lists);
    ranks.rank[side].both = &ranks;
    ranks.rank[side].other = &ranks.rank[1 - side];
    part.exchange = &ranks.rank[side];
  }

  for (const int threads : {1, 3}) {
    std::array<Answer, 2> answers;
    std::vector<std::thread> hosts;
    for (std::size_t side = 0; side < 2; side++)
      hosts.emplace_back([&, side] { answers[side] = evaluate(*file.model(threads), parts[side]); });
    for (std::thread &host : hosts) host.join();
    Answer joined;
    joined.result.energies.resize(count);
    joined.result.forces.resize(whole.positions.size());
    joined.virials.resize(9 * count);
    for (std::size_t side = 0; side < 2; side++) {
      for (std::size_t t = 0; t < parts[side].tokens(); t++) {
        joined.result.energies[2 * t + side] = answers[side].result.energies[t];
        for (std::size_t i = 0; i < 9; i++) joined.virials[9 * (2 * t + side) + i] = answers[side].virials[9 * t + i];
      }
      for (std::size_t row = 0; row < origin[side].size(); row++)
        for (std::size_t x = 0; x < 3; x++)
          joined.result.forces[3 * origin[side][row] + x] += answers[side].result.forces[3 * row + x];
    }
    const double allowed = file.exact() ? 1e-11 : 1e-4;
    const std::string what = file.path + ": two ranks, " + std::to_string(threads) + " threads each: ";
    check_close(joined.result.energies, wanted.result.energies, file.exact() ? 1e-12 : 1e-5, what + "energies");
    check_close(joined.result.forces, wanted.result.forces, allowed, what + "forces");
    check_close(joined.virials, wanted.virials, allowed, what + "virials");
  }
}

}  // namespace

int main(int argc, char **argv)
{
  return checks::run([argc, argv] {
    for (int i = 1; i < argc; i++) {
      if (std::string(argv[i]) == "--short") {
        brief = true;
        continue;
      }
      const File file(argv[i]);
      test_same_bits(file);
      test_shared_memory(file);
      test_ranks(file);
      test_bad_input(file);
      test_ends(file);
      if (!brief) {
        test_virials(file);
        test_differences(file, structure(file.metadata, false));
        test_differences(file, cluster(file.metadata, 2));
        // ThreadSanitizer starts no threads in a child of a process that has some.
        test_fork(file);
      }
    }
  });
}
