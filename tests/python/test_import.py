"""Weights of other programs: what the table asks for comes out exactly, and nothing is left unsaid."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from transip_md.common.errors import CheckFailedError, EnvironmentFaultError, UsageError
from transip_md.importing.conversion import import_checkpoint
from transip_md.importing.foreign_files import read_foreign
from transip_md.importing.table import Table, model_config_of, read_table
from transip_md.model.checkpoint import load_checkpoint
from transip_md.model.config import ModelConfig
from transip_md.model.network import TransIP

TRAINING = {"data": "none", "level_of_theory": "none", "licence": "CC0", "description": "random numbers"}
CONFIG = ModelConfig(species=(1, 6, 8), dim=16, layers=2, heads=2, feedforward=24, charge=(-1, 1))
SAME = {"from": r"module\.same\.(.*)", "to": r"\1"}


def original() -> TransIP:
    """A model none of whose weights are zero or one, so that a weight in the wrong place shows."""
    torch.manual_seed(1)
    model = TransIP(CONFIG)
    for name, weight in model.state_dict().items():
        if name != "radial.centres":
            weight.copy_(torch.randn(weight.shape, dtype=weight.dtype) * 0.5)
    return model.eval()


def plain(model: TransIP) -> dict:
    return {f"module.same.{name}": weight for name, weight in model.state_dict().items()}


def energies(model: TransIP) -> torch.Tensor:
    species = torch.tensor([[8, 1, 6, 1, 1]])
    positions = torch.randn(1, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2.0
    with torch.no_grad():
        return model(species, positions, torch.tensor([-1]), torch.tensor([1]), None)


def saved(path: Path, content) -> str:
    torch.save(content, path)
    return str(path)


def table(*rules: dict, **others) -> Table:
    return Table.model_validate({"rules": list(rules), "training": TRAINING, **others})


def do_import(tmp_path, entries: dict, rules: Table):
    source = read_foreign(saved(tmp_path / "foreign.pt", {"state_dict": entries}))
    return import_checkpoint(source, rules, CONFIG, tmp_path / "model.ckpt")


def other_programs(model: TransIP) -> dict:
    """The model's weights as another program might keep them: other names, orders and shapes."""
    entries = {}
    for name, weight in model.state_dict().items():
        if match := re.fullmatch(r"blocks\.(\d)\.attention\.query_key_value\.(weight|bias)", name):
            for letter, part in zip("qkv", weight.chunk(3), strict=True):
                part = part.T.contiguous() if part.ndim == 2 else part.clone()
                entries[f"layers.{match[1]}.attn.{letter}_proj.{match[2]}"] = part
        elif match := re.fullmatch(r"blocks\.(\d)\.feedforward\.output\.weight", name):
            entries[f"layers.{match[1]}.down"] = weight.T.contiguous()
        elif name == "rotary.frequencies":
            entries |= {f"layers.{layer}.freqs": part.flatten().clone() for layer, part in enumerate(weight)}
        elif name == "species_embedding.weight":
            by_number = torch.randn(10, weight.shape[1])
            by_number[list(CONFIG.species)] = weight
            entries["embed_z"] = by_number
        elif name != "radial.centres":
            entries[f"same.{name}"] = weight.clone()
    entries["steps"] = torch.tensor(7)
    return {f"module.{key}": value for key, value in entries.items()}


OTHER_PROGRAMS_TABLE = table(
    {
        "from": r"module\.layers\.(\d)\.attn\.(?P<part>[qkv])_proj\.weight",
        "to": r"blocks.\1.attention.query_key_value.weight",
        "transpose": True,
        "concatenate": {"dim": 0, "order": ["q", "k", "v"]},
    },
    {
        "from": r"module\.layers\.(\d)\.attn\.(?P<part>[qkv])_proj\.bias",
        "to": r"blocks.\1.attention.query_key_value.bias",
        "concatenate": {"order": ["q", "k", "v"]},
    },
    {"from": r"module\.layers\.(\d)\.down", "to": r"blocks.\1.feedforward.output.weight", "transpose": True},
    {
        "from": r"module\.layers\.(?P<part>\d)\.freqs",
        "to": "rotary.frequencies",
        "concatenate": {"order": ["0", "1"]},
        "reshape": True,
    },
    {"from": r"module\.embed_z", "to": "species_embedding.weight", "rows": [1, 6, 8]},
    SAME,
    {"from": r"module\.steps", "ignore": True, "reason": "counts training steps"},
    fill=[{"weights": r"radial\.centres", "from_config": True, "reason": "evenly spaced"}],
)


