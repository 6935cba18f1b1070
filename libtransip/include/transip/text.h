// Text that comes from outside, made fit for a log.
#pragma once

#include <string>
#include <string_view>

namespace transip {

/// Text in UTF-8 with `?` for every byte that is none, every control character and every character that reorders or breaks
/// lines: line feeds, escape sequences, bidirectional overrides. What a file states cannot look like a line of the program's own.
std::string printable(std::string_view text);

}  // namespace transip
