#include "transip/text.h"

#include <cstdint>
#include <utility>

namespace transip {

namespace {

/// Code points U+2028 and U+2029 break lines, the others reorder what stands beside them (Unicode, UAX #9).
bool steers_lines(std::uint32_t code)
{
  return code == 0x061c || (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069);
}

/// Bytes of the character that begins a text and its code point; 0 bytes if there is no character (RFC 3629).
std::pair<std::size_t, std::uint32_t> first_character(std::string_view text)
{
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf8 ? 4 : 0;
  if (length == 0 || length > text.size()) return {0, 0};
  std::uint32_t code = length == 1 ? lead : lead & (0xffu >> (length + 1));
  for (std::size_t k = 1; k < length; k++) {
    const auto byte = static_cast<unsigned char>(text[k]);
    if ((byte & 0xc0u) != 0x80u) return {0, 0};
    code = code << 6 | (byte & 0x3fu);
  }
  constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < least[length] || code > 0x10ffff || surrogate) return {0, 0};
  return {length, code};
}

}  // namespace

std::string printable(std::string_view text)
{
  std::string shown;
  while (!text.empty()) {
    const auto [length, code] = first_character(text);
    if (length == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0) || steers_lines(code))
      shown += '?';
    else
      shown += text.substr(0, length);
    text.remove_prefix(length ? length : 1);
  }
  return shown;
}

}  // namespace transip
