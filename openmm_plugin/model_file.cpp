#include "model_file.h"

#include "transip/error.h"

#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

namespace TransIPPlugin {

namespace {

constexpr std::array<std::uint32_t, 64> round_constants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

using Digest = std::array<std::uint32_t, 8>;

/// One block of 64 bytes; the names are those of FIPS 180-4, section 6.2.2.
void compress(Digest &hash, const unsigned char *block)
{
  std::array<std::uint32_t, 64> w{};
  for (int t = 0; t < 16; t++)
    w[t] = std::uint32_t{block[4 * t]} << 24 | std::uint32_t{block[4 * t + 1]} << 16 |
           std::uint32_t{block[4 * t + 2]} << 8 | std::uint32_t{block[4 * t + 3]};
  for (int t = 16; t < 64; t++) {
    const std::uint32_t s0 = std::rotr(w[t - 15], 7) ^ std::rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
    const std::uint32_t s1 = std::rotr(w[t - 2], 17) ^ std::rotr(w[t - 2], 19) ^ w[t - 2] >> 10;
    w[t] = s1 + w[t - 7] + s0 + w[t - 16];
  }
  auto [a, b, c, d, e, f, g, h] = hash;
  for (int t = 0; t < 64; t++) {
    const std::uint32_t sum1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
    const std::uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + round_constants[t] + w[t];
    const std::uint32_t sum0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
    const std::uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  const Digest state = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; i++) hash[i] += state[i];
}

/// Folders in which a file that has moved is looked for.
std::vector<std::filesystem::path> other_folders()
{
  std::vector<std::filesystem::path> folders;
  if (const char *named = std::getenv("TRANSIP_MD_MODELS")) {
    std::istringstream list(named);
    for (std::string folder; std::getline(list, folder, ':');)
      if (!folder.empty()) folders.emplace_back(folder);
  }
  folders.emplace_back(".");
  return folders;
}

}  // namespace

std::string sha256_of(const std::string &file)
{
  std::ifstream stream(file, std::ios::binary);
  std::vector<unsigned char> data{std::istreambuf_iterator<char>(stream), {}};
  const std::uint64_t bits = 8 * std::uint64_t{data.size()};
  // Padding: a one bit, zeros, and the length in bits, so that whole blocks of 64 bytes result.
  data.push_back(0x80);
  data.resize((data.size() + 8 + 63) / 64 * 64);
  for (int byte = 0; byte < 8; byte++) data[data.size() - 1 - byte] = static_cast<unsigned char>(bits >> 8 * byte);
  Digest hash = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  for (std::size_t start = 0; start < data.size(); start += 64) compress(hash, data.data() + start);
  std::string text;
  for (std::uint32_t word : hash)
    for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[word >> shift & 15];
  return text;
}

std::string find_model(const std::string &file, const std::string &sha256)
{
  if (sha256.empty()) return file;
  const bool there = std::filesystem::is_regular_file(file);
  if (there && sha256_of(file) == sha256) return file;
  const std::filesystem::path name = std::filesystem::path(file).filename();
  for (const std::filesystem::path &folder : other_folders()) {
    const std::string candidate = (folder / name).string();
    if (std::filesystem::is_regular_file(candidate) && sha256_of(candidate) == sha256) return candidate;
  }
  throw transip::Error(
      (there ? file + " is not the file that the force was made from: its contents have changed."
             : "No such model file: " + file + ".") +
      " A file " + name.string() + " with SHA-256 " + sha256 +
      " is not in the current folder nor in the folders of TRANSIP_MD_MODELS either. Bring the file back, name its "
      "folder in TRANSIP_MD_MODELS, or make the force anew with transip_md.openmm.create_force.");
}

}  // namespace TransIPPlugin
