"""Pieces of Markdown that the generated pages share."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any, Literal, Union, get_args, get_origin


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; bars and line breaks within cells are escaped."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def type_name(kind: Any) -> str:
    """What a value of a type looks like to a user: `float`, `FILE`, `auto or cpu`, `list of path`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f"`{item}`" for item in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if item is types.NoneType else type_name(item) for item in arguments)
    if origin in (list, tuple):
        inner = [item for item in arguments if item is not Ellipsis]
        return "list of " + " and ".join(dict.fromkeys(type_name(item) for item in inner))
    if origin is dict:
        return f"mapping of {type_name(arguments[0])} to {type_name(arguments[1])}"
    names = {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "Path": "path", "Any": "any"}
    name = getattr(kind, "__name__", str(kind))
    return names.get(name, f"`{name}`")
