"""Model files that nobody may believe: damaged, contradictory, and programs that do more than arithmetic."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toys import toy_metadata
from transip_md.exporting.export import script
from transip_md.modelfile.archive import Archive, write_archive
from transip_md.modelfile.metadata import METADATA_NAME

Change = Callable[[dict[str, Any]], None]


def rewritten(source: Path, target: Path, name: str, change: Callable[[bytes], bytes], compression: int = 0) -> Path:
    """A copy of a model file with one entry changed and every CRC right."""
    with Archive(source) as archive, target.open("wb") as stream:
        contents = [
            (entry, change(archive.read(entry)) if entry == name else archive.read(entry),
             compression if entry == name else info.compress_type)
            for entry, info in archive.entries.items()
        ]  # fmt: skip
        write_archive(stream, "model", contents)
    return target


def with_json(source: Path, target: Path, name: str, change: Change) -> Path:
    """A copy of a model file with something else in one of its JSON files."""

    def edit(text: bytes) -> bytes:
        values = json.loads(text)
        change(values)
        return json.dumps(values).encode()

    return rewritten(source, target, f"extra/{name}", edit)


def damaged_copies(source: Path, folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Copies with one random bit flipped, or for every tenth cut off at a random place."""
    content, random = source.read_bytes(), np.random.default_rng(seed)
    files = []
    for number in range(count):
        place = int(random.integers(len(content)))
        if number % 10 == 9:
            damaged = content[:place]
        else:
            damaged = bytearray(content)
            damaged[place] ^= 1 << int(random.integers(8))
        files.append(folder / f"{number}.pt")
        files[-1].write_bytes(damaged)
    return files


def _set(*path: str | int, to: Any) -> Change:
    def change(values: dict[str, Any]) -> None:
        for key in path[:-1]:
            values = values[key]
        values[path[-1]] = to

    return change


def _drop(key: str) -> Change:
    return lambda values: values.pop(key)


#: transip.json that is refused: what is changed, and a word of the message.
METADATA_CASES: dict[str, tuple[Change, str]] = {
    "charge-range": (_set("charge", to=[-1000000, 0]), "charge"),
    "multiplicity-range": (_set("multiplicity", to=[-1000000, 1]), "multiplicity"),
    "more-multiplicities": (_set("multiplicity", to=[1, 100]), "shall have shape"),
    "three-charges": (_set("charge", to=[0, 0, 0]), "charge"),
    "charges-reversed": (_set("charge", to=[1, -1]), "charge"),
    "fractional-charge": (_set("charge", to=[0.0, 0.0]), "charge"),
    "cutoff-large": (_set("cutoff", to=1e300), "cutoff"),
    "cutoff-zero": (_set("cutoff", to=0), "cutoff"),
    "cutoff-negative": (_set("cutoff", to=-1), "cutoff"),
    "cutoff-text": (_set("cutoff", to="4.5"), "cutoff"),
    "range-alone": (_set("interaction_range", to=9.0), "interaction_range"),
    "cutoff-alone": (_set("cutoff", to=4.5), "interaction_range"),
    "range-short": (lambda values: values.update(cutoff=4.5, interaction_range=4.0), "interaction_range"),
    "species-more": (_set("species", to=[1, 6, 8, 7]), "shall have shape"),
    "species-twice": (_set("species", to=[1, 1, 8]), "species"),
    "species-none": (_set("species", to=[]), "species"),
    "species-119": (_set("species", to=[1, 6, 119]), "species"),
    "species-true": (_set("species", to=[True, 6, 8]), "species"),
    "conservative-number": (_set("conservative", to=1), "conservative"),
    "dtype": (_set("dtype", to="float16"), "dtype"),
    "units": (_set("units", "energy", to="Ha"), "units"),
    "symmetry-unknown": (_set("symmetry", to=["mirror"]), "symmetry"),
    "symmetry-twice": (_set("symmetry", to=["average", "average"]), "symmetry"),
    "architecture-list": (_set("architecture", to=[]), "architecture"),
    "training-null": (_set("training", to=None), "training"),
    "made-with-number": (_set("made_with", "torch", to=2), "torch"),
    "format-true": (_set("format", to=True), "format"),
    "format-fraction": (_set("format", to=2.0), "format"),
    "format-future": (_set("format", to=99), "format 99"),
    "unknown-key": (_set("novel", to=1), "novel"),
    "no-units": (_drop("units"), "units"),
    "no-weights": (_drop("weights"), "weights"),
    "no-certificate": (_drop("certificate"), "certificate"),
    "weights-null": (_set("weights", to=None), "weights"),
    "weights-empty": (_set("weights", to={}), "index of weights does not name"),
    "weights-hash": (_set("weights", "model.energy_scale", "sha256", to="0" * 64), "model.energy_scale"),
    "weights-shape": (_set("weights", "model.energy_scale", "shape", to=[2]), "model.energy_scale"),
    "weights-negative": (_set("weights", "model.energy_scale", "shape", to=[-1]), "shape"),
    "weights-huge": (_set("weights", "model.energy_scale", "shape", to=[2**40, 2**40]), "model.energy_scale"),
    "weights-entry": (_set("weights", "model.energy_scale", "entry", to="../../etc/passwd"), "model.energy_scale"),
    "network-version": (_set("network", to={"name": "TransIP"}), "version"),
    "network-with-a-repulsion": (_set("network", "version", to=2), "short_range"),
}  # fmt: skip

