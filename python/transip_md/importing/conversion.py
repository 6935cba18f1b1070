"""A foreign state dict becomes a checkpoint: every key and every weight is accounted for, or nothing is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import transip_md
from transip_md.common.errors import CheckFailedError, UsageError
from transip_md.importing.foreign_files import ForeignFile, describe_value
from transip_md.importing.table import PART, Fill, Rule, Table
from transip_md.model.checkpoint import load_checkpoint, save_checkpoint
from transip_md.model.config import ModelConfig
from transip_md.model.network import TransIP


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        state_dict: keys that led to the state dict in the source.
        weights: number of tensors of the model, all compared with the file that was written.
        rounded: weights that lost digits, each with the largest change of a number.
    """

    state_dict: str
    weights: int
    rounded: dict[str, float]


@dataclass(frozen=True)
class _Piece:
    """A key of the source, on its way to one of our weights."""

    key: str
    value: Any
    number: int  # of the rule, counted from 1
    rule: Rule
    part: str | None


@dataclass
class _Assembly:
    """Weights as far as they are made, and everything that is wrong."""

    wanted: dict[str, Tensor]
    buffers: set[str]
    weights: dict[str, Tensor] = field(default_factory=dict)
    rounded: dict[str, float] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def put(self, name: str, origin: str, make: Callable[[], tuple[Tensor, torch.dtype]]) -> None:
        """Give the weight `name` the tensor that `make` returns, with the dtype that its digits came in."""
        self.claimed.add(name)
        wanted = self.wanted[name]
        try:
            made, source_dtype = make()
            if made.shape != wanted.shape:
                raise ValueError(f"shape {list(made.shape)} from {origin}; expected {list(wanted.shape)}")
            weight = made.to(wanted.dtype)
            if not weight.isfinite().all():
                raise ValueError(f"numbers of {origin} are too large for {describe_value(weight)}")
        except (ValueError, RuntimeError, IndexError) as error:  # torch raises all three where shapes do not fit
            self.problems.append(f"{name}: {error}")
            return
        self.weights[name] = weight
        fewer_digits = torch.finfo(source_dtype).eps < torch.finfo(weight.dtype).eps
        change = float((weight.double() - made.double()).abs().max())
        if fewer_digits and change:
            self.rounded[name] = change


