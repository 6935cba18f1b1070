// Random structures through the C API, for the sanitizers: boxes smaller than the cutoff, atoms outside of them, some
// structures that must be refused. Usage: random_structures MODEL COUNT ELEMENT...
#include <transip.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

[[noreturn]] void fail(int index, const std::string &what)
{
  std::printf("FAILED: structure %d: %s\n", index, what.c_str());
  std::exit(1);
}

struct Random {
  std::mt19937 engine{7};
  double uniform(double low, double high) { return std::uniform_real_distribution<>(low, high)(engine); }
  int integer(int low, int high) { return std::uniform_int_distribution<>(low, high)(engine); }
};

void evaluate(transip_model *model, Random &random, const std::vector<std::int64_t> &elements, int index)
{
  const bool local = transip_cutoff(model) > 0.0;
  const int count = random.integer(0, 30);
  std::vector<std::int64_t> species;
  std::vector<double> positions, forces(3 * count), energies(count), virials(9 * count), virial(9);
  const double edge = std::cbrt(20.0 * std::max(count, 1));
  for (int i = 0; i < count; i++) {
    species.push_back(elements[random.integer(0, static_cast<int>(elements.size()) - 1)]);
    for (int x = 0; x < 3; x++) positions.push_back(random.uniform(-edge, edge));
  }
  std::vector<double> cell = {edge, 0, 0, random.uniform(-2, 2), edge, 0, random.uniform(-2, 2), random.uniform(-2, 2), edge};
  const bool bad = count > 1 && random.integer(0, 9) == 0;
  if (bad) positions[4] = random.integer(0, 1) ? std::numeric_limits<double>::quiet_NaN() : positions[4];
  if (bad && std::isfinite(positions[4])) std::copy_n(positions.begin(), 3, positions.begin() + 3);

  transip_structure structure{};
  structure.atoms = count;
  structure.species = species.data();
  structure.positions = positions.data();
  structure.cell = cell.data();
  for (int &along : structure.periodic) along = local && random.integer(0, 1);
  structure.multiplicity = 1;
  double energy = 0.0;
  const bool share = random.integer(0, 1);
  const transip_result result = {&energy, energies.data(), forces.data(), virial.data(), share ? virials.data() : nullptr};
  const transip_status status = transip_evaluate(model, &structure, &result);
  if (bad != (status != TRANSIP_OK)) fail(index, std::string("status ") + std::to_string(status) + ": " + transip_message());
  if (status != TRANSIP_OK) return;
  double sum = 0.0;
  for (const double one : energies) sum += one;
  if (!(std::abs(sum - energy) <= 1e-6 * (1.0 + std::abs(energy)))) fail(index, "energies do not sum to the energy");
  for (int k = 0; share && k < 9; k++) {
    double total = 0.0, scale = 1.0;
    for (int i = 0; i < count; i++) {
      total += virials[9 * i + k];
      scale += std::abs(virials[9 * i + k]);
    }
    if (!(std::abs(total - virial[k]) <= 1e-4 * scale)) fail(index, "virials do not sum to the virial");
  }
}

}  // namespace

int main(int argc, char **argv)
{
  if (argc < 4) return 2;
  std::vector<std::int64_t> elements;
  for (int i = 3; i < argc; i++) elements.push_back(std::atoi(argv[i]));
  Random random;
  for (int threads = 1; threads <= 2; threads++) {
    transip_options options{};
    options.device = "cpu";
    options.threads = threads;
    transip_model *model = nullptr;
    if (transip_load(argv[1], &options, &model) != TRANSIP_OK) fail(-1, transip_message());
    if (std::string(transip_runs_by(model)) != "native kernels (baseline)") fail(-1, transip_runs_by(model));
    for (int i = 0; i < std::atoi(argv[2]) / 2; i++) {
      const char *symmetry = i % 10 == 0 ? "average 2" : "none";
      if (transip_set_symmetry(model, symmetry) != TRANSIP_OK) fail(i, transip_message());
      evaluate(model, random, elements, i);
    }
    transip_free(model);
  }
  std::printf("%s structures\n", argv[2]);
  return 0;
}
