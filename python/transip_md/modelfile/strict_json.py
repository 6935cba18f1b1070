"""JSON as a model file may hold it, read strictly; the twin of libtransip's strict_json.cpp."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from transip_md.common.errors import UsageError

#: Bytes that a file of JSON inside a model file may have.
MOST_JSON = 2**20
MOST_DEPTH = 32


def parse_json(text: str | bytes, path: Path | str, name: str) -> Any:
    """Parse UTF-8 text of at most 1 MB and a depth of 32.

    Args:
        text: the text; neither a byte order mark nor NUL characters are taken.
        path: the model file, named in errors.
        name: the file inside it, likewise.

    Raises:
        UsageError: not such JSON, a key that stands twice in one object, NaN or infinity.
    """
    where = f"{path}: its {name}"
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if len(data) > MOST_JSON:
        raise UsageError(f"{where} has {len(data)} bytes; expected at most {MOST_JSON}.")
    if b"\0" in data or data.startswith(b"\xef\xbb\xbf"):
        raise UsageError(f"{where} is not JSON in UTF-8: it has a NUL character or a byte order mark.")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise UsageError(f"{where} has the key {json.dumps(key)} twice in one object.")
            found[key] = value
        return found

    def finite(digits: str) -> float:
        if not math.isfinite(value := float(digits)):
            raise ValueError(f"{digits} is not finite")
        return value

    try:
        values = json.loads(
            data.decode("utf-8"), object_pairs_hook=once, parse_constant=_no_constant, parse_float=finite
        )
        json.dumps(values, ensure_ascii=False).encode("utf-8")
    except UsageError:
        raise
    except RecursionError as error:
        raise UsageError(f"{where} is nested more than {MOST_DEPTH} deep.") from error
    except ValueError as error:
        raise UsageError(f"{where} is not JSON in UTF-8: {error}.") from error
    if _depth(values) > MOST_DEPTH:
        raise UsageError(f"{where} is nested more than {MOST_DEPTH} deep.")
    return values


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _depth(value: Any) -> int:
    """Number of objects and lists inside one another."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(_depth, inside), default=0)
