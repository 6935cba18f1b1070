"""Page of the commands, from the declarations that make their --help."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from docs_site.tables import table, type_name

HEAD = """# Commands

`transip-md COMMAND --help` prints the same. Exit codes: 0 pass, 1 a check failed, 2 usage, 3 environment.
"""


def page() -> str:
    """Markdown of all commands in the order of the program."""
    from transip_md.cli.main import app

    parts = [HEAD, _command("", app.registered_callback.callback)]
    for command in app.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        parts.append(_command(name, command.callback))
    return "\n".join(parts)


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[str, Any, ArgumentInfo | OptionInfo, Any]]:
    """Name, type, declaration and default of each parameter."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints[name]
        if get_origin(hint) is Annotated:
            kind, *rest = get_args(hint)
            info = next(item for item in rest if isinstance(item, (ArgumentInfo, OptionInfo)))
        else:
            kind, info = hint, parameter.default
        if get_origin(kind) in (Union, types.UnionType):
            kind = Union[tuple(item for item in get_args(kind) if item is not types.NoneType)]  # noqa: UP007
        yield name, kind, info, parameter.default


def _command(name: str, function: Callable[..., Any]) -> str:
    arguments, options, usage = [], [], [f"transip-md {name}".strip()]
    for parameter, kind, info, default in _parameters(function):
        required = default is inspect.Parameter.empty or default is ...
        several = get_origin(kind) in (list, tuple)
        help_text = info.help or ""
        if isinstance(info, ArgumentInfo):
            shown = (info.metavar or parameter).upper() + ("..." if several else "")
            usage.append(shown if required else f"[{shown}]")
            arguments.append([f"`{shown}`", help_text])
            continue
        # In an annotation the first name of an option stands where its default would be.
        named = [name for name in (info.default, *(info.param_decls or ())) if str(name).startswith("-")]
        flags = named or [f"--{parameter.replace('_', '-')}"]
        if required:
            usage.append(f"{flags[0]} {(info.metavar or parameter).upper()}")
        words = ", ".join(f"`{flag}`" for flag in flags)
        what = "flag" if kind is bool else type_name(kind)
        shown = "required" if required else _default(default, info)
        options.append([words, f"{help_text} *({', '.join(item for item in (what, shown) if item)})*"])
    summary = inspect.cleandoc(function.__doc__ or "").split("\n\nArgs:")[0]
    text = [f"## {name or 'Options before a command'}\n", f"{summary}\n"]
    if name:
        text.append("```text\n" + " ".join(usage) + (" [OPTIONS]" if options else "") + "\n```\n")
    if arguments:
        text.append(table(["argument", "is"], arguments))
    if options:
        text.append(table(["option", "does"], options))
    return "\n".join(text)


def _default(default: Any, info: OptionInfo) -> str:
    if isinstance(info.show_default, str):
        return f"default: {info.show_default}"
    if default is None or default is False or default in ([], ()):
        return ""
    if isinstance(default, (list, tuple)):
        return "default " + ", ".join(f"`{item}`" for item in default)
    return f"default `{default}`"
