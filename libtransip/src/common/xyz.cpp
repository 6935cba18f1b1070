#include "transip/xyz.h"

#include "transip/elements.h"
#include "transip/error.h"

#include <filesystem>
#include <fstream>
#include <iomanip>
#include <limits>
#include <sstream>
#include <system_error>

namespace transip {

Structure read_xyz(const std::string &path)
{
  std::ifstream file(path);
  if (!file) throw Error("Cannot read " + path + ".");
  const std::string expected = "; expected an XYZ file: the number of atoms, a comment, and a line `El x y z` for each.";
  std::string line;
  std::getline(file, line);
  long count = 0;
  if (!(std::istringstream(line) >> count) || count < 1) throw Error(path + ": its first line is '" + line + "'" + expected);
  std::getline(file, line);
  Structure found;
  for (long atom = 0; atom < count; atom++) {
    std::getline(file, line);
    std::istringstream words(line);
    std::string symbol;
    double x = 0.0, y = 0.0, z = 0.0;
    if (!(words >> symbol >> x >> y >> z)) throw Error(path + ": line " + std::to_string(atom + 3) + " is '" + line + "'" + expected);
    const int number = atomic_number(symbol);
    if (number == 0) throw Error(path + ": '" + symbol + "' is no element symbol" + expected);
    found.species.push_back(number);
    found.positions.insert(found.positions.end(), {x, y, z});
  }
  return found;
}

void write_xyz(const std::string &path, std::span<const std::int64_t> species, std::span<const double> positions,
               const std::string &comment)
{
  const std::string partial = path + ".part";
  std::error_code problem;
  {
    std::ofstream file(partial);
    file << species.size() << '\n' << comment << '\n' << std::setprecision(std::numeric_limits<double>::max_digits10);
    for (std::size_t atom = 0; atom < species.size(); atom++)
      file << symbol(static_cast<int>(species[atom])) << ' ' << positions[3 * atom] << ' ' << positions[3 * atom + 1] << ' '
           << positions[3 * atom + 2] << '\n';
    if (!file) throw Error("Cannot write " + path + ".");
  }
  std::filesystem::rename(partial, path, problem);
  if (problem) throw Error("Cannot write " + path + ": " + problem.message() + ".");
}

}  // namespace transip
