// SHA-256 (FIPS 180-4), by the processor's own instructions where it has them.
#pragma once

#include <span>
#include <string>

namespace transip {

/// Hash of the data as 64 lower-case hexadecimal digits.
std::string sha256(std::span<const unsigned char> data);

}  // namespace transip
