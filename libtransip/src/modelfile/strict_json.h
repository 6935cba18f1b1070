// JSON as a model file may hold it, read strictly; the twin of python/transip_md/modelfile/strict_json.py.
#pragma once

#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace transip {

using Json = nlohmann::json;

/// Bytes that a file of JSON inside a model file may have.
constexpr std::size_t most_json = std::size_t{1} << 20;

/// Parse UTF-8 text of at most `most_json` bytes and a depth of 32, without a byte order mark, NUL characters or two
/// equal keys in one object. Throws Error, naming `path` and `name`.
Json parse_json(std::span<const unsigned char> text, const std::string &path, const char *name);

/// Members of JSON values; every problem is an Error that names the file, the key and what was expected.
class JsonReader {
 public:
  JsonReader(const Json &object, std::string where);

  const Json &member(const char *key) const;
  bool has(const char *key) const { return object_.contains(key); }
  bool boolean(const char *key) const;
  std::string text(const char *key) const;
  int integer(const char *key, int lowest, int highest) const;
  double number(const char *key, double above, double highest) const;
  JsonReader object(const char *key) const;
  const Json &array(const char *key, std::size_t most = std::numeric_limits<std::size_t>::max()) const;

  /// Throws Error unless every key of the object is one of these.
  void only(std::span<const std::string_view> known, const std::string &otherwise) const;

  [[noreturn]] void expected(const std::string &key, const std::string &what, const Json &found) const;

  const Json &value() const { return object_; }
  const std::string &where() const { return where_; }

 private:
  const Json &object_;
  std::string where_;  ///< "model.pt: its transip.json"
};

/// Whether a JSON value is an integer within bounds; 1.0 is none.
bool is_integer(const Json &value, std::int64_t lowest, std::int64_t highest);

}  // namespace transip
