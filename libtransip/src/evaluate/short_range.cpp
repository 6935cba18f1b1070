#include "short_range.h"

#include "transip/error.h"
#include "transip/units.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

namespace transip {

namespace {

/// Energy of two elementary charges at 1 Angstrom, eV.
constexpr double coulomb = units::hartree * units::bohr;
/// Screening length of two charges of Z = 1, times 2, Angstrom.
constexpr double screening_length = 0.46850;
/// Universal screening function: amplitudes and decays of its exponentials.
constexpr std::array<double, 4> amplitudes = {0.18175, 0.50986, 0.28022, 0.02817};
constexpr std::array<double, 4> decays = {3.19980, 0.94229, 0.40290, 0.20162};

/// The envelope of the cutoff, `envelope` in python/transip_md/model/radial.py, and its derivative.
std::array<double, 2> envelope(double x)
{
  const double rest = std::max(1.0 - x, 0.0), squared = x * x;
  const double factor = 1.0 + x * (3.0 + x * (6.0 + x * (10.0 + x * (15.0 + x * 21.0))));
  // Of 1 - 28 x^6 + 48 x^7 - 21 x^8.
  return {rest * rest * rest * factor, -168.0 * squared * squared * x * rest * rest};
}

}  // namespace

std::optional<ShortRange> ShortRange::make(const Weights &weights, const Metadata &metadata)
{
  if (!metadata.architecture || !metadata.architecture->short_range) return std::nullopt;
  const auto kinds = static_cast<std::int64_t>(metadata.species.size());
  ShortRange made;
  made.charges_ = weights.get("model.short_range.nuclear_charges", {kinds});
  made.screening_ = weights.get("model.short_range.screening_powers", {kinds});
  made.radii_ = weights.get("model.short_range.covalent_radii", {kinds});
  made.cutoff_ = metadata.cutoff.value_or(0.0);
  made.longest_ = 2.0 * *std::max_element(made.radii_.begin(), made.radii_.end());
  for (std::size_t place = 0; place < metadata.species.size(); place++)
    made.place_of_species_[metadata.species[place]] = place;
  return made;
}

ShortRange::Pair ShortRange::pair(std::size_t first, std::size_t second, double distance) const
{
  double reach = radii_[first] + radii_[second];
  if (cutoff_ > 0.0) reach = std::min(reach, cutoff_);
  if (distance >= reach) return {0.0, 0.0};
  const double inverse_length = (screening_[first] + screening_[second]) / screening_length;
  double screened = 0.0, slope = 0.0;
  for (std::size_t i = 0; i < amplitudes.size(); i++) {
    const double part = amplitudes[i] * std::exp(-decays[i] * inverse_length * distance);
    screened += part;
    slope -= decays[i] * inverse_length * part;
  }
  const double bare = coulomb * charges_[first] * charges_[second] / distance;
  const auto [fade, fading] = envelope(distance / reach);
  return {bare * screened * fade, bare * ((slope - screened / distance) * fade + screened * fading / reach)};
}

void ShortRange::find_kinds(const Request &request, std::size_t rows)
{
  const std::size_t tokens = request.species.size();
  const std::size_t halo_atoms = request.exchange ? static_cast<std::size_t>(request.exchange->halo_atoms()) : 0;
  kinds_.resize(tokens + halo_atoms);
  for (std::size_t t = 0; t < tokens; t++) {
    const auto found = place_of_species_.find(request.species[t]);
    if (found == place_of_species_.end())
      throw Error("The model does not know atomic number " + std::to_string(request.species[t]) + ".");
    kinds_[t] = static_cast<double>(found->second);
  }
  // A halo atom's element is known to its own rank only.
  if (request.exchange) {
    given_kinds_.clear();
    for (std::int64_t i = 0; i < request.exchange->given_atoms(); i++)
      given_kinds_.push_back(kinds_[static_cast<std::size_t>(request.exchange->given()[i])]);
    request.exchange->forward(given_kinds_.data(), kinds_.data() + tokens, 1);
  }
  kind_of_row_.resize(rows);
  for (std::size_t row = 0; row < rows; row++) {
    const std::size_t owner = request.owner.empty() ? row : static_cast<std::size_t>(request.owner[row]);
    kind_of_row_[row] = static_cast<std::size_t>(kinds_[owner]);
  }
}

void ShortRange::add(const Request &request, std::span<const double> positions, Result &result, bool forces)
{
  const std::size_t tokens = request.species.size(), rows = positions.size() / 3;
  find_kinds(request, rows);
  const double longest = cutoff_ > 0.0 ? std::min(longest_, cutoff_) : longest_;
  const auto add_pair = [&](std::size_t token, std::size_t row) {
    std::array<double, 3> apart{};
    double square = 0.0;
    for (std::size_t x = 0; x < 3; x++) {
      apart[x] = positions[3 * row + x] - positions[3 * token + x];
      square += apart[x] * apart[x];
    }
    if (square >= longest * longest) return;
    const double distance = std::sqrt(square);
    const Pair found = pair(kind_of_row_[token], kind_of_row_[row], distance);
    // Half of the pair: the other half belongs to the other atom.
    result.energies[token] += 0.5 * found.energy;
    if (!forces) return;
    const double scale = 0.5 * found.slope / distance;
    for (std::size_t x = 0; x < 3; x++) {
      result.forces[3 * token + x] += scale * apart[x];
      result.forces[3 * row + x] -= scale * apart[x];
    }
    if (!request.virials) return;
    for (std::size_t a = 0; a < 3; a++)
      for (std::size_t b = 0; b < 3; b++) result.virials[9 * token + 3 * a + b] -= scale * apart[a] * apart[b];
  };
  for (std::size_t token = 0; token < tokens; token++) {
    if (!request.owned.empty() && !request.owned[token]) continue;
    if (cutoff_ > 0.0) {
      if (request.first.empty()) continue;
      for (std::int64_t e = request.first[token]; e < request.first[token + 1]; e++)
        add_pair(token, static_cast<std::size_t>(request.neighbours[static_cast<std::size_t>(e)]));
    } else {
      for (std::size_t row = 0; row < rows; row++)
        if (row != token) add_pair(token, row);
    }
  }
}

}  // namespace transip
