"""Page of the training recipe, from the fields of its pydantic models."""

from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from docs_site.tables import table, type_name

HEAD = """# Recipe

The YAML file of `transip-md train`, key by key; what the keys do to a training is shown in
[Training, data and evaluation](../training.md). Unknown keys are refused. `--set key=value`, with dots between keys,
overrides one. `transip-md train --schema` prints the same as JSON schema, for editors.
"""


def page() -> str:
    """Markdown of every section and key."""
    from transip_md.model.config import ModelConfig
    from transip_md.training.config import TrainConfig

    parts = [HEAD, *_section("", TrainConfig)]
    presets = "Beside these, `preset`: `transip-md presets` prints their names and sizes."
    parts += [
        f"## model\n\n{_first(ModelConfig)} {presets}\n",
        table(["key", "meaning"], rows("model.", ModelConfig)[0]),
    ]
    return "\n".join(parts)


def _first(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().partition("\n\n")[0]


def _section(prefix: str, model: type[BaseModel]) -> list[str]:
    lines, inner = rows(prefix, model)
    title = prefix.rstrip(".") or "Top level"
    parts = [f"## {title}\n\n{_first(model)}\n", table(["key", "meaning"], lines)]
    for key, section in inner:
        parts += _section(f"{key}.", section)
    return parts


def rows(prefix: str, model: type[BaseModel]) -> tuple[list[list[str]], list[tuple[str, type[BaseModel]]]]:
    """Rows of a table, and the sections among the fields."""
    lines, inner = [], []
    for name, field in model.model_fields.items():
        section = _as_section(field.annotation)
        if section is not None:
            inner.append((f"{prefix}{name}", section))
        value = "section" if section is not None else type_name(field.annotation)
        facts = [value + _limits(field), _default(field, section)]
        lines.append(
            [f"`{prefix}{name}`", f"{field.description or ''} *({'; '.join(item for item in facts if item)})*"]
        )
    return lines, inner


def _as_section(kind: Any) -> type[BaseModel] | None:
    """The model that a field's type names, alone or beside None."""
    choices = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return next((item for item in choices if isinstance(item, type) and issubclass(item, BaseModel)), None)


def _limits(field: FieldInfo) -> str:
    signs = {"gt": "> ", "ge": ">= ", "lt": "< ", "le": "<= "}
    shown = [
        f"{sign}{getattr(limit, name)}"
        for limit in field.metadata
        for name, sign in signs.items()
        if getattr(limit, name, None) is not None
    ]
    return f", {', '.join(shown)}" if shown else ""


def _default(field: FieldInfo, section: type[BaseModel] | None) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return "default null"
    if section is not None or field.default is PydanticUndefined:
        return ""
    shown = field.default
    if isinstance(shown, bool):
        shown = str(shown).lower()
    return f"default `{list(shown) if isinstance(shown, tuple) else shown}`"
