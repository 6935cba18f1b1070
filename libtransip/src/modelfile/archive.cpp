#include "archive.h"

#include "transip/error.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace transip {

namespace {

constexpr std::uint32_t local_signature = 0x04034b50, directory_signature = 0x02014b50, end_signature = 0x06054b50,
                        end64_signature = 0x06064b50, locator64_signature = 0x07064b50;
constexpr std::uint64_t local_size = 30, directory_size = 46, end_size = 22, end64_size = 56, locator64_size = 20;
constexpr std::uint16_t encrypted = 1, has_descriptor = 8, method_stored = 0, method_deflated = 8, zip64_field = 1;
constexpr std::uint32_t in_zip64 = 0xffffffff;
constexpr std::size_t most_entries = 100000;

[[noreturn]] void throw_no_archive(const std::string &path, const std::string &why)
{
  throw Error(path + " is not a TorchScript file (not an archive at all, or a damaged one: " + why +
              "). Expected a file made by `transip-md export`.");
}

/// Little-endian numbers at places of the file, none of which is believed before it is compared with the size.
class Bytes {
 public:
  Bytes(std::span<const unsigned char> data, const std::string &path) : data_(data), path_(path) {}

  template <typename T>
  T number(std::uint64_t offset) const
  {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); i++) value |= static_cast<T>(static_cast<T>(at(offset, sizeof(T))[i]) << 8 * i);
    return value;
  }

  const unsigned char *at(std::uint64_t offset, std::uint64_t size) const
  {
    if (offset > data_.size() || size > data_.size() - offset) throw_no_archive(path_, "a record ends behind the file");
    return data_.data() + offset;
  }

  std::string text(std::uint64_t offset, std::uint64_t size) const
  {
    return {reinterpret_cast<const char *>(at(offset, size)), static_cast<std::size_t>(size)};
  }

 private:
  std::span<const unsigned char> data_;
  const std::string &path_;
};

struct Directory {
  std::uint64_t offset, size, entries;
};

/// The end record is the last thing in the file: a comment behind it could hide a second archive.
Directory find_directory(const Bytes &bytes, std::uint64_t size, const std::string &path)
{
  if (size < end_size) throw_no_archive(path, "it has " + std::to_string(size) + " bytes");
  const std::uint64_t end = size - end_size;
  if (bytes.number<std::uint32_t>(end) != end_signature) throw_no_archive(path, "it does not end as one");
  Directory directory{bytes.number<std::uint32_t>(end + 16), bytes.number<std::uint32_t>(end + 12),
                      bytes.number<std::uint16_t>(end + 10)};
  std::uint64_t behind = end;
  if (end >= locator64_size && bytes.number<std::uint32_t>(end - locator64_size) == locator64_signature) {
    const auto place = bytes.number<std::uint64_t>(end - locator64_size + 8);
    if (place > size || bytes.number<std::uint32_t>(place) != end64_signature)
      throw_no_archive(path, "its zip64 record is missing");
    bytes.at(place, end64_size);
    directory = {bytes.number<std::uint64_t>(place + 48), bytes.number<std::uint64_t>(place + 40),
                 bytes.number<std::uint64_t>(place + 32)};
    behind = place;
  }
  if (directory.entries > most_entries)
    throw_no_archive(path, "it claims " + std::to_string(directory.entries) + " entries");
  bytes.at(directory.offset, directory.size);
  if (directory.offset + directory.size != behind) throw_no_archive(path, "it holds more than one archive");
  return directory;
}

/// Sizes and offset that do not fit into 32 bits stand in an extra field, in this order.
void read_zip64(const Bytes &bytes, std::uint64_t extra, std::uint64_t extra_size, Archive::Entry &entry,
                std::uint64_t &header, const std::string &path)
{
  const std::uint64_t end = extra + extra_size;
  while (extra + 4 <= end) {
    const auto kind = bytes.number<std::uint16_t>(extra);
    const auto length = bytes.number<std::uint16_t>(extra + 2);
    extra += 4;
    if (extra + length > end) break;
    if (kind == zip64_field) {
      const std::uint64_t field_end = extra + length;
      for (std::uint64_t *value : {&entry.size, &entry.stored, &header}) {
        if (*value != in_zip64) continue;
        if (extra + 8 > field_end) throw_no_archive(path, "a zip64 field is too short");
        *value = bytes.number<std::uint64_t>(extra);
        extra += 8;
      }
      return;
    }
    extra += length;
  }
}

