"""A file that holds the model files of a committee; the twin of libtransip's committee_file.cpp.

An archive with ``extra/committee.json``, which names the entry and the SHA-256 of each model, and with the models'
files as they are. "PATH#2" names the second model of such a file, PATH the first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from transip_md.common.errors import UsageError, validation_message
from transip_md.common.whole_files import replacing
from transip_md.modelfile.archive import FOLDER, Archive, damaged, write_archive
from transip_md.modelfile.strict_json import MOST_JSON, parse_json

COMMITTEE_NAME = "committee.json"
#: Bytes of one model's file at most.
_MOST_BYTES = 2**32
_ENTRY = f"extra/{COMMITTEE_NAME}"


class _Member(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    entry: str
    sha256: str


class _Committee(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    models: Annotated[tuple[_Member, ...], Field(min_length=1, max_length=64)]


def write_committee(files: Sequence[Path], path: Path) -> None:
    """Write model files into one file, which appears whole or not at all.

    Args:
        files: made by ``transip-md export``, TorchScript.
        path: file to write, by convention ``*.pt``.
    """
    contents = [(f"models/{number}.pt", file.read_bytes()) for number, file in enumerate(files, start=1)]
    members = tuple(_Member(entry=name, sha256=hashlib.sha256(content).hexdigest()) for name, content in contents)
    text = json.dumps(_Committee(models=members).model_dump(), indent=1).encode()
    with replacing(path) as partial, partial.open("wb") as target:
        write_archive(target, FOLDER, [(name, content, 0) for name, content in [(_ENTRY, text), *contents]])


def models_in(path: Path | str) -> list[str]:
    """Names by which the models in a file are loaded: the path itself, or "PATH#1", "PATH#2" and so on.

    Raises:
        UsageError: no such file, no archive, or a committee's file that cannot be used.
    """
    file, number = _split(path)
    with Archive(file) as archive:
        members = () if number else _members_of(archive)
    return [f"{file}#{k}" for k in range(1, len(members) + 1)] or [str(path)]


def read_model(path: Path | str) -> bytes:
    """The bytes of a model file; of a committee's file those of one model.

    Raises:
        UsageError: no such file, no archive, a committee's file that cannot be used, has no such model, or is damaged.
    """
    file, number = _split(path)
    content = Path(file).read_bytes() if Path(file).is_file() else None
    with Archive(file, content) as archive:
        assert content is not None
        members = _members_of(archive)
        if not members and not number:
            return content
        if number > len(members):
            raise UsageError(f"{file} holds {len(members)} models of a committee; got {path}.")
        member = members[max(number, 1) - 1]
        found = archive.read(member.entry, _MOST_BYTES) if member.entry in archive else b""
        if hashlib.sha256(found).hexdigest() != member.sha256:
            raise damaged(file, f"the model {member.entry}")
        return found


def _split(path: Path | str) -> tuple[str, int]:
    """Path of the file and number of the model in it, 0 if none is named."""
    file, mark, number = str(path).rpartition("#")
    if not mark or Path(path).exists() or not number.isdecimal() or int(number) == 0:
        return str(path), 0
    return file, int(number)


def _members_of(archive: Archive) -> tuple[_Member, ...]:
    """Models of a committee's file; none of a file that is no committee's."""
    if _ENTRY not in archive:
        return ()
    values = parse_json(archive.read(_ENTRY, MOST_JSON), archive.path, COMMITTEE_NAME)
    try:
        return _Committee.model_validate_json(json.dumps(values), strict=True).models
    except pydantic.ValidationError as error:
        raise UsageError(
            f"{archive.path}: its {COMMITTEE_NAME} cannot be used: {validation_message(error)}. "
            "Type `pip install --upgrade transip-md`."
        ) from error
