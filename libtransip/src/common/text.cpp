#include "transip/text.h"

#include <cstdint>

namespace transip {

namespace {

/// Code points U+2028 and U+2029 break lines, the others reorder what stands beside them (Unicode, UAX #9).
bool steers_lines(std::uint32_t code)
{
  return code == 0x061c || (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069);
}

}  // namespace

std::string printable(std::string_view text)
{
  std::string shown;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
    if (length == 0 || i + length > text.size()) {
      shown += '?';
      i++;
      continue;
    }
    std::uint32_t code = length == 1 ? lead : lead & (0xffu >> (length + 1));
    for (std::size_t k = 1; k < length; k++) code = code << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3fu);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0) || steers_lines(code))
      shown += '?';
    else
      shown += text.substr(i, length);
    i += length;
  }
  return shown;
}

}  // namespace transip
