// A model file's archive: the zip format, read strictly. Internal to libtransip.
//
// Format: PKWARE's APPNOTE.TXT 6.3.10; torch.save and torch.jit.save write it with zip64 records.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace transip {

/// Whole file in memory, so that what was checked is what is used even if the file on disk changes.
class Archive {
 public:
  struct Entry {
    std::string name;           ///< without the folder that all entries of a torch archive share
    std::uint64_t offset = 0;   ///< bytes from the start of the file to the contents
    std::uint64_t stored = 0;   ///< bytes of the contents in the file
    std::uint64_t size = 0;     ///< bytes of the contents themselves
    std::uint32_t crc = 0;      ///< CRC-32 of the contents themselves
    bool compressed = false;    ///< by deflate; if not, stored = size
  };

  /// Read a file and the directory of its archive.
  ///
  /// Throws Error, naming `path`: it cannot be read, is no archive, or is one whose records contradict one another
  /// (directory against local headers, entries that overlap, two of one name, names that lead out of the archive).
  explicit Archive(const std::string &path);

  /// Archive that is in memory already; `path` is named in errors.
  Archive(std::vector<unsigned char> bytes, const std::string &path);

  /// Entry of that name; null if there is none.
  const Entry *find(std::string_view name) const;

  /// Contents of an entry that is not compressed, checked against its CRC-32. Throws Error: compressed, or damaged.
  std::span<const unsigned char> contents(const Entry &entry) const;

  /// Throws Error unless the CRC-32 of every entry that is not compressed is right.
  void check_contents() const;

  const std::vector<Entry> &entries() const { return entries_; }
  std::span<const unsigned char> bytes() const { return bytes_; }
  const std::string &path() const { return path_; }

 private:
  void read_directory();
  void check_entries();

  std::string path_;
  std::vector<unsigned char> bytes_;
  std::vector<Entry> entries_;  ///< sorted by name
};

/// CRC-32 of zip archives (ISO 3309), of one piece of data.
std::uint32_t crc32(std::span<const unsigned char> data);

/// Error for a file whose contents are not those that were written; `what` names the part.
[[noreturn]] void throw_damaged(const std::string &path, const std::string &what);

}  // namespace transip
