// Changes model files at random and reads them as the engines do, with the sanitizers watching.
// Usage: fuzz_model_file SECONDS SEED FILE...   So long, and on a busy machine until there were more than 100 tries for each
// second. Each FILE is an archive to start from. LLVMFuzzerTestOneInput takes one input of libFuzzer's.
//
// A change of a byte of an archive seldom gets past its CRC-32; so the JSON in it is changed too and read by itself.

#include "modelfile/archive.h"
#include "modelfile/reference.h"
#include "transip/error.h"
#include "transip/metadata.h"
#include "modelfile/weights.h"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace {

using Bytes = std::vector<unsigned char>;

constexpr const char *metadata_record = "extra/transip.json", *reference_record = "extra/reference.json";

std::string text_of(std::span<const unsigned char> bytes)
{
  return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

/// Read everything that a file holds, as Model does before it evaluates.
void read_archive(const Bytes &bytes)
{
  const transip::Archive archive(bytes, "fuzz.pt");
  archive.check_contents();
  const transip::Archive::Entry *entry = archive.find(metadata_record);
  if (!entry) return;
  const transip::Metadata metadata = transip::parse_metadata(text_of(archive.contents(*entry)), "fuzz.pt");
  transip::check_weights(archive, metadata);
  const transip::Weights weights(archive, metadata);
  if (const transip::Archive::Entry *reference = archive.find(reference_record))
    transip::parse_reference(archive.contents(*reference), metadata, "fuzz.pt");
}

/// Errors are what a bad file is meant to end in; anything else is a finding.
template <typename Read>
bool refused(Read read)
{
  try {
    read();
  } catch (const transip::Error &problem) {
    if (std::string(problem.what()).find('\n') == std::string::npos) return true;
    std::fprintf(stderr, "an error of several lines: %s\n", problem.what());
    std::abort();
  }
  return false;
}

/// A few bytes flipped, set to what numbers and texts break at, taken out, doubled or cut off.
Bytes changed(Bytes bytes, std::mt19937_64 &random)
{
  static const std::vector<std::string> words = {"0", "-1", "1e999", "NaN", "null", "[]", "{}", "true", "\"", "9223372036854775808",
                                                 "[0,", "\\ud800", "\xff", "-0.0", "4294967295", "\"format\": 2,"};
  const auto below = [&](std::size_t n) { return n ? static_cast<std::size_t>(random() % n) : 0; };
  for (std::size_t times = 1 + below(4); times > 0 && !bytes.empty(); times--) {
    const std::size_t place = below(bytes.size()), length = 1 + below(std::min<std::size_t>(16, bytes.size() - place));
    const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(place);
    switch (below(7)) {
      case 0: bytes[place] ^= static_cast<unsigned char>(1u << below(8)); break;
      case 1: bytes[place] = static_cast<unsigned char>(random()); break;
      case 2: std::fill(at, at + static_cast<std::ptrdiff_t>(length), static_cast<unsigned char>(below(2) ? 0xff : 0)); break;
      case 3: bytes.erase(at, at + static_cast<std::ptrdiff_t>(length)); break;
      case 4: {
        const Bytes piece(at, at + static_cast<std::ptrdiff_t>(length));
        bytes.insert(at, piece.begin(), piece.end());
        break;
      }
      case 5: {
        const std::string &word = words[below(words.size())];
        bytes.insert(at, word.begin(), word.end());
        break;
      }
      default: bytes.resize(place);
    }
  }
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
  refused([&] { read_archive(Bytes(data, data + size)); });
  refused([&] { transip::parse_metadata(text_of({data, size}), "fuzz.pt"); });
  return 0;
}

#ifndef TRANSIP_LIBFUZZER
int main(int argc, char **argv)
{
  if (argc < 4) return 2;
  const double seconds = std::atof(argv[1]);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  const auto fewest = static_cast<long>(100 * seconds);
  std::mt19937_64 random(std::strtoull(argv[2], nullptr, 10));
  std::vector<Bytes> archives, metadata, references;
  std::vector<transip::Metadata> known;
  for (int i = 3; i < argc; i++) {
    std::ifstream stream(argv[i], std::ios::binary);
    archives.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    const transip::Archive archive(archives.back(), argv[i]);
    const auto contents = [&](const char *name) {
      const auto bytes = archive.contents(*archive.find(name));
      return Bytes(bytes.begin(), bytes.end());
    };
    metadata.push_back(contents(metadata_record));
    references.push_back(contents(reference_record));
    known.push_back(transip::parse_metadata(text_of(metadata.back()), argv[i]));
  }
  long tried = 0, passed = 0;
  for (; tried <= fewest || std::chrono::steady_clock::now() < end; tried++) {
    const std::size_t which = random() % archives.size();
    bool refusal = false;
    switch (random() % 4) {
      case 0: refusal = refused([&] { read_archive(changed(archives[which], random)); }); break;
      case 1:
      case 2: refusal = refused([&] { transip::parse_metadata(text_of(changed(metadata[which], random)), "fuzz.pt"); }); break;
      default:
        refusal = refused([&] { transip::parse_reference(changed(references[which], random), known[which], "fuzz.pt"); });
    }
    passed += refusal ? 0 : 1;
  }
  std::printf("%ld files and texts, %ld refused, %ld read\n", tried, tried - passed, passed);
  return tried > 0 && passed < tried ? 0 : 1;
}
#endif