def test_energies_are_those_of_the_original(tmp_path):
    model = original()
    path = Path(saved(tmp_path / "foreign.pt", {"epoch": 3, "state_dict": other_programs(model)}))
    done = import_checkpoint(read_foreign(str(path)), OTHER_PROGRAMS_TABLE, CONFIG, tmp_path / "model.ckpt")
    loaded = load_checkpoint(tmp_path / "model.ckpt")
    assert torch.equal(energies(loaded.model), energies(model))
    assert done.weights == len(model.state_dict()) and done.rounded == {} and done.state_dict == "[state_dict]"
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], weight), name
    imported = loaded.training["imported"]
    assert {key: loaded.training[key] for key in TRAINING} == TRAINING
    assert imported["source"] == "foreign.pt" and imported["weights_at"] == ["state_dict"]
    assert imported["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert Table.model_validate(imported["table"]) == OTHER_PROGRAMS_TABLE


def test_other_units_and_constants(tmp_path):
    entries = plain(original())
    del entries["module.same.reference_energies"], entries["module.same.energy_norm.bias"]
    entries["module.scale"] = entries.pop("module.same.energy_scale").reshape(1)
    rules = table(
        {"from": r"module\.scale", "to": "energy_scale", "multiply": 27.25, "reshape": True},
        {"from": r"module\.same\.(rotary\.frequencies)", "to": r"\1", "multiply": 0.1},
        SAME,
        fill=[
            {
                "weights": "reference_energies",
                "value": [-13.6, -1030.5, -2041.123456789012],
                "reason": "isolated atoms",
            },
            {"weights": r"energy_norm\.bias", "value": 0, "reason": "the original has none"},
        ],
    )
    done = do_import(tmp_path, entries, rules)
    assert done.rounded == {}  # a product in the precision of the source loses none of the source's digits
    weights = load_checkpoint(tmp_path / "model.ckpt").model.state_dict()
    assert weights["energy_scale"] == original().energy_scale * 27.25
    assert weights["reference_energies"].tolist() == [-13.6, -1030.5, -2041.123456789012]
    assert torch.equal(weights["energy_norm.bias"], torch.zeros(16))
    assert torch.allclose(weights["rotary.frequencies"], original().rotary.frequencies * 0.1, rtol=1e-6)


@pytest.mark.parametrize("exact", [True, False])
def test_lost_digits_are_said(tmp_path, exact):
    entries = plain(original())
    key = "module.same.energy_norm.weight"
    entries[key] = entries[key].double() + (0.0 if exact else 1e-9)
    entries["module.same.energy_head.0.bias"] = entries["module.same.energy_head.0.bias"].bfloat16()
    done = do_import(tmp_path, entries, table(SAME))
    assert list(done.rounded) == ([] if exact else ["energy_norm.weight"])
    assert load_checkpoint(tmp_path / "model.ckpt").training["imported"]["rounded"] == done.rounded
    if not exact:
        assert 1e-10 < done.rounded["energy_norm.weight"] < 1e-7


def test_digits_lost_in_one_part_are_said(tmp_path):
    entries = other_programs(original())
    entries["module.layers.1.attn.k_proj.bias"] = entries["module.layers.1.attn.k_proj.bias"].double() + 1e-9
    done = do_import(tmp_path, entries, OTHER_PROGRAMS_TABLE)
    assert list(done.rounded) == ["blocks.1.attention.query_key_value.bias"]


SPLIT = {
    "from": r"module\.(?P<part>[qkv])",
    "to": "blocks.0.attention.output.weight",
    "concatenate": {"order": ["q", "k"]},
}

REFUSALS = {
    "key left over": ({"module.more": torch.ones(2)}, [SAME], [], r"module\.more, float32 \[2\]: no rule takes it"),
    "weight missing": ({"energy_norm.bias": None}, [SAME], [], r"energy_norm\.bias, shape \[16\]: nothing becomes it"),
    "shapes differ": (
        {"energy_norm.bias": torch.ones(4)},
        [SAME],
        [],
        r"energy_norm\.bias: shape \[4\] from module\.same\.energy_norm\.bias float32 \[4\] .*; expected \[16\]",
    ),
    "sizes differ": (
        {"energy_norm.bias": torch.ones(4)},
        [{**SAME, "reshape": True}],
        [],
        r"shape \[4\] from .*; expected \[16\]",
    ),
    "two rules, one weight": (
        {"module.more": torch.ones(16)},
        [SAME, {"from": r"module\.more", "to": "energy_norm.bias"}],
        [],
        r"energy_norm\.bias: several keys become it: module\.same\.\S+ float32 \[16\] \(rule 1\), module\.more ",
    ),
    "two keys, one weight": (
        {"module.more1": torch.ones(16), "module.more2": torch.ones(16), "energy_norm.bias": None},
        [SAME, {"from": r"module\.more\d", "to": "energy_norm.bias"}],
        [],
        r"energy_norm\.bias: several keys become it: module\.more1 .*module\.more2",
    ),
    "rule without keys": ({}, [SAME, {"from": "none", "to": "x"}], [], r"rule 2 \(from: none\) takes no key"),
    "rule behind another": ({}, [SAME, {**SAME, "to": r"x\1"}], [], r"rule 2 .* takes no key"),
    "ignore without keys": ({}, [SAME, {"from": "x", "ignore": True, "reason": "-"}], [], r"rule 2 .* takes no key"),
    "weight unknown": (
        {"module.more": torch.ones(2)},
        [SAME, {"from": r"module\.(more)", "to": r"novel.\1"}],
        [],
        r"novel\.more: the model has no such weight; module\.more float32 \[2\] \(rule 2\) would become it",
    ),
    "not finite": (
        {"energy_norm.bias": torch.full((16,), float("nan"))},
        [SAME],
        [],
        r"module\.same\.energy_norm\.bias holds 16 numbers that are not finite",
    ),
    "beyond float32": (
        {"energy_norm.bias": torch.ones(16).double() * 1e300},
        [SAME],
        [],
        r"too large for float32 \[16\]",
    ),
    "integers": ({"energy_norm.bias": torch.ones(16).long()}, [SAME], [], r"is int64 \[16\]; expected a tensor of fl"),
    "no tensor": ({"energy_norm.bias": 1.0}, [SAME], [], r"energy_norm\.bias is float; expected a tensor"),
    "vector transposed": ({}, [{**SAME, "transpose": True}], [], r"has shape \[16\]; `transpose` takes matrices only"),
    "no such row": ({}, [{**SAME, "rows": [0, 99]}], [], r"has shape \[16\]; `rows` asks for row 99"),
    "part missing": (
        {"module.q": torch.ones(8, 16), "blocks.0.attention.output.weight": None},
        [SAME, SPLIT],
        [],
        r"expected the parts q, k, found module\.q float32 \[8, 16\]",
    ),
    "part too many": (
        {f"module.{part}": torch.ones(8, 16) for part in "qkv"} | {"blocks.0.attention.output.weight": None},
        [SAME, SPLIT],
        [],
        r"expected the parts q, k, found .*module\.v",
    ),
    "parts do not fit": (
        {"module.q": torch.ones(8, 16), "module.k": torch.ones(8, 9), "blocks.0.attention.output.weight": None},
        [SAME, SPLIT],
        [],
        r"blocks\.0\.attention\.output\.weight: Sizes of tensors must match",
    ),
    "fill without weights": ({}, [SAME], [{"weights": "x", "value": 0, "reason": "-"}], r"fill 1 .* matches no weight"),
    "fill and rule": (
        {},
        [SAME],
        [{"weights": r"energy_norm\.bias", "value": 0, "reason": "-"}],
        r"energy_norm\.bias: fill 1 gives it values, and so does another",
    ),
    "fill of another length": (
        {"energy_norm.bias": None},
        [SAME],
        [{"weights": r"energy_norm\.bias", "value": [1.0, 2.0], "reason": "-"}],
        r"energy_norm\.bias: shape \[2\] from fill 1; expected \[16\]",
    ),
    "random numbers for trained weights": (
        {"energy_norm.bias": None},
        [SAME],
        [{"weights": r"energy_norm\.bias", "from_config": True, "reason": "-"}],
        r"energy_norm\.bias: fill 1 has from_config, but it is a trained weight",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(tmp_path, case):
    changes, rules, fill, words = REFUSALS[case]
    entries = plain(original())
    for key, value in changes.items():
        key = key if key.startswith("module.") else f"module.same.{key}"
        assert (key in entries) == (not key.startswith("module.") or key.startswith("module.same."))
        entries[key] = value
        if value is None:
            del entries[key]
    with pytest.raises(UsageError, match=words) as caught:
        do_import(tmp_path, entries, table(*rules, fill=fill))
    assert "--list" in str(caught.value)
    assert not (tmp_path / "model.ckpt").exists()


def test_all_problems_at_once(tmp_path):
    entries = plain(original())
    for name in ("energy_norm.bias", "energy_head.0.bias"):
        del entries[f"module.same.{name}"]
    entries["module.same.energy_norm.weight"] = torch.ones(3)
    entries["module.same.energy_head.2.bias"][:] = float("inf")
    entries |= {"more": torch.ones(2), "epoch": 3}
    with pytest.raises(UsageError) as caught:
        do_import(tmp_path, entries, table(SAME, {"from": "none", "to": "x"}))
    message = str(caught.value)
    assert "7 problems" in message
    for words in (
        "more, float32 [2]",
        "epoch, int",
        "rule 2",
        "expected [16]",
        "not finite",
        "energy_norm.bias, shape",
        "energy_head.0.bias, shape",
    ):
        assert words in message, words


def test_the_written_file_is_compared(tmp_path, monkeypatch):
    def altered(path):
        checkpoint = load_checkpoint(path)
        checkpoint.model.energy_norm.bias.data[3] += 1e-6
        return checkpoint

    monkeypatch.setattr("transip_md.importing.conversion.load_checkpoint", altered)
    with pytest.raises(CheckFailedError, match=r"differs in energy_norm\.bias; it is removed"):
        do_import(tmp_path, plain(original()), table(SAME))
    assert not (tmp_path / "model.ckpt").exists()


WRONG_TABLES = {
    "unknown field": ("rules: [{from: a, to: b, novel: 1}]", "rules.0.novel: Extra inputs"),
    "unknown field of the table": ("rules: [{from: a, to: b}]\nnovel: 1", "novel: Extra inputs"),
    "no rules": ("rules: []", "rules: List should have at least 1 item"),
    "no target": ("rules: [{from: a}]", "needs `to: NAME`, or `ignore: true`"),
    "ignored for no reason": ("rules: [{from: a, ignore: true}]", "ignore needs a reason"),
    "ignored for an empty reason": ("rules: [{from: a, ignore: true, reason: ''}]", "at least 1 character"),
    "ignored and used": ("rules: [{from: a, ignore: true, reason: r, to: b}]", "goes with `from` and `reason` only"),
    "no regular expression": ("rules: [{from: 'a(', to: b}]", "'a\\(' is not a regular expression"),
    "no such group": (r"rules: [{from: 'a(b)', to: 'c\2'}]", "does not go with the groups of `from`: invalid group"),
    "no such named group": (r"rules: [{from: 'a', to: 'c\g<n>'}]", "does not go with the groups of `from`: unknown"),
    "no parts": ("rules: [{from: a, to: b, concatenate: {order: [q, k]}}]", "go together"),
    "parts of nothing": ("rules: [{from: '(?P<part>a)', to: b}]", "go together"),
    "part twice": (
        "rules: [{from: '(?P<part>a)', to: b, concatenate: {order: [q, q]}}]",
        "order names a part twice",
    ),
    "negative row": ("rules: [{from: a, to: b, rows: [-1]}]", "greater than or equal to 0"),
    "infinite factor": ("rules: [{from: a, to: b, multiply: .inf}]", "finite number"),
    "fill with nothing": ("rules: [{from: a, to: b}]\nfill: [{weights: c, reason: r}]", "needs either `value` or"),
    "fill with both": (
        "rules: [{from: a, to: b}]\nfill: [{weights: c, reason: r, value: 1, from_config: true}]",
        "needs either `value` or",
    ),
    "fill for no reason": (
        "rules: [{from: a, to: b}]\nfill: [{weights: c, value: 1}]",
        "fill.0.reason: Field required",
    ),
    "not YAML": ("rules: [", "is not YAML"),
}


@pytest.mark.parametrize("case", WRONG_TABLES)
def test_wrong_tables(tmp_path, case):
    text, words = WRONG_TABLES[case]
    training = "training: {data: a, level_of_theory: b, licence: c, description: d}\n"
    (tmp_path / "table.yaml").write_text(training + text)
    with pytest.raises(UsageError, match=words):
        read_table(tmp_path / "table.yaml")


@pytest.mark.parametrize("left_out", TRAINING)
def test_training_must_be_told(tmp_path, left_out):
    said = {key: value for key, value in TRAINING.items() if key != left_out}
    (tmp_path / "table.yaml").write_text(f"rules: [{{from: a, to: b}}]\ntraining: {said}")
    with pytest.raises(UsageError, match=rf"training\.{left_out}: Field required"):
        read_table(tmp_path / "table.yaml")
    with pytest.raises(UsageError, match="No such table"):
        read_table(tmp_path / "none.yaml")


def test_the_shape_is_given_once(tmp_path):
    file = tmp_path / "model.yaml"
    file.write_text("species: [1, 8]\ndim: 16\n")
    shape = {"species": [1, 8], "dim": 16}
    expected = ModelConfig(species=(1, 8), dim=16)
    assert model_config_of(table(SAME), file) == expected
    assert model_config_of(table(SAME, config=shape), None) == expected
    with pytest.raises(UsageError, match="is not given"):
        model_config_of(table(SAME), None)
    with pytest.raises(UsageError, match="is given twice"):
        model_config_of(table(SAME, config=shape), file)
    with pytest.raises(UsageError, match="novel: Extra inputs"):
        model_config_of(table(SAME, config={**shape, "novel": 1}), None)


ONE = {"w": torch.ones(1)}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (ONE, "[]"),
        ({"state_dict": ONE, "epoch": 1, "optimizer": {"state": ONE}}, "[state_dict]"),
        ({"model": {"state_dict": ONE}, "step": torch.tensor(1)}, "[model, state_dict]"),
        ({"ema": {"module": ONE, "decay": torch.tensor(0.9)}}, "[ema, module]"),
        ({"best": {"potential": ONE}, "numbers": {1: torch.ones(1)}}, "[best, potential]"),
    ],
)
def test_where_state_dicts_lie(tmp_path, content, expected):
    state_dict = read_foreign(saved(tmp_path / "f.pt", content)).state_dict(None)
    assert str(state_dict) == expected and state_dict.entries.keys() >= ONE.keys()


def test_which_state_dict(tmp_path):
    two = {"model": ONE, "ema": {"w": torch.zeros(1)}, "epoch": 3}
    file = read_foreign(saved(tmp_path / "f.pt", two))
    with pytest.raises(UsageError, match=r"has 2 state dicts: \[model\], \[ema\]. Choose one .*weights_at: \[model\]"):
        file.state_dict(None)
    assert file.state_dict(["ema"]).entries["w"] == 0
    with pytest.raises(UsageError, match=r"no 'none' under \['model'\], which is a mapping of w \(Tensor\)"):
        file.state_dict(["model", "none"])
    with pytest.raises(UsageError, match=r"lies no state dict but a int"):
        file.state_dict(["epoch"])
    for content in ({"epoch": 3}, {}, [torch.ones(1)]):
        with pytest.raises(UsageError, match="holds no state dict"):
            read_foreign(saved(tmp_path / "f.pt", content)).state_dict(None)


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("evil",))


