// The twin of python/transip_md/modelfile/reference.py.
#include "reference.h"

#include "strict_json.h"

#include <array>

namespace transip {

namespace {

constexpr double largest_number = 1e12;
constexpr std::size_t most_states = 64;

std::vector<std::int64_t> integers(const JsonReader &values, const char *key, std::int64_t lowest, std::int64_t highest)
{
  std::vector<std::int64_t> found;
  for (const Json &one : values.array(key)) {
    if (!is_integer(one, lowest, highest))
      values.expected(key, "integers from " + std::to_string(lowest) + " to " + std::to_string(highest), one);
    found.push_back(one.get<std::int64_t>());
  }
  return found;
}

std::vector<double> numbers(const JsonReader &values, const char *key)
{
  std::vector<double> found;
  for (const Json &one : values.array(key)) {
    if (!one.is_number() || !(std::abs(one.get<double>()) <= largest_number))
      values.expected(key, "numbers of less than 1e12", one);
    found.push_back(one.get<double>());
  }
  return found;
}

ReferenceState state_of(const JsonReader &values, const Metadata &metadata, std::size_t size, bool rounded)
{
  ReferenceState state;
  state.charge = values.integer("charge", metadata.charge.lowest, metadata.charge.highest);
  state.multiplicity = values.integer("multiplicity", metadata.multiplicity.lowest, metadata.multiplicity.highest);
  state.energy = values.number("energy", -largest_number, largest_number);
  state.forces = numbers(values, "forces");
  if (state.forces.size() != size)
    values.expected("forces", std::to_string(size) + " numbers, as many as positions", values.member("forces"));
  if (rounded) {
    // The smallest number above which zero lies.
    const double below_zero = -std::numeric_limits<double>::denorm_min();
    state.energy_rounding = values.number("energy_rounding", below_zero, 1.0);
    state.force_rounding = values.number("force_rounding", below_zero, 1.0);
  }
  return state;
}

}  // namespace

Reference parse_reference(std::span<const unsigned char> text, const Metadata &metadata, const std::string &path)
{
  const Json json = parse_json(text, path, "reference.json");
  const JsonReader values(json, path + ": its reference.json");
  Reference reference;
  reference.positions = numbers(values, "positions");
  const auto rows = static_cast<std::int64_t>(reference.positions.size() / 3);
  if (rows < 1 || reference.positions.size() % 3 != 0)
    values.expected("positions", "three numbers for each row", values.member("positions"));
  reference.species = integers(values, "species", 1, 118);
  for (const std::int64_t number : reference.species)
    if (!metadata.knows(static_cast<int>(number))) values.expected("species", "elements that the model knows", number);
  const auto tokens = static_cast<std::int64_t>(reference.species.size());
  if (tokens < 1 || tokens > rows) values.expected("species", "one for each token", values.member("species"));
  reference.owner = integers(values, "owner", 0, tokens - 1);
  if (static_cast<std::int64_t>(reference.owner.size()) != rows)
    values.expected("owner", "one for each row", values.member("owner"));
  for (std::int64_t token = 0; token < tokens; token++)
    if (reference.owner[static_cast<std::size_t>(token)] != token)
      values.expected("owner", "tokens that own themselves", values.member("owner"));
  const std::vector<std::int64_t> slots = integers(values, "neighbours", -1, rows - 1);
  if (slots.size() % reference.species.size() != 0 || (!metadata.cutoff && !slots.empty()))
    values.expected("neighbours", "as many slots for each token, and none in an all-to-all model",
                    values.member("neighbours"));
  const std::size_t width = slots.size() / reference.species.size();
  reference.first.assign(1, 0);
  for (std::size_t token = 0; token < reference.species.size(); token++) {
    const auto begin = slots.begin() + static_cast<std::ptrdiff_t>(token * width);
    std::copy_if(begin, begin + static_cast<std::ptrdiff_t>(width), std::back_inserter(reference.neighbours),
                 [](std::int64_t row) { return row >= 0; });
    reference.first.push_back(static_cast<std::int64_t>(reference.neighbours.size()));
  }
  const std::size_t size = reference.positions.size();
  if (metadata.format == 1) {
    reference.states.push_back(state_of(values, metadata, size, false));
    return reference;
  }
  const Json &states = values.array("states", most_states);
  if (states.empty()) values.expected("states", "one or more", states);
  for (const Json &state : states)
    reference.states.push_back(state_of(JsonReader(state, values.where()), metadata, size, true));
  return reference;
}

}  // namespace transip
