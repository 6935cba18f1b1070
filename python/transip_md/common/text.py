"""Text that comes from files and paths, made safe for terminals and logs."""

from __future__ import annotations

import unicodedata

#: Unicode categories of characters that steer a terminal or cannot be written: controls (escape sequences, line feeds),
#: invisible formatting (changes of direction), line and paragraph separators, lone surrogates (undecodable paths).
UNPRINTABLE = ("Cc", "Cf", "Zl", "Zp", "Cs")


def one_line(text: object) -> str:
    """The text with U+FFFD for every character that could end a line, steer a terminal or not be written."""
    return "".join("\ufffd" if unicodedata.category(letter) in UNPRINTABLE else letter for letter in str(text))


def indented(text: object) -> str:
    """Lines of text, each made safe by `one_line`, all but the first indented: none can pass for a line of its own."""
    return "\n  ".join(one_line(line) for line in str(text).split("\n"))
