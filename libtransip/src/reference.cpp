#include "reference.h"

#include "transip/error.h"

#include <nlohmann/json.hpp>

namespace transip {

Reference parse_reference(std::string_view text, const std::string &path)
{
  try {
    const auto values = nlohmann::json::parse(text);
    Reference reference;
    values.at("species").get_to(reference.species);
    values.at("owner").get_to(reference.owner);
    values.at("neighbours").get_to(reference.neighbours);
    values.at("positions").get_to(reference.positions);
    values.at("charge").get_to(reference.charge);
    values.at("multiplicity").get_to(reference.multiplicity);
    values.at("energy").get_to(reference.energy);
    values.at("forces").get_to(reference.forces);
    return reference;
  } catch (const nlohmann::json::exception &problem) {
    throw Error(path + ": its reference.json cannot be used: " + problem.what());
  }
}

}  // namespace transip
