// The twin of python/transip_md/modelfile/metadata.py: what one of the two refuses, the other refuses.
#include "transip/metadata.h"

#include "strict_json.h"
#include "transip/error.h"
#include "transip/text.h"

#include <algorithm>
#include <array>
#include <set>

namespace transip {

namespace {

constexpr int first_format = 1, last_format = 2, indexed_format = 2;
constexpr int largest_atomic_number = 118, largest_charge = 100, largest_multiplicity = 101;
constexpr double longest_cutoff = 100.0, longest_range = 10000.0;  // Angstrom
constexpr int widest = 1 << 20;
/// Versions of the network that the kernels know: without and with a repulsion.
constexpr int plain_version = 1, repulsive_version = 2;
constexpr std::int64_t most_elements = std::int64_t{1} << 40;
constexpr const char *upgrade = "Type `pip install --upgrade transip-md` and `transip-md build`.";
constexpr std::array<std::string_view, 15> known_keys = {
    "format",       "species", "cutoff",       "interaction_range", "dtype",    "units",       "conservative",
    "charge",       "multiplicity", "architecture", "training",     "certificate", "made_with", "source_sha256",
    "symmetry",
};
constexpr std::array<std::string_view, 2> indexed_keys = {"weights", "network"};
/// Keys of a network that native kernels know: a key more may change what it computes. Fields of ModelConfig in Python.
constexpr std::array<std::string_view, 21> architecture_keys = {
    "name",          "species",          "dim",           "layers",       "heads",  "feedforward", "rotary_values",
    "min_frequency", "max_frequency",    "radial_bias",   "radial_functions", "radial_hidden", "radial_range", "cutoff",
    "coordinates",   "force_head",       "charge",        "multiplicity", "short_range",
    "short_range_end", "charge_energies",
};
constexpr std::array<std::string_view, 3> known_symmetries = {"average", "frame", "random"};
constexpr std::array<std::string_view, 9> known_dtypes = {"float64", "float32", "float16", "bfloat16", "int64",
                                                          "int32",   "int16",   "uint8",   "bool"};

std::optional<double> length_or_null(const JsonReader &values, const char *key, double above, double highest)
{
  if (values.member(key).is_null()) return std::nullopt;
  return values.number(key, above, highest);
}

Range range(const JsonReader &values, const char *key, int lowest, int highest)
{
  const Json &value = values.member(key);
  const auto fits = [&](const Json &one) { return is_integer(one, lowest, highest); };
  if (!value.is_array() || value.size() != 2 || !fits(value[0]) || !fits(value[1]) ||
      value[0].get<int>() > value[1].get<int>())
    values.expected(key, "a smallest and a largest integer, from " + std::to_string(lowest) + " to " +
                             std::to_string(highest), value);
  return {value[0].get<int>(), value[1].get<int>()};
}

std::vector<int> species_of(const JsonReader &values)
{
  const Json &list = values.member("species");
  const std::string expected = "a list of distinct atomic numbers from 1 to 118";
  if (!list.is_array() || list.empty()) values.expected("species", expected, list);
  std::vector<int> species;
  for (const Json &number : list) {
    if (!is_integer(number, 1, largest_atomic_number) ||
        std::find(species.begin(), species.end(), number.get<int>()) != species.end())
      values.expected("species", expected, list);
    species.push_back(number.get<int>());
  }
  return species;
}

std::vector<std::string> symmetry_of(const JsonReader &values)
{
  std::vector<std::string> names;
  if (!values.has("symmetry")) return names;
  for (const Json &name : values.array("symmetry", known_symmetries.size())) {
    const bool known = name.is_string() && std::find(known_symmetries.begin(), known_symmetries.end(),
                                                     name.get<std::string>()) != known_symmetries.end();
    if (!known || std::find(names.begin(), names.end(), name.get<std::string>()) != names.end())
      values.expected("symmetry", "distinct names out of average, frame and random", values.member("symmetry"));
    names.push_back(name.get<std::string>());
  }
  return names;
}

std::string text_or_empty(const JsonReader &object, const char *key)
{
  return object.has(key) && object.member(key).is_string() ? printable(object.text(key)) : std::string();
}

bool is_hash(const std::string &text)
{
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

WeightEntry weight_of(const std::string &name, const Json &value, const std::string &path)
{
  const JsonReader entry(value, path + ": its transip.json: weights: " + printable(name));
  constexpr std::array<std::string_view, 4> keys = {"entry", "dtype", "shape", "sha256"};
  entry.only(keys, upgrade);
  WeightEntry weight{name, entry.text("entry"), entry.text("dtype"), {}, entry.text("sha256")};
  if (std::find(known_dtypes.begin(), known_dtypes.end(), weight.dtype) == known_dtypes.end())
    entry.expected("dtype", "the name of a dtype", entry.member("dtype"));
  if (!is_hash(weight.sha256)) entry.expected("sha256", "64 hexadecimal digits", entry.member("sha256"));
  std::int64_t elements = 1;
  for (const Json &size : entry.array("shape", 8)) {
    if (!is_integer(size, 0, most_elements)) entry.expected("shape", "sizes", entry.member("shape"));
    weight.shape.push_back(size.get<std::int64_t>());
    if (weight.shape.back() > 0 && elements > most_elements / weight.shape.back())
      entry.expected("shape", "fewer elements", entry.member("shape"));
    elements *= weight.shape.back();
  }
  return weight;
}

/// Network by which native kernels go; a file of format 1 has its name in the architecture.
std::optional<Architecture> architecture_of(const JsonReader &values, bool indexed)
{
  const JsonReader given = values.object("architecture");
  bool known = given.has("name") && given.member("name") == "TransIP", repulsive = false;
  if (indexed) {
    known = false;
    if (!values.member("network").is_null()) {
      const JsonReader network = values.object("network");
      constexpr std::array<std::string_view, 2> keys = {"name", "version"};
      network.only(keys, upgrade);
      const int version = network.integer("version", 1, widest);
      repulsive = version == repulsive_version;
      known = network.text("name") == "TransIP" && (version == plain_version || repulsive);
    }
  }
  // Files of format 1 may be older than a key; torch evaluates those.
  constexpr std::array<const char *, 9> keys = {"dim",           "layers",     "heads",
                                                "feedforward",   "rotary_values", "radial_bias",
                                                "radial_functions", "radial_hidden", "coordinates"};
  if (!indexed) known = known && std::all_of(keys.begin(), keys.end(), [&](const char *key) { return given.has(key); });
  if (!known) return std::nullopt;
  if (indexed) given.only(architecture_keys, upgrade);
  Architecture found;
  found.dim = given.integer("dim", 1, widest);
  found.layers = given.integer("layers", 1, widest);
  found.heads = given.integer("heads", 1, widest);
  found.feedforward = given.integer("feedforward", 1, widest);
  found.rotary_values = given.boolean("rotary_values");
  found.radial_bias = given.boolean("radial_bias");
  found.radial_functions = given.integer("radial_functions", 2, widest);
  found.radial_hidden = given.integer("radial_hidden", 1, widest);
  if (given.has("radial_range")) found.radial_range = length_or_null(given, "radial_range", 0.5, longest_range);
  found.coordinates = given.boolean("coordinates");
  found.short_range = given.has("short_range") && !given.member("short_range").is_null();
  if (found.short_range != repulsive || (repulsive && given.member("short_range") != "zbl"))
    given.expected("short_range", repulsive ? "zbl, as version 2 of the network has it" : "null, as version 1 of the network has it",
                   given.has("short_range") ? given.member("short_range") : Json());
  found.charge_energies = given.has("charge_energies") && given.boolean("charge_energies");
  if (found.charge_energies && !values.member("cutoff").is_null())
    given.expected("charge_energies", "false of a model with a cutoff", given.member("charge_energies"));
  return found;
}

void check_keys(const JsonReader &values, bool indexed)
{
  std::vector<std::string_view> known(known_keys.begin(), known_keys.end());
  if (indexed) known.insert(known.end(), indexed_keys.begin(), indexed_keys.end());
  values.only(known, upgrade);
}

void check_units(const JsonReader &values)
{
  const JsonReader units = values.object("units");
  constexpr std::array<std::string_view, 2> keys = {"energy", "length"};
  units.only(keys, upgrade);
  if (units.text("energy") != "eV" || units.text("length") != "angstrom")
    values.expected("units", "expected eV and angstrom", values.member("units"));
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

bool Metadata::has_sample() const
{
  return std::any_of(weights.begin(), weights.end(),
                     [](const WeightEntry &one) { return one.name == "latent_sample.atoms"; });
}

Metadata parse_metadata(std::string_view text, const std::string &path)
{
  const Json json = parse_json({reinterpret_cast<const unsigned char *>(text.data()), text.size()}, path, "transip.json");
  const JsonReader values(json, path + ": its transip.json");
  const Json &format = values.member("format");
  if (!is_integer(format, first_format, last_format))
    throw Error(path + " has model format " + printable(format.dump(-1, ' ', true)) + "; this version of transip-md reads formats " +
                std::to_string(first_format) + " and " + std::to_string(last_format) +
                ". Export the checkpoint again with this version, or type `pip install --upgrade transip-md` and "
                "`transip-md build`.");
  Metadata metadata;
  metadata.format = format.get<int>();
  const bool indexed = metadata.format >= indexed_format;
  check_keys(values, indexed);
  metadata.species = species_of(values);
  metadata.cutoff = length_or_null(values, "cutoff", 0.0, longest_cutoff);
  metadata.interaction_range = length_or_null(values, "interaction_range", 0.0, longest_range);
  if (metadata.cutoff.has_value() != metadata.interaction_range.has_value() ||
      (metadata.cutoff && *metadata.interaction_range < *metadata.cutoff))
    values.expected("interaction_range", "null beside a cutoff of null, else the cutoff or more",
                    values.member("interaction_range"));
  metadata.dtype = values.text("dtype");
  if (metadata.dtype != "float32" && metadata.dtype != "float64")
    values.expected("dtype", "float32 or float64", values.member("dtype"));
  check_units(values);
  metadata.conservative = values.boolean("conservative");
  metadata.charge = range(values, "charge", -largest_charge, largest_charge);
  metadata.multiplicity = range(values, "multiplicity", 1, largest_multiplicity);
  metadata.symmetry = symmetry_of(values);
  metadata.architecture = architecture_of(values, indexed);

  const JsonReader training = values.object("training");
  metadata.training_data = text_or_empty(training, "data");
  metadata.level_of_theory = text_or_empty(training, "level_of_theory");
  if (training.has("closest_pair") && training.member("closest_pair").is_number())
    metadata.closest_pair = training.member("closest_pair").get<double>();
  if (!values.member("certificate").is_null()) {
    metadata.certificate = text_or_empty(values.object("certificate"), "summary");
    if (metadata.certificate.empty()) metadata.certificate = "(a certificate without a summary)";
  }
  const JsonReader made_with = values.object("made_with");
  for (const auto &item : made_with.value().items())
    if (!item.value().is_string()) made_with.expected(item.key(), "text", item.value());
  metadata.torch = text_or_empty(made_with, "torch");
  metadata.cpu_capability = text_or_empty(made_with, "cpu_capability");
  if (made_with.has("device")) metadata.compiled_device = text_or_empty(made_with, "device");
  metadata.source_sha256 = values.text("source_sha256");
  if (indexed)
    for (const auto &item : values.object("weights").value().items())
      metadata.weights.push_back(weight_of(item.key(), item.value(), path));
  return metadata;
}

}  // namespace transip
