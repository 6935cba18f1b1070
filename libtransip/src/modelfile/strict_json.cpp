#include "strict_json.h"

#include "transip/error.h"
#include "transip/text.h"

#include <set>
#include <vector>

namespace transip {

namespace {

constexpr int most_depth = 32;
constexpr std::size_t longest_shown = 60;

std::string shown(const Json &value)
{
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > longest_shown) text = text.substr(0, longest_shown) + "...";
  return printable(text);
}

}  // namespace

Json parse_json(std::span<const unsigned char> bytes, const std::string &path, const char *name)
{
  const std::string where = path + ": its " + name;
  if (bytes.size() > most_json)
    throw Error(where + " has " + std::to_string(bytes.size()) + " bytes; expected at most " +
                std::to_string(most_json) + ".");
  const std::string_view text(reinterpret_cast<const char *>(bytes.data()), bytes.size());
  // The parser would take a NUL for the end of the text, and skip a byte order mark.
  if (text.find('\0') != std::string_view::npos || text.starts_with("\xef\xbb\xbf"))
    throw Error(where + " is not JSON in UTF-8: it has a NUL character or a byte order mark.");
  std::vector<std::set<std::string>> keys;
  std::string problem;
  const Json::parser_callback_t watch = [&](int depth, Json::parse_event_t event, Json &value) {
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
      if (depth >= most_depth) throw Error(where + " is nested more than " + std::to_string(most_depth) + " deep.");
      keys.resize(static_cast<std::size_t>(depth) + 1);
      keys.back().clear();
    } else if (event == Json::parse_event_t::key) {
      if (!keys.at(static_cast<std::size_t>(depth) - 1).insert(value.get<std::string>()).second)
        throw Error(where + " has the key " + shown(value) + " twice in one object.");
    }
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const Json::exception &error) {
    throw Error(where + " is not JSON in UTF-8: " + printable(error.what()));
  }
}

JsonReader::JsonReader(const Json &object, std::string where) : object_(object), where_(std::move(where))
{
  if (!object.is_object()) throw Error(where_ + " cannot be used: expected an object, got " + shown(object) + ".");
}

void JsonReader::expected(const std::string &key, const std::string &what, const Json &found) const
{
  throw Error(where_ + " cannot be used: " + key + ": expected " + what + ", got " + shown(found) + ".");
}

const Json &JsonReader::member(const char *key) const
{
  const auto found = object_.find(key);
  if (found == object_.end()) throw Error(where_ + " cannot be used: " + key + " is missing.");
  return *found;
}

bool JsonReader::boolean(const char *key) const
{
  const Json &value = member(key);
  if (!value.is_boolean()) expected(key, "true or false", value);
  return value.get<bool>();
}

std::string JsonReader::text(const char *key) const
{
  const Json &value = member(key);
  if (!value.is_string()) expected(key, "text", value);
  return value.get<std::string>();
}

int JsonReader::integer(const char *key, int lowest, int highest) const
{
  const Json &value = member(key);
  if (!is_integer(value, lowest, highest))
    expected(key, "an integer from " + std::to_string(lowest) + " to " + std::to_string(highest), value);
  return value.get<int>();
}

double JsonReader::number(const char *key, double above, double highest) const
{
  const Json &value = member(key);
  const auto bound = [](double limit) { return Json(limit).dump(); };
  if (!value.is_number() || !(value.get<double>() > above && value.get<double>() <= highest))
    expected(key, "a number above " + bound(above) + " and up to " + bound(highest), value);
  return value.get<double>();
}

JsonReader JsonReader::object(const char *key) const
{
  const Json &value = member(key);
  if (!value.is_object()) expected(key, "an object", value);
  return {value, where_};
}

const Json &JsonReader::array(const char *key, std::size_t most) const
{
  const Json &value = member(key);
  if (!value.is_array() || value.size() > most)
    expected(key, most == std::numeric_limits<std::size_t>::max() ? "a list" : "a list of at most " + std::to_string(most),
             value);
  return value;
}

void JsonReader::only(std::span<const std::string_view> known, const std::string &otherwise) const
{
  for (const auto &item : object_.items())
    if (std::find(known.begin(), known.end(), item.key()) == known.end())
      throw Error(where_ + " has a key that this version does not know: " + printable(item.key()) + ". " + otherwise);
}

bool is_integer(const Json &value, std::int64_t lowest, std::int64_t highest)
{
  if (value.is_number_unsigned())
    return value.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) &&
           value.get<std::int64_t>() >= lowest && value.get<std::int64_t>() <= highest;
  return value.is_number_integer() && value.get<std::int64_t>() >= lowest && value.get<std::int64_t>() <= highest;
}

}  // namespace transip
