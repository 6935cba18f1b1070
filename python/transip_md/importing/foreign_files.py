"""Weights of other programs: the file is fetched, hashed, read without running code, and its state dict is found."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transip_md.common.errors import EnvironmentFaultError, UsageError

HUB_PREFIX = "hf:"
#: Names under which programs keep a state dict, at every depth. Other names are looked into if these lead nowhere.
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "ema_state_dict",
    "model",
    "ema",
    "ema_model",
    "module",
    "network",
    "net",
    "weights",
    "params",
)
SUFFIXES = (".pt", ".ckpt", ".pth", ".bin", ".safetensors")


@dataclass(frozen=True)
class FoundStateDict:
    """Where a state dict lies in a file.

    Attributes:
        path: keys that lead to it from the top of the file; empty if the file is the state dict itself.
        entries: its keys and values; not every value need be a tensor.
    """

    path: tuple[str, ...]
    entries: Mapping[str, Any]

    def __str__(self) -> str:
        return f"[{', '.join(self.path)}]"


@dataclass(frozen=True)
class ForeignFile:
    """What another program wrote.

    Attributes:
        name: file name, or ``hf:OWNER/REPO/FILE``.
        sha256: hash of the file.
        content: what it holds: mappings, tensors and plain values.
    """

    name: str
    sha256: str
    content: Any

    def state_dicts(self) -> list[FoundStateDict]:
        """Every state dict under the names of ``WRAPPERS``, or if there is none, anywhere; innermost ones only."""
        return _state_dicts(self.content, (), WRAPPERS) or _state_dicts(self.content, (), None)

    def state_dict(self, path: list[str] | None) -> FoundStateDict:
        """The state dict to import.

        Args:
            path: keys that lead to it; None if the file has one only.

        Raises:
            UsageError: there is none at that path, none at all, or several and no path to choose by.
        """
        if path is not None:
            return self._place_at(path)
        state_dicts = self.state_dicts()
        if not state_dicts:
            raise UsageError(
                f"{self.name} holds no state dict: no mapping from names to tensors, at any depth. "
                f"At its top lies {_describe(self.content)}."
            )
        if len(state_dicts) > 1:
            raise UsageError(
                f"{self.name} has {len(state_dicts)} state dicts: {', '.join(map(str, state_dicts))}. "
                f"Choose one in the table, for example `weights_at: {state_dicts[0]}`."
            )
        return state_dicts[0]

    def _place_at(self, path: list[str]) -> FoundStateDict:
        content = self.content
        for depth, key in enumerate(path):
            if not isinstance(content, Mapping) or key not in content:
                raise UsageError(
                    f"{self.name}: nothing lies at weights_at {path}: no {key!r} under {path[:depth]}, "
                    f"which is {_describe(content)}."
                )
            content = content[key]
        if not _has_tensors(content):
            raise UsageError(f"{self.name}: at weights_at {path} lies no state dict but {_describe(content)}.")
        return FoundStateDict(tuple(path), content)


def _has_tensors(content: Any) -> bool:
    return _is_named(content) and any(isinstance(value, Tensor) for value in content.values())


def _is_named(content: Any) -> bool:
    return isinstance(content, Mapping) and all(isinstance(key, str) for key in content)


def _state_dicts(content: Any, path: tuple[str, ...], names: tuple[str, ...] | None) -> list[FoundStateDict]:
    if not _is_named(content):
        return []
    names_here = content if names is None else [name for name in names if name in content]
    # A wrapper may hold tensors of its own (a step counter, a decay) beside the state dict: the innermost one counts.
    inside = [state_dict for name in names_here for state_dict in _state_dicts(content[name], (*path, name), names)]
    if inside:
        return inside
    return [FoundStateDict(path, content)] if _has_tensors(content) else []


def _describe(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    held = ", ".join(f"{key} ({type(value).__name__})" for key, value in content.items())
    return f"a mapping of {held or 'nothing'}"


def describe_value(value: Any) -> str:
    """Dtype and shape of a tensor; the type of anything else."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"


def read_foreign(source: str) -> ForeignFile:
    """Read a file of weights; no code in it is run.

    Args:
        source: path of a file written by ``torch.save`` or safetensors, or ``hf:OWNER/REPO[/FILE]``.

    Returns:
        The file's content, on the CPU.

    Raises:
        UsageError: no such file, or it is not readable as weights only.
        EnvironmentFaultError: a package is missing, or the hub cannot be reached or has no such file.
    """
    if source.startswith(HUB_PREFIX):
        name, path = _download(source)
    else:
        name, path = Path(source).name, Path(source)
    if not path.is_file():
        raise UsageError(
            f"No such file: {path}. Give a file of weights ({', '.join(SUFFIXES)}) or {HUB_PREFIX}OWNER/REPO/FILE."
        )
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    with path.open("rb") as file:
        return ForeignFile(name, hashlib.file_digest(file, "sha256").hexdigest(), content)


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of another kind makes the unpickler fail in any way
        raise UsageError(
            f"{path.name} cannot be read as weights only: {_reason(error)}. "
            "transip-md never runs code out of a file. Where the program that wrote it is installed, save its bare "
            "state dict, `torch.save(model.state_dict(), 'weights.pt')`, and import that."
        ) from error


def _reason(error: Exception) -> str:
    # torch's own text advises to run the file's code.
    code = re.search(r"GLOBAL (\S+)", str(error))
    return f"it pickles an object that needs code, {code[1]}" if code else "it is damaged, or no file of torch.save"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(". ")


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise EnvironmentFaultError(
            f"{path.name} needs the package safetensors. Type `pip install 'transip-md[hub]'`."
        ) from error
    try:
        return load_file(path, device="cpu")
    except SafetensorError as error:
        raise UsageError(f"{path.name} is not a safetensors file: {_first_line(error)}.") from error


def _download(source: str) -> tuple[str, Path]:
    match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:/(.+))?", source.removeprefix(HUB_PREFIX))
    if match is None:
        raise UsageError(f"Expected {HUB_PREFIX}OWNER/REPO or {HUB_PREFIX}OWNER/REPO/FILE, got {source}.")
    try:
        from huggingface_hub import hf_hub_download, list_repo_files
    except ImportError as error:
        raise EnvironmentFaultError(
            f"{source} needs the package huggingface_hub. Type `pip install 'transip-md[hub]'`, "
            "or download the file by hand and give its path."
        ) from error
    repository, file = match.groups()
    try:
        file = file or _only_weights(repository, list_repo_files(repository))
        return f"{HUB_PREFIX}{repository}/{file}", Path(hf_hub_download(repository, file))
    except UsageError:
        raise
    except Exception as error:  # which class a missing network raises depends on the version of huggingface_hub
        raise EnvironmentFaultError(
            f"{source} could not be downloaded: {_first_line(error)}. Check the name and the network, or download the "
            f"file by hand from https://huggingface.co/{repository}/tree/main and give its path instead."
        ) from error


def _only_weights(repository: str, files: list[str]) -> str:
    weights = [file for file in files if file.endswith(SUFFIXES)]
    if len(weights) == 1:
        return weights[0]
    found = f"{len(weights)} files of weights: {', '.join(weights)}" if weights else f"none among {', '.join(files)}"
    raise UsageError(
        f"{HUB_PREFIX}{repository}: expected one file that ends in {', '.join(SUFFIXES)}, found {found}. "
        f"Name the file: {HUB_PREFIX}{repository}/FILE."
    )
