#include "structures.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <random>
#include <stdexcept>
#include <tuple>

namespace {

std::array<double, 3> cross(const double *a, const double *b)
{
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

/// How many cells away images may lie along each vector, for atoms that are spread over so many cells themselves.
std::array<int, 3> reach(const TestStructure &structure, double cutoff)
{
  std::array<int, 3> cells{};
  if (!structure.periodic()) return cells;
  const double *v = structure.cell.data();
  for (int a = 0; a < 3; a++) {
    const auto normal = cross(v + 3 * ((a + 1) % 3), v + 3 * ((a + 2) % 3));
    double length = 0.0, height = 0.0, low = 1e300, high = -1e300;
    for (int x = 0; x < 3; x++) {
      length += normal[x] * normal[x];
      height += normal[x] * v[3 * a + x];
    }
    for (std::size_t i = 0; i < structure.species.size(); i++) {
      double along = 0.0;
      for (int x = 0; x < 3; x++) along += structure.positions[3 * i + x] * normal[x] / height;
      low = std::min(low, along);
      high = std::max(high, along);
    }
    cells[a] = static_cast<int>(std::ceil(cutoff / (std::abs(height) / std::sqrt(length)) + high - low));
  }
  return cells;
}

}  // namespace

Neighbourhood::Neighbourhood(const TestStructure &structure, double cutoff)
{
  const auto atoms = static_cast<std::int64_t>(structure.species.size());
  positions = structure.positions;
  owned.assign(structure.species.size(), 1);
  for (std::int64_t i = 0; i < atoms; i++) owner.push_back(i);
  if (cutoff <= 0.0) return;
  const std::array<int, 3> cells = reach(structure, cutoff);
  std::map<std::tuple<std::int64_t, int, int, int>, std::int64_t> rows;
  std::vector<std::vector<std::int64_t>> found(static_cast<std::size_t>(atoms));
  for (std::int64_t i = 0; i < atoms; i++)
    for (std::int64_t j = 0; j < atoms; j++)
      for (int a = -cells[0]; a <= cells[0]; a++)
        for (int b = -cells[1]; b <= cells[1]; b++)
          for (int c = -cells[2]; c <= cells[2]; c++) {
            const bool self = a == 0 && b == 0 && c == 0;
            if (self && i == j) continue;
            double place[3], square = 0.0;
            for (int x = 0; x < 3; x++) {
              place[x] = structure.positions[3 * j + x] + a * structure.cell[x] + b * structure.cell[3 + x] +
                         c * structure.cell[6 + x];
              square += (place[x] - structure.positions[3 * i + x]) * (place[x] - structure.positions[3 * i + x]);
            }
            if (square >= cutoff * cutoff) continue;
            std::int64_t row = j;
            if (!self) {
              const auto [known, fresh] = rows.try_emplace({j, a, b, c}, static_cast<std::int64_t>(owner.size()));
              row = known->second;
              if (fresh) {
                owner.push_back(j);
                positions.insert(positions.end(), place, place + 3);
              }
            }
            found[i].push_back(row);
          }
  first.push_back(0);
  for (const auto &of_token : found) {
    neighbours.insert(neighbours.end(), of_token.begin(), of_token.end());
    first.push_back(static_cast<std::int64_t>(neighbours.size()));
  }
}

transip::Request Neighbourhood::request(const TestStructure &structure) const
{
  transip::Request request;
  request.species = structure.species;
  request.positions = positions;
  request.owner = owner;
  request.owned = owned;
  request.first = first;
  request.neighbours = neighbours;
  return request;
}

TestStructure random_structure(const std::string &name, int atoms, const std::array<double, 9> &cell,
                               const std::vector<int> &species, unsigned seed)
{
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> within(0.0, 1.0);
  TestStructure made{name, {}, {}, cell};
  const std::array<double, 9> box = made.periodic() ? cell : std::array<double, 9>{6, 0, 0, 0, 6, 0, 0, 0, 6};
  while (made.species.size() < static_cast<std::size_t>(atoms)) {
    const double u = within(random), v = within(random), w = within(random);
    double place[3];
    for (int x = 0; x < 3; x++) place[x] = u * box[x] + v * box[3 + x] + w * box[6 + x];
    bool apart = true;
    for (std::size_t other = 0; other < made.species.size() && apart; other++)
      for (int a = -1; a <= 1; a++)
        for (int b = -1; b <= 1; b++)
          for (int c = -1; c <= 1; c++) {
            double square = 0.0;
            for (int x = 0; x < 3; x++) {
              const double d = made.positions[3 * other + x] - place[x] +
                               (made.periodic() ? a * box[x] + b * box[3 + x] + c * box[6 + x] : 0.0);
              square += d * d;
            }
            apart = apart && square > 0.64;
          }
    if (!apart) continue;
    made.species.push_back(species[random() % species.size()]);
    made.positions.insert(made.positions.end(), place, place + 3);
  }
  if (made.periodic())
    for (std::size_t i = 0; i < made.species.size(); i += 5)
      for (int x = 0; x < 3; x++) made.positions[3 * i + x] += 2.0 * box[x] - box[3 + x];
  return made;
}

TestStructure read_structure(const std::string &path)
{
  std::ifstream file(path);
  std::size_t atoms = 0;
  TestStructure read;
  read.name = path.substr(path.rfind('/') + 1);
  file >> atoms;
  for (double &x : read.cell) file >> x;
  for (std::size_t i = 0; i < atoms; i++) {
    std::int64_t z = 0;
    double place[3];
    file >> z >> place[0] >> place[1] >> place[2];
    read.species.push_back(z);
    read.positions.insert(read.positions.end(), place, place + 3);
  }
  if (!file) throw std::runtime_error(path + " is no structure");
  return read;
}