/// Names stay below the folder that loaders unpack them into.
bool harmless(std::string_view name)
{
  if (name.empty() || name.front() == '/') return false;
  for (const char c : name)
    if (static_cast<unsigned char>(c) < 0x20 || c == '\\' || c == 0x7f) return false;
  for (std::size_t start = 0; start <= name.size();) {
    const std::size_t end = std::min(name.find('/', start), name.size());
    const std::string_view part = name.substr(start, end - start);
    if (part == ".." || part == ".") return false;
    start = end + 1;
  }
  return true;
}

}  // namespace

void throw_damaged(const std::string &path, const std::string &what)
{
  throw Error(path + " is damaged: " + what + " is not what was written when the model was exported. Copy the file " +
              "again, or export the model again.");
}

Archive::Archive(const std::string &path) : path_(path)
{
  // Not std::filesystem's exceptions: they would leave as other types than Error.
  std::error_code problem;
  if (!std::filesystem::is_regular_file(path, problem))
    throw Error("No such model file: " + path + ". Make one with `transip-md export NAME -o model.pt`.");
  std::ifstream stream(path, std::ios::binary);
  const std::uintmax_t size = std::filesystem::file_size(path, problem);
  if (!stream || problem) throw Error("Cannot read the model file " + path + ". Look at its permissions.");
  bytes_.resize(size);
  stream.read(reinterpret_cast<char *>(bytes_.data()), static_cast<std::streamsize>(size));
  if (static_cast<std::uintmax_t>(stream.gcount()) != size)
    throw Error("Cannot read the model file " + path + ": it ended while it was read.");
  read_directory();
  check_entries();
}

Archive::Archive(std::vector<unsigned char> bytes, const std::string &path) : path_(path), bytes_(std::move(bytes))
{
  read_directory();
  check_entries();
}

void Archive::read_directory()
{
  const Bytes bytes(bytes_, path_);
  const Directory directory = find_directory(bytes, bytes_.size(), path_);
  const std::uint64_t end = directory.offset + directory.size;
  std::uint64_t place = directory.offset;
  std::string folder;
  for (std::uint64_t i = 0; i < directory.entries; i++) {
    if (place + directory_size > end || bytes.number<std::uint32_t>(place) != directory_signature)
      throw_no_archive(path_, "its directory is broken");
    const auto flags = bytes.number<std::uint16_t>(place + 8), method = bytes.number<std::uint16_t>(place + 10);
    Entry entry;
    entry.crc = bytes.number<std::uint32_t>(place + 16);
    entry.stored = bytes.number<std::uint32_t>(place + 20);
    entry.size = bytes.number<std::uint32_t>(place + 24);
    const auto name_size = bytes.number<std::uint16_t>(place + 28), extra_size = bytes.number<std::uint16_t>(place + 30),
               comment_size = bytes.number<std::uint16_t>(place + 32);
    std::uint64_t header = bytes.number<std::uint32_t>(place + 42);
    const std::string name = bytes.text(place + directory_size, name_size);
    read_zip64(bytes, place + directory_size + name_size, extra_size, entry, header, path_);
    place += directory_size + name_size + extra_size + comment_size;

    if (flags & encrypted || (method != method_stored && method != method_deflated))
      throw_no_archive(path_, "an entry is encrypted or compressed in a way that torch does not use");
    entry.compressed = method == method_deflated;
    if (!entry.compressed && entry.stored != entry.size) throw_no_archive(path_, "an entry's sizes contradict one another");
    if (!harmless(name)) throw_no_archive(path_, "the name of an entry leads out of the archive");
    const std::string top = name.substr(0, name.find('/'));
    if (i == 0) folder = top;
    if (top != folder || top.size() == name.size()) throw_no_archive(path_, "its entries are not all in one folder");
    entry.name = name.substr(top.size() + 1);

    // The local header repeats the directory's; readers differ in which of the two they believe.
    const auto local_flags = bytes.number<std::uint16_t>(header + 6);
    const auto local_crc = bytes.number<std::uint32_t>(header + 14);
    if (bytes.number<std::uint32_t>(header) != local_signature || bytes.number<std::uint16_t>(header + 8) != method ||
        bytes.number<std::uint16_t>(header + 26) != name_size || bytes.text(header + local_size, name_size) != name ||
        (!(local_flags & has_descriptor) && local_crc != entry.crc))
      throw_no_archive(path_, "its directory contradicts its contents");
    entry.offset = header + local_size + name_size + bytes.number<std::uint16_t>(header + 28);
    bytes.at(entry.offset, entry.stored);
    entries_.push_back(std::move(entry));
  }
  if (place != end) throw_no_archive(path_, "its directory is broken");
}

