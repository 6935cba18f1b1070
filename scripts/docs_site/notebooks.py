"""Notebooks of the tutorials, made of their Markdown: the text stands once, in docs/tutorials.

Blocks of shell become cells of bash, blocks with a title cells that write the file; all else stays text.
"""

from __future__ import annotations

import json
import re
from typing import Any

#: A fenced block of a tutorial, with its language and the file that it is, if any.
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```\n?', flags=re.DOTALL | re.MULTILINE)

#: Cells before the tutorial's own: what they stand for is in docs/tutorials/index.md.
NOTE = (
    "*The tutorial of this name as a notebook. It wants an empty folder, `transip-md build` done, and the checkout of "
    "transip-md in `TRANSIP`.*"
)
SET_UP = """import os
import sys
from pathlib import Path

os.environ.setdefault("TRANSIP", str(Path.home() / "transip-md"))
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""


def blocks(text: str) -> list[tuple[str, str, str]]:
    """Language, title and contents of each fenced block of a tutorial."""
    return BLOCK.findall(text)


def notebook(text: str) -> dict[str, Any]:
    """The notebook of a tutorial, format 4.5, without output.

    Args:
        text: Markdown of the tutorial, its links as they shall be.
    """
    cells: list[dict[str, Any]] = []

    def add(kind: str, source: str) -> None:
        cell = {"cell_type": kind, "id": f"cell-{len(cells)}", "metadata": {}, "source": source.strip("\n")}
        cells.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))

    def add_text(part: str) -> None:
        if part.strip():
            add("markdown", part)

    title, _, rest = text.partition("\n")
    add_text(f"{title}\n\n{NOTE}")
    add("code", SET_UP)
    pending, end = "", 0
    for match in BLOCK.finditer(rest):
        language, file, contents = match.groups()
        pending += rest[end : match.start()]
        end = match.end()
        if file or language == "sh":
            add_text(pending)
            pending = ""
            add("code", f"%%writefile {file}\n{contents}" if file else f"%%bash\nset -euxo pipefail\n{contents}")
        else:
            pending += match[0]
    add_text(pending + rest[end:])
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def as_text(text: str) -> str:
    """The notebook of a tutorial as the text of a file."""
    return json.dumps(notebook(text), indent=1, ensure_ascii=False) + "\n"
