#include "transip/sha256.h"

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace transip {

namespace {

alignas(16) constexpr std::array<std::uint32_t, 64> round_constants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

using Digest = std::array<std::uint32_t, 8>;
using Compress = void (*)(Digest &hash, const unsigned char *blocks, std::size_t count);

/// Blocks of 64 bytes; the names are those of FIPS 180-4, section 6.2.2.
void compress(Digest &hash, const unsigned char *block, std::size_t count)
{
  for (; count > 0; count--, block += 64) {
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
}

#if defined(__x86_64__)
/// The same by Intel's SHA extensions (Intel SDM, SHA256RNDS2): the state lies in two registers as ABEF and CDGH.
__attribute__((target("sha,sse4.1,ssse3"))) void compress_by_instructions(Digest &hash, const unsigned char *block,
                                                                          std::size_t count)
{
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  const auto load = [](const void *place) { return _mm_loadu_si128(static_cast<const __m128i *>(place)); };
  const __m128i badc = _mm_shuffle_epi32(load(hash.data()), 0xb1), efgh = _mm_shuffle_epi32(load(hash.data() + 4), 0x1b);
  __m128i abef = _mm_alignr_epi8(badc, efgh, 8), cdgh = _mm_blend_epi16(efgh, badc, 0xf0);
  for (; count > 0; count--, block += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    for (int i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(load(block + 16 * i), swap);
    for (int t = 0; t < 16; t++) {
      const __m128i now = w[t & 3];
      const __m128i sum = _mm_add_epi32(now, load(&round_constants[4 * static_cast<std::size_t>(t)]));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
      const __m128i last = w[(t + 3) & 3], shifted = _mm_alignr_epi8(last, w[(t + 2) & 3], 4);
      w[t & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(now, w[(t + 1) & 3]), shifted), last);
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i *>(hash.data()), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i *>(hash.data() + 4), _mm_alignr_epi8(dchg, feba, 8));
}

bool has_instructions()
{
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1) && __builtin_cpu_supports("sse4.1");
}
#endif

Compress compress_here()
{
#if defined(__x86_64__)
  if (has_instructions()) return compress_by_instructions;
#endif
  return compress;
}

}  // namespace

std::string sha256(std::span<const unsigned char> data)
{
  static const Compress blocks = compress_here();
  Digest hash = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  const std::size_t whole = data.size() / 64;
  blocks(hash, data.data(), whole);
  // Padding: a one bit, zeros, and the length in bits, so that whole blocks of 64 bytes result.
  std::vector<unsigned char> rest(data.begin() + static_cast<std::ptrdiff_t>(64 * whole), data.end());
  rest.push_back(0x80);
  rest.resize((rest.size() + 8 + 63) / 64 * 64);
  const std::uint64_t bits = 8 * std::uint64_t{data.size()};
  for (std::size_t byte = 0; byte < 8; byte++) rest[rest.size() - 1 - byte] = static_cast<unsigned char>(bits >> 8 * byte);
  blocks(hash, rest.data(), rest.size() / 64);
  std::string text;
  for (const std::uint32_t word : hash)
    for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[word >> shift & 15];
  return text;
}

}  // namespace transip