void Archive::check_entries()
{
  std::sort(entries_.begin(), entries_.end(), [](const Entry &a, const Entry &b) { return a.offset < b.offset; });
  if (entries_.empty()) throw_no_archive(path_, "it is empty");
  for (std::size_t i = 1; i < entries_.size(); i++)
    if (entries_[i - 1].offset + entries_[i - 1].stored > entries_[i].offset)
      throw_no_archive(path_, "two entries overlap");
  std::sort(entries_.begin(), entries_.end(), [](const Entry &a, const Entry &b) { return a.name < b.name; });
  for (std::size_t i = 1; i < entries_.size(); i++)
    if (entries_[i - 1].name == entries_[i].name) throw_no_archive(path_, "two entries have one name");
}

const Archive::Entry *Archive::find(std::string_view name) const
{
  const auto found = std::lower_bound(entries_.begin(), entries_.end(), name,
                                      [](const Entry &entry, std::string_view wanted) { return entry.name < wanted; });
  return found != entries_.end() && found->name == name ? &*found : nullptr;
}

std::span<const unsigned char> Archive::contents(const Entry &entry) const
{
  if (entry.compressed) throw_no_archive(path_, entry.name + " is compressed");
  const auto data = bytes().subspan(entry.offset, entry.stored);
  if (crc32(data) != entry.crc) throw_damaged(path_, entry.name);
  return data;
}

void Archive::check_contents() const
{
  for (const Entry &entry : entries_)
    if (!entry.compressed) contents(entry);
}

std::uint32_t crc32(std::span<const unsigned char> data)
{
  // Tables for eight bytes at a time ("slicing by 8", Kounavis & Berry, 2005): a model's weights take a millisecond.
  static const auto tables = [] {
    std::array<std::array<std::uint32_t, 256>, 8> made{};
    for (std::uint32_t byte = 0; byte < 256; byte++) {
      std::uint32_t value = byte;
      for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0u);
      made[0][byte] = value;
    }
    for (std::size_t table = 1; table < 8; table++)
      for (std::size_t byte = 0; byte < 256; byte++)
        made[table][byte] = made[table - 1][byte] >> 8 ^ made[0][made[table - 1][byte] & 255];
    return made;
  }();
  std::uint32_t crc = 0xffffffff;
  std::size_t i = 0;
  for (; i + 8 <= data.size(); i += 8) {
    const unsigned char *p = &data[i];
    const std::uint32_t low = crc ^ (p[0] | p[1] << 8 | p[2] << 16 | static_cast<std::uint32_t>(p[3]) << 24);
    crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^ tables[4][low >> 24] ^
          tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
  }
  for (; i < data.size(); i++) crc = crc >> 8 ^ tables[0][(crc ^ data[i]) & 255];
  return ~crc;
}

}  // namespace transip