class Settings:
    pass


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(("kind", "name"), [(Evil, r"posix\.mkdir"), (Settings, r"\S*test_import\.Settings")])
def test_code_is_never_run(tmp_path, monkeypatch, kind, name, zipped):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": ONE, "hyper": kind()}, "evil.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UsageError, match=rf"an object that needs code, {name}\. .*torch.save\(model.state"):
        read_foreign("evil.pt")
    assert not (tmp_path / "evil").exists()


@pytest.mark.filterwarnings("ignore:.*looks like a TorchScript archive")
def test_files_that_are_no_weights(tmp_path):
    text = tmp_path / "text.pt"
    text.write_text("hello")
    cut = tmp_path / "cut.pt"
    cut.write_bytes(Path(saved(tmp_path / "whole.pt", ONE)).read_bytes()[:400])
    script = tmp_path / "script.pt"
    torch.jit.script(torch.nn.Linear(1, 1)).save(script)
    for path in (text, cut, script):
        with pytest.raises(UsageError, match=r"it is damaged, or no file of torch\.save"):
            read_foreign(str(path))
    with pytest.raises(UsageError, match="No such file"):
        read_foreign(str(tmp_path / "none.pt"))


def test_safetensors(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file({"module.w": torch.arange(3.0)}, tmp_path / "f.safetensors")
    state_dict = read_foreign(str(tmp_path / "f.safetensors")).state_dict(None)
    assert str(state_dict) == "[]" and torch.equal(state_dict.entries["module.w"], torch.arange(3.0))
    (tmp_path / "f.safetensors").write_text("hello")
    with pytest.raises(UsageError, match="is not a safetensors file"):
        read_foreign(str(tmp_path / "f.safetensors"))


def test_safetensors_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    (tmp_path / "f.safetensors").write_text("hello")
    with pytest.raises(EnvironmentFaultError, match=r"pip install 'transip-md\[hub\]'"):
        read_foreign(str(tmp_path / "f.safetensors"))


def hub(monkeypatch, files: dict[str, str]) -> None:
    """A hub with one repository, owner/repo."""

    def look_up(repository):
        if repository != "owner/repo":
            raise OSError("404 Client Error.\nRepository Not Found")
        return files

    fake = types.ModuleType("huggingface_hub")
    fake.list_repo_files = lambda repository: list(look_up(repository))
    fake.hf_hub_download = lambda repository, file: look_up(repository)[file]
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)