#: transip.json whose architecture contradicts the weights.
ARCHITECTURE_CASES: dict[str, Change] = {
    "wide": _set("architecture", "dim", to=1 << 20),
    "dim-odd": _set("architecture", "dim", to=17),
    "heads": _set("architecture", "heads", to=8),
    "layers": _set("architecture", "layers", to=30),
    "many-layers": _set("architecture", "layers", to=1 << 20),
    "unknown-key": _set("architecture", "novel", to=1),
    "repulsion": _set("architecture", "short_range", to="zbl"),
    "feedforward": _set("architecture", "feedforward", to=1 << 16),
    "coordinates": _set("architecture", "coordinates", to=True),
    "charge-energies": _set("architecture", "charge_energies", to=True),
    "functions": _set("architecture", "radial_functions", to=1 << 19),
    "hidden": _set("architecture", "radial_hidden", to=9),
    "radial-text": _set("architecture", "radial_bias", to="yes"),
}

#: reference.json that is refused, and a word of the message.
REFERENCE_CASES: dict[str, tuple[Change, str]] = {
    "charge": (_set("states", 0, "charge", to=1000000), "charge"),
    "multiplicity": (_set("states", 0, "multiplicity", to=0), "multiplicity"),
    "forces-longer": (lambda values: values["states"][0]["forces"].extend([0.0] * 30), "forces"),
    "forces-shorter": (_set("states", 0, "forces", to=[]), "forces"),
    "positions-shorter": (lambda values: values["positions"].pop(), "positions"),
    "positions-huge": (_set("positions", 0, to=1e300), "positions"),
    "positions-none": (_set("positions", to=[]), "positions"),
    "species-unknown": (_set("species", 0, to=79), "reference.json"),
    "species-none": (_set("species", to=[]), "species"),
    "owner-outside": (_set("owner", 0, to=10**6), "owner"),
    "neighbours-outside": (_set("neighbours", to=[10**9] * 16), "neighbours"),
    "states-none": (_set("states", to=[]), "states"),
    "states-many": (lambda values: values.update(states=values["states"] * 65), "states"),
    "energy-text": (_set("states", 0, "energy", to="low"), "energy"),
    "rounding": (_set("states", 0, "energy_rounding", to=1e9), "energy_rounding"),
}

