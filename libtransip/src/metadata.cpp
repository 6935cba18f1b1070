#include "transip/metadata.h"

#include "transip/error.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace transip {

namespace {

using json = nlohmann::json;

constexpr int known_format = 1;
constexpr std::array<std::string_view, 15> known_keys = {
    "format",       "species", "cutoff",       "interaction_range", "dtype",    "units",       "conservative",
    "charge",       "multiplicity", "architecture", "training",     "certificate", "made_with", "source_sha256",
    "symmetry",
};

std::optional<double> length_or_null(const json &value)
{
  if (value.is_null()) return std::nullopt;
  return value.get<double>();
}

Range range(const json &value)
{
  return {value.at(0).get<int>(), value.at(1).get<int>()};
}

std::string text_or_empty(const json &object, const char *key)
{
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Metadata read(const json &values, const std::string &path)
{
  const int format = values.at("format").get<int>();
  if (format != known_format)
    throw Error(path + " has model format " + std::to_string(format) + "; this version of transip-md reads format " +
                std::to_string(known_format) +
                ". Export the checkpoint again with this version, or type `pip install --upgrade transip-md` and "
                "`transip-md build`.");
  for (const auto &item : values.items())
    if (std::find(known_keys.begin(), known_keys.end(), item.key()) == known_keys.end())
      throw Error(path + ": its transip.json has a key that this version does not know: " + item.key() +
                  ". Type `pip install --upgrade transip-md` and `transip-md build`.");

  Metadata metadata;
  metadata.species = values.at("species").get<std::vector<int>>();
  metadata.cutoff = length_or_null(values.at("cutoff"));
  metadata.interaction_range = length_or_null(values.at("interaction_range"));
  metadata.dtype = values.at("dtype").get<std::string>();
  metadata.conservative = values.at("conservative").get<bool>();
  metadata.charge = range(values.at("charge"));
  metadata.multiplicity = range(values.at("multiplicity"));
  if (values.contains("symmetry")) metadata.symmetry = values.at("symmetry").get<std::vector<std::string>>();
  metadata.training_data = text_or_empty(values.at("training"), "data");
  metadata.level_of_theory = text_or_empty(values.at("training"), "level_of_theory");
  const auto closest = values.at("training").find("closest_pair");
  if (closest != values.at("training").end() && closest->is_number()) metadata.closest_pair = closest->get<double>();
  const json &certificate = values.at("certificate");
  if (certificate.is_object()) metadata.certificate = text_or_empty(certificate, "summary");
  const json &made_with = values.at("made_with");
  metadata.torch = text_or_empty(made_with, "torch");
  metadata.cpu_capability = text_or_empty(made_with, "cpu_capability");
  if (made_with.contains("device")) metadata.compiled_device = text_or_empty(made_with, "device");
  metadata.source_sha256 = values.at("source_sha256").get<std::string>();

  const json &units = values.at("units");
  if (units.at("energy") != "eV" || units.at("length") != "angstrom")
    throw Error(path + " is in units of " + units.dump() + "; expected eV and angstrom.");
  if (metadata.dtype != "float32" && metadata.dtype != "float64")
    throw Error(path + " has dtype " + metadata.dtype + "; expected float32 or float64.");
  if (metadata.species.empty()) throw Error(path + " names no species.");
  return metadata;
}

}  // namespace

std::string Range::text() const
{
  const std::string low = std::to_string(lowest);
  return lowest == highest ? low : low + " to " + std::to_string(highest);
}

bool Metadata::knows(int atomic_number) const
{
  return std::find(species.begin(), species.end(), atomic_number) != species.end();
}

Metadata parse_metadata(std::string_view text, const std::string &path)
{
  try {
    return read(json::parse(text), path);
  } catch (const json::exception &problem) {
    throw Error(path + ": its transip.json cannot be used: " + problem.what());
  }
}

}  // namespace transip
