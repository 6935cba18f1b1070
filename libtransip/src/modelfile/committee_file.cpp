#include "committee_file.h"

#include "layout.h"
#include "strict_json.h"
#include "transip/error.h"
#include "transip/model.h"
#include "transip/sha256.h"

#include <array>
#include <charconv>
#include <filesystem>
#include <utility>
#include <vector>

namespace transip {

namespace {

constexpr int committee_format = 1;
constexpr std::size_t most_models = 64;

struct Member {
  std::string entry, sha256;
};

/// Path of the file and number of the model in it, 0 if none is named.
std::pair<std::string, std::size_t> split(const std::string &path)
{
  std::error_code problem;
  const std::size_t mark = path.rfind('#');
  if (mark == std::string::npos || std::filesystem::exists(path, problem)) return {path, 0};
  std::size_t number = 0;
  const char *end = path.data() + path.size();
  const auto [stop, fault] = std::from_chars(path.data() + mark + 1, end, number);
  if (fault != std::errc() || stop != end || number == 0) return {path, 0};
  return {path.substr(0, mark), number};
}

/// Models of a committee's file; none of a file that is no committee's.
std::vector<Member> members_of(const Archive &archive)
{
  const Archive::Entry *entry = archive.find(committee_record);
  if (!entry) return {};
  const std::string &path = archive.path();
  const Json json = parse_json(archive.contents(*entry), path, "committee.json");
  const JsonReader values(json, path + ": its committee.json");
  constexpr std::array<std::string_view, 2> keys = {"format", "models"};
  constexpr std::array<std::string_view, 2> member_keys = {"entry", "sha256"};
  const char *upgrade = "Type `pip install --upgrade transip-md` and `transip-md build`.";
  values.only(keys, upgrade);
  values.integer("format", committee_format, committee_format);
  std::vector<Member> members;
  for (const Json &one : values.array("models", most_models)) {
    const JsonReader member(one, values.where());
    member.only(member_keys, upgrade);
    members.push_back({member.text("entry"), member.text("sha256")});
  }
  if (members.empty()) values.expected("models", "one or more", values.member("models"));
  return members;
}

}  // namespace

std::vector<std::string> models_in(const std::string &path)
{
  const auto [file, number] = split(path);
  const std::size_t count = number ? 0 : members_of(Archive(file)).size();
  if (count == 0) return {path};
  std::vector<std::string> names;
  for (std::size_t k = 1; k <= count; k++) names.push_back(file + "#" + std::to_string(k));
  return names;
}

Archive open_model(const std::string &path)
{
  const auto [file, number] = split(path);
  Archive archive(file);
  const std::vector<Member> members = members_of(archive);
  if (members.empty() && number == 0) return archive;
  if (number > members.size())
    throw Error(file + " holds " + std::to_string(members.size()) + " models of a committee; got " + path + ".");
  const Member &member = members[number ? number - 1 : 0];
  const Archive::Entry *entry = archive.find(member.entry);
  if (!entry || entry->compressed) throw_damaged(file, "the model " + member.entry);
  const auto bytes = archive.bytes().subspan(entry->offset, entry->stored);
  if (sha256(bytes) != member.sha256) throw_damaged(file, "the model " + member.entry);
  return Archive(std::vector<unsigned char>(bytes.begin(), bytes.end()), path);
}

}  // namespace transip
