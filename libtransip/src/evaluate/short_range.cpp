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
  double end = radii_[first] + radii_[second];
  if (cutoff_ > 0.0) end = std::min(end, cutoff_);
  if (distance >= end) return {0.0, 0.0};
  const double inverse_length = (screening_[first] + screening_[second]) / screening_length;
  double screened = 0.0, slope = 0.0;
  for (std::size_t i = 0; i < amplitudes.size(); i++) {
    const double part = amplitudes[i] * std::exp(-decays[i] * inverse_length * distance);
    screened += part;
    slope -= decays[i] * inverse_length * part;
  }
  const double bare = coulomb * charges_[first] * charges_[second] / distance;
  const auto [fade, fading] = envelope(distance / end);
  return {bare * screened * fade, bare * ((slope - screened / distance) * fade + screened * fading / end)};
}

/// Places of the elements of tokens and halo atoms.
void ShortRange::find_kinds(const Request &request)
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
}

std::size_t ShortRange::kind_of_row(const Request &request, std::int64_t row) const
{
  const auto place = static_cast<std::size_t>(row);
  return static_cast<std::size_t>(kinds_[request.owner.empty() ? place : static_cast<std::size_t>(request.owner[place])]);
}

void ShortRange::add(const Request &request, std::span<const double> positions, std::span<const Edge> nearby,
                     Result &result, bool forces)
{
  if (nearby.empty() && !request.exchange) return;
  find_kinds(request);
  for (const Edge &edge : nearby) {
    const auto token = static_cast<std::size_t>(edge.token), row = static_cast<std::size_t>(edge.row);
    if (!request.owned.empty() && !request.owned[token]) continue;
    std::array<double, 3> apart{};
    double square = 0.0;
    for (std::size_t x = 0; x < 3; x++) {
      apart[x] = positions[3 * row + x] - positions[3 * token + x];
      square += apart[x] * apart[x];
    }
    const double distance = std::sqrt(square);
    const Pair found = pair(kind_of_row(request, edge.token), kind_of_row(request, edge.row), distance);
    // Half of the pair: the other half belongs to the other atom.
    result.energies[token] += 0.5 * found.energy;
    if (!forces) continue;
    const double scale = 0.5 * found.slope / distance;
    for (std::size_t x = 0; x < 3; x++) {
      result.forces[3 * token + x] += scale * apart[x];
      result.forces[3 * row + x] -= scale * apart[x];
    }
    if (!request.virials) continue;
    for (std::size_t a = 0; a < 3; a++)
      for (std::size_t b = 0; b < 3; b++) result.virials[9 * token + 3 * a + b] -= scale * apart[a] * apart[b];
  }
}

void ShortRange::add(const Request &request, std::span<const double> positions, Result &result, bool forces)
{
  const auto tokens = static_cast<std::int64_t>(request.species.size());
  const auto rows = static_cast<std::int64_t>(positions.size() / 3);
  nearby_.clear();
  const auto look = [&](std::int64_t token, std::int64_t row) {
    double square = 0.0;
    for (std::int64_t x = 0; x < 3; x++) {
      const double apart =
          positions[static_cast<std::size_t>(3 * row + x)] - positions[static_cast<std::size_t>(3 * token + x)];
      square += apart * apart;
    }
    if (square < reach() * reach()) nearby_.push_back({token, row});
  };
  for (std::int64_t token = 0; token < tokens; token++) {
    const auto place = static_cast<std::size_t>(token);
    if (cutoff_ > 0.0) {
      if (request.first.empty()) continue;
      for (std::int64_t e = request.first[place]; e < request.first[place + 1]; e++)
        look(token, request.neighbours[static_cast<std::size_t>(e)]);
    } else {
      for (std::int64_t row = 0; row < rows; row++)
        if (row != token) look(token, row);
    }
  }
  add(request, positions, nearby_, result, forces);
}

}  // namespace transip