def test_hub(tmp_path, monkeypatch):
    path = saved(tmp_path / "blob", {"state_dict": ONE})
    hub(monkeypatch, {"README.md": "", "weights/best.pt": path})
    for source in ("hf:owner/repo", "hf:owner/repo/weights/best.pt"):
        file = read_foreign(source)
        assert file.name == "hf:owner/repo/weights/best.pt"
        assert torch.equal(file.state_dict(None).entries["w"], ONE["w"])
    for source in ("hf:owner", "hf:", "hf:owner/", "hf:owner/repo/"):
        with pytest.raises(UsageError, match="Expected hf:OWNER/REPO or"):
            read_foreign(source)
    for source in ("hf:nobody/repo", "hf:nobody/repo/a.pt"):
        with pytest.raises(
            EnvironmentFaultError, match=r"could not be downloaded: 404 Client Error\. .*by hand"
        ) as caught:
            read_foreign(source)
        assert "https://huggingface.co/nobody/repo/tree/main" in str(caught.value)


def test_hub_without_one_file_of_weights(tmp_path, monkeypatch):
    path = saved(tmp_path / "blob", ONE)
    hub(monkeypatch, {"a.pt": path, "b.safetensors": ""})
    assert read_foreign("hf:owner/repo/a.pt").name == "hf:owner/repo/a.pt"
    with pytest.raises(
        UsageError, match=r"found 2 files of weights: a\.pt, b\.safetensors\. Name the file: hf:owner/repo/F"
    ):
        read_foreign("hf:owner/repo")
    hub(monkeypatch, {"README.md": ""})
    with pytest.raises(UsageError, match=r"found none among README\.md"):
        read_foreign("hf:owner/repo")


