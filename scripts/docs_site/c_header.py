"""Page of the C library: the comments and declarations of transip.h."""

from __future__ import annotations

import re
from pathlib import Path

HEAD = """# C library

`transip.h`, declaration by declaration. How to build, link and call it: [Library](../library.md#c-c-and-what-calls-c).
"""

#: Names that a declaration introduces.
NAMES = re.compile(r"^typedef \w+ (\w+)|^#define (TRANSIP_INTERFACE)|\b(transip_\w+)\(", flags=re.MULTILINE)


def page(header: Path) -> str:
    """Markdown of a header whose declarations stand in paragraphs, each below its comment."""
    opening, _, rest = header.read_text().partition(" */\n")
    parts = [HEAD, f"```text\n{_plain(opening)}\n```\n"]
    for paragraph in rest.split("\n\n"):
        comment, code = _split(paragraph.strip())
        names = dict.fromkeys(name for found in NAMES.findall(code) for name in found if name)
        if names:
            parts.append(f"## {', '.join(f'`{name}`' for name in names)}\n")
            parts.append(f"{comment}\n\n```c\n{code}\n```\n".lstrip())
    return "\n".join(parts)


def _split(paragraph: str) -> tuple[str, str]:
    """Comment, without its stars, and code of a paragraph."""
    if not paragraph.startswith("/*"):
        return "", paragraph
    comment, _, code = paragraph.partition("*/\n")
    return _plain(comment), code.strip()


def _plain(comment: str) -> str:
    """A comment without the signs that mark it."""
    lines = comment.removeprefix("/*").strip().splitlines()
    return "\n".join(re.sub(r"^ ?\* ?", "", line) for line in lines)