def assemble(entries: Mapping[str, Any], table: Table, model: TransIP) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Make the weights of a model out of a foreign state dict.

    Args:
        entries: keys and values of the foreign state dict.
        table: which key becomes which weight.
        model: the network, for names, shapes and dtypes.

    Returns:
        A state dict for `model`, and the weights that lost digits, each with the largest change of a number.

    Raises:
        UsageError: keys left over, weights missing, shapes that differ, weights claimed twice, rules that match
            nothing, numbers that are not finite; all that is wrong at once.
    """
    assembly = _Assembly(model.state_dict(), {name for name, _ in model.named_buffers()})
    for name, pieces in _allot(entries, table.rules, assembly.problems).items():
        origin = _origin(pieces)
        if name in assembly.wanted:
            assembly.put(name, origin, partial(_join, pieces, origin, assembly.wanted[name].shape))
        else:
            assembly.problems.append(f"{name}: the model has no such weight; {origin} would become it")
    for number, fill in enumerate(table.fill, start=1):
        _fill(fill, number, assembly)
    assembly.problems += [
        f"{name}, shape {list(weight.shape)}: nothing becomes it"
        for name, weight in assembly.wanted.items()
        if name not in assembly.claimed
    ]
    if count := len(assembly.problems):
        raise UsageError(f"{count} problem{'s' * (count > 1)}:\n  - " + "\n  - ".join(assembly.problems))
    return assembly.weights, assembly.rounded


def _allot(entries: Mapping[str, Any], rules: list[Rule], problems: list[str]) -> dict[str, list[_Piece]]:
    """Give every key to the first rule that matches it; pieces by the name of the weight they go to."""
    pieces: dict[str, list[_Piece]] = {}
    used = set()
    for key, value in entries.items():
        matches = ((number, re.fullmatch(rule.pattern, key)) for number, rule in enumerate(rules, start=1))
        number, match = next(((number, match) for number, match in matches if match), (0, None))
        if match is None:
            problems.append(f"{key}, {describe_value(value)}: no rule takes it or ignores it")
            continue
        used.add(number)
        rule = rules[number - 1]
        if rule.to is not None:
            part = match[PART] if rule.concatenate else None
            pieces.setdefault(match.expand(rule.to), []).append(_Piece(key, value, number, rule, part))
    problems += [
        f"rule {number} (from: {rule.pattern}) takes no key: none matches, or earlier rules took all that do"
        for number, rule in enumerate(rules, start=1)
        if number not in used
    ]
    return pieces


def _join(pieces: list[_Piece], origin: str, shape: torch.Size) -> tuple[Tensor, torch.dtype]:
    rule = pieces[0].rule
    parts = {piece.part for piece in pieces}
    if len({piece.number for piece in pieces}) > 1 or len(parts) < len(pieces):
        raise ValueError(f"several keys become it: {origin}")
    if rule.concatenate and set(rule.concatenate.order) != parts:
        raise ValueError(f"expected the parts {', '.join(rule.concatenate.order)}, found {origin}")
    if faults := [fault for piece in pieces if (fault := _fault(piece))]:
        raise ValueError("; ".join(faults))
    tensors = {piece.part: _changed(piece.value, rule) for piece in pieces}
    if rule.concatenate:
        joined = torch.cat([tensors[part] for part in rule.concatenate.order], dim=rule.concatenate.dim)
    else:
        (joined,) = tensors.values()
    if rule.reshape and joined.numel() == shape.numel():
        joined = joined.reshape(shape)
    return joined, min((piece.value.dtype for piece in pieces), key=lambda dtype: torch.finfo(dtype).eps)


def _fault(piece: _Piece) -> str | None:
    tensor, rule = piece.value, piece.rule
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        return f"{piece.key} is {describe_value(tensor)}; expected a tensor of floating-point numbers"
    if broken := int((~tensor.double().isfinite()).sum()):
        return f"{piece.key} holds {broken} numbers that are not finite"
    if rule.transpose and tensor.ndim != 2:
        return f"{piece.key} has shape {list(tensor.shape)}; `transpose` takes matrices only"
    if rule.rows and (tensor.ndim == 0 or max(rule.rows) >= len(tensor)):
        return f"{piece.key} has shape {list(tensor.shape)}; `rows` asks for row {max(rule.rows)}, counted from 0"
    return None


def _changed(tensor: Tensor, rule: Rule) -> Tensor:
    if rule.transpose:
        tensor = tensor.T
    if rule.rows:
        tensor = tensor[list(rule.rows)]
    return tensor if rule.multiply is None else tensor.double() * rule.multiply


def _fill(fill: Fill, number: int, assembly: _Assembly) -> None:
    names = [name for name in assembly.wanted if re.fullmatch(fill.weights, name)]
    if not names:
        assembly.problems.append(f"fill {number} (weights: {fill.weights}) matches no weight of the model")
    for name in names:
        if name in assembly.claimed:
            assembly.problems.append(f"{name}: fill {number} gives it values, and so does another line of the table")
        elif fill.from_config and name not in assembly.buffers:
            assembly.problems.append(f"{name}: fill {number} has from_config, but it is a trained weight")
        else:
            assembly.put(name, f"fill {number}", partial(_filling, fill, assembly.wanted[name]))


def _filling(fill: Fill, wanted: Tensor) -> tuple[Tensor, torch.dtype]:
    if fill.value is None:
        return wanted, wanted.dtype
    value = torch.tensor(fill.value, dtype=torch.float64)
    # Digits of a table are a person's choice: to round them is not a loss.
    return (value.expand(wanted.shape) if value.ndim == 0 else value), wanted.dtype


def _origin(pieces: list[_Piece]) -> str:
    return ", ".join(f"{piece.key} {describe_value(piece.value)} (rule {piece.number})" for piece in pieces)


def import_checkpoint(source: ForeignFile, table: Table, config: ModelConfig, output: Path) -> Imported:
    """Write a checkpoint from foreign weights, read it back and compare every weight.

    That names and shapes fit does not show that both programs compute the same function of them.

    Args:
        source: the foreign file.
        table: which key becomes which weight, and what is known of the training.
        config: shape of the network.
        output: checkpoint to write.

    Returns:
        What was done.

    Raises:
        UsageError: the table does not account for every key of the source and every weight of the model.
        CheckFailedError: the file that was written holds other weights; it is removed.
    """
    state_dict = source.state_dict(table.weights_at)
    model = TransIP(config)
    try:
        weights, rounded = assemble(state_dict.entries, table, model)
    except UsageError as error:
        raise UsageError(
            f"{source.name}, state dict {state_dict}, does not become a model by this table. {error}\n"
            "See keys, shapes and dtypes with `transip-md import SOURCE --list`; how to write a table: docs/import.md."
        ) from error
    model.load_state_dict(weights)
    origin = {
        "source": source.name,
        "sha256": source.sha256,
        "weights_at": list(state_dict.path),
        "table": table.record(),
        "rounded": rounded,
        "imported_with": f"transip-md {transip_md.__version__}",
    }
    save_checkpoint(output, model, {**table.training.model_dump(), "imported": origin})
    _compare(output, weights)
    return Imported(str(state_dict), len(weights), rounded)


def _compare(output: Path, weights: dict[str, Tensor]) -> None:
    written = load_checkpoint(output).model.state_dict()
    different = [name for name in weights if name not in written or not torch.equal(written[name], weights[name])]
    if different or len(written) != len(weights):
        output.unlink()
        raise CheckFailedError(f"{output} was written, read back and differs in {', '.join(different)}; it is removed.")