def test_hub_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(EnvironmentFaultError, match=r"pip install 'transip-md\[hub\]'"):
        read_foreign("hf:owner/repo")


def test_command_refuses(tmp_path, transip_md, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "foreign.pt", {"state_dict": plain(original())})
    (tmp_path / "table.yaml").write_text(
        f"rules: [{{from: none, to: x}}]\ntraining: {TRAINING}\nconfig: {{species: [1]}}"
    )
    cases = [
        (["foreign.pt"], 2, "--list"),
        (["foreign.pt", "-o", "model.ckpt"], 2, "--map table.yaml"),
        (["foreign.pt", "-o", "model.ckpt", "--map", "table.yaml"], 2, "module.same.energy_norm.bias, float32 [16]"),
        (["foreign.pt", "-o", "no/model.ckpt", "--map", "table.yaml"], 2, "There is no folder"),
    ]
    for arguments, code, words in cases:
        result = transip_md("import", *arguments)
        assert result.returncode == code, (arguments, result.stderr)
        assert words in result.stderr, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"foreign.pt", "table.yaml"}
    assert transip_md("import", "--help").returncode == 0


def test_command_without_network():
    """In a process of its own: huggingface_hub reads the variable once."""
    command = [sys.executable, "-m", "transip_md", "import", "hf:owner/repo/a.pt", "--list"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    installed = importlib.util.find_spec("huggingface_hub") is not None
    assert result.returncode == 3, result.stderr
    assert ("by hand" if installed else "transip-md[hub]") in result.stderr and "Traceback" not in result.stderr


def test_command_lists_every_state_dict(tmp_path, transip_md, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(
        tmp_path / "foreign.pt", {"model": {"a.weight": torch.ones(2, 3), "n": 3}, "ema": {"b": torch.ones(1).double()}}
    )
    result = transip_md("import", "foreign.pt", "--list", "-o", "model.ckpt")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    digest = hashlib.sha256((tmp_path / "foreign.pt").read_bytes()).hexdigest()
    assert lines == [
        f"foreign.pt, sha256 {digest}",
        "weights_at: [model], 2 keys",
        "  a.weight  float32 [2, 3]",
        "  n         int",
        "weights_at: [ema], 1 keys",
        "  b  float64 [1]",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.pt"]


def test_command_says_what_was_rounded(tmp_path, transip_md, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entries = {key: value.double() + 1e-9 for key, value in plain(original()).items()}
    saved(tmp_path / "foreign.pt", entries)
    rules = {"rules": [SAME], "training": TRAINING}
    (tmp_path / "table.yaml").write_text(str(rules).replace("\\\\", "\\"))
    (tmp_path / "model.yaml").write_text(str({**CONFIG.model_dump(mode="json", exclude_unset=True)}))
    result = transip_md("import", "foreign.pt", "--map", "table.yaml", "--config", "model.yaml", "-o", "m.ckpt")
    assert result.returncode == 0, result.stderr
    assert re.search(r"rounded: \d+ weights lost digits; largest change \d\.\de-0\d \(\S+\)", result.stdout)
    assert "compare energies" in result.stdout


def test_example_of_the_documentation(tmp_path, repository, transip_md, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(\w+)\n(.*?)```", (repository / "docs/import.md").read_text(), flags=re.DOTALL)
    script, listing, rules, command, _ = (text for _, text in blocks)
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    (tmp_path / "table.yaml").write_text(rules)
    assert listing in transip_md("import", "foreign.pt", "--list").stdout
    result = transip_md(*command.split()[1:])
    assert result.returncode == 0, result.stderr
    foreign = torch.load(tmp_path / "foreign.pt", weights_only=True)["state_dict"]
    weights = load_checkpoint(tmp_path / "model.ckpt").model.state_dict()
    assert torch.equal(weights["species_embedding.weight"][1], foreign["module.atoms.weight"][8])
    assert torch.equal(
        weights["blocks.1.attention.query_key_value.weight"][8:16], foreign["module.layers.1.attn.k.weight"].T
    )
    assert torch.equal(weights["rotary.frequencies"][1], foreign["module.rope.1.freqs"])
    assert weights["energy_scale"].item() == 0.5 * 27.211386245988
