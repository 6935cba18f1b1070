#include "transip/symmetry.h"

#include "transip/error.h"

#include <algorithm>
#include <cmath>
#include <cctype>
#include <numbers>
#include <sstream>

namespace transip {

namespace {

constexpr const char *expected = "none, average N, average N inversion, frame, random SEED or random SEED forced";

[[noreturn]] void refuse(const std::vector<std::string> &words, std::size_t first)
{
  std::string got;
  for (std::size_t i = first; i < words.size(); i++) got += (i > first ? " " : "") + words[i];
  throw Error("symmetry must be " + std::string(expected) + "; got '" + got + "'.");
}

/// A number that is not negative and has at most nine digits.
bool is_number(const std::string &word)
{
  return !word.empty() && word.size() < 10 &&
         std::all_of(word.begin(), word.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

}  // namespace

Symmetry Symmetry::parse(const std::vector<std::string> &words, std::size_t &first)
{
  const std::size_t start = first;
  const auto next = [&]() -> std::string { return first < words.size() ? words[first] : std::string(); };
  const std::string mode = next();
  first++;
  Symmetry found;
  if (mode == "none") return found;
  if (mode == "frame") {
    found.mode = Mode::frame;
    return found;
  }
  if ((mode != "average" && mode != "random") || !is_number(next())) refuse(words, start);
  const auto number = static_cast<std::uint64_t>(std::stoul(next()));
  first++;
  const bool average = mode == "average";
  const bool more = next() == (average ? "inversion" : "forced");
  if (more) first++;
  if (average) {
    found.mode = Mode::average;
    found.count = static_cast<int>(number);
    found.inversion = more;
  } else {
    found.mode = Mode::random;
    found.seed = number;
    found.forced = more;
  }
  return found;
}

Symmetry Symmetry::parse(const std::string &text)
{
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  std::size_t first = 0;
  const Symmetry found = parse(words, first);
  if (first != words.size()) refuse(words, 0);
  return found;
}

std::string Symmetry::name() const
{
  switch (mode) {
    case Mode::average: return "average";
    case Mode::frame: return "frame";
    case Mode::random: return "random";
    case Mode::none: break;
  }
  return "none";
}

std::string Symmetry::text() const
{
  if (mode == Mode::average) return "average " + std::to_string(count) + (inversion ? " inversion" : "");
  if (mode == Mode::random) return "random " + std::to_string(seed) + (forced ? " forced" : "");
  return name();
}

std::array<double, 9> numbered_rotation(std::uint64_t seed, std::uint64_t step)
{
  // SplitMix64 (Steele, Lea & Flood, OOPSLA 2014), and Shoemake's quaternion of three uniform numbers ("Uniform random
  // rotations", Graphics Gems III, 1992).
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ULL + step * 0xD1342543DE82EF95ULL;
  std::array<double, 3> uniform{};
  for (double &value : uniform) {
    state += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    value = static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }
  const double first = 2.0 * std::numbers::pi * uniform[1], second = 2.0 * std::numbers::pi * uniform[2];
  const double low = std::sqrt(1.0 - uniform[0]), high = std::sqrt(uniform[0]);
  const double x = low * std::sin(first), y = low * std::cos(first);
  const double z = high * std::sin(second), w = high * std::cos(second);
  return {
      1 - 2 * (y * y + z * z), 2 * (x * y - w * z),     2 * (x * z + w * y),
      2 * (x * y + w * z),     1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
      2 * (x * z - w * y),     2 * (y * z + w * x),     1 - 2 * (x * x + y * y),
  };
}

}  // namespace transip