#: Bytes of a transip.json that are no JSON of ours, made of the good text.
TEXT_CASES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "utf-16": (lambda text: text.decode().encode("utf-16"), "UTF-8"),
    "byte-order-mark": (lambda text: b"\xef\xbb\xbf" + text, "byte order mark"),
    "trailing-nul": (lambda text: text + b"\0", "NUL"),
    "trailing-text": (lambda text: text + b" x", "JSON"),
    "no-utf-8": (lambda text: text.replace(b'"TransIP"', b'"\xff"'), "UTF-8"),
    "key-twice": (lambda text: text.replace(b"{", b'{"format": 2, ', 1), "twice"),
    "nan": (lambda text: text.replace(b'"cutoff": null', b'"cutoff": NaN'), "JSON"),
    "infinite": (lambda text: text.replace(b'"cutoff": null', b'"cutoff": 1e999'), "JSON"),
    "deep": (lambda text: text.replace(b"{", b'{"x": ' + b"[" * 99 + b"]" * 99 + b",", 1), "deep"),
    "large": (lambda text: text.replace(b"{", b'{"x": "' + b"a" * 2**20 + b'", ', 1), "bytes"),
    "empty": (lambda text: b"", "JSON"),
    "list": (lambda text: b"[]", "transip.json"),
}  # fmt: skip


class WritesFile(nn.Module):
    """A forward that writes a file of its choice."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
    ) -> tuple[Tensor, Tensor]:
        written = torch.from_file(self.path, True, 8, dtype=torch.uint8)
        written.fill_(33)
        return positions[:, 0] + written.sum(), positions  # fmt: skip


class SavesWhenLoaded(nn.Module):
    """A class that writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
    ) -> tuple[Tensor, Tensor]:
        return positions[:, 0], positions  # fmt: skip

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), self.path)


class NeverEnds(nn.Module):
    """A forward that never returns."""

    def forward(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        charge: Tensor,
        multiplicity: Tensor,
    ) -> tuple[Tensor, Tensor]:
        energies = positions[:, 0]
        while energies.sum() == energies.sum():
            energies = energies + 1.0
        return energies, positions  # fmt: skip


def programs(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files whose TorchScript does more than arithmetic, with a word of the refusal; they write `folder`/written."""
    victim = str(folder / "written")
    files = {}
    for name, module, word in (
        ("writes", WritesFile(victim), "aten::from_file"),
        ("saves", SavesWhenLoaded(victim), "__setstate__"),
        ("loops", NeverEnds(), "without a bound"),
    ):
        files[name] = (folder / f"{name}.pt", word)
        script(module, toy_metadata(), files[name][0])
    return files


def archives(source: Path, folder: Path) -> dict[str, Path]:
    """Archives whose records contradict one another or lead out of their folder."""
    files = {}

    def write(name: str, entries: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> None:
        files[name] = folder / f"{name}.pt"
        with zipfile.ZipFile(files[name], "w", compression) as target:
            for entry, content in entries:
                target.writestr(entry, content)

    with Archive(source) as archive:
        good = [(f"model/{name}", archive.read(name)) for name in archive.entries]
        metadata = archive.read(f"extra/{METADATA_NAME}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write("two-of-one-name", [*good, (f"model/extra/{METADATA_NAME}", metadata)])
    write("outside", [*good, ("model/../../../tmp/planted", b"x")])
    write("absolute", [*good, ("/etc/planted", b"x")])
    write("two-folders", [*good, ("other/extra/x", b"x")])
    write("compressed", good, zipfile.ZIP_DEFLATED)
    bomb = [(name, b" " * 2**28 if name.endswith(METADATA_NAME) else content) for name, content in good]
    write("bomb", bomb, zipfile.ZIP_DEFLATED)
    content = source.read_bytes()
    with Archive(source) as archive:
        code = next(info for info in archive.entries.values() if info.compress_type == zipfile.ZIP_DEFLATED)
    begin = code.header_offset
    for name, changed in (
        ("local-method", content[: begin + 9] + b"\x80" + content[begin + 10 :]),
        ("local-crc", content[: begin + 14] + bytes([content[begin + 14] ^ 1]) + content[begin + 15 :]),
        ("local-name", content[: begin + 31] + b"x" + content[begin + 32 :]),
        ("comment", content[:-2] + b"\x03\x00abc"),
        ("two-archives", content + content[:4] + content),
        ("prefix-only", content[:1000]),
        ("empty", b""),
    ):
        files[name] = folder / f"{name}.pt"
        files[name].write_bytes(changed)
    return files
