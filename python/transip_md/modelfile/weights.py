"""The index of a model file's weights: name of a tensor -> archive entry, dtype, shape, SHA-256."""

from __future__ import annotations

import hashlib

from transip_md.modelfile.archive import Archive, damaged
from transip_md.modelfile.metadata import Metadata, WeightEntry
from transip_md.modelfile.pickles import check_pickle, tensors_of

_ITEM_BYTES = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2}


def index_of(archive: Archive) -> dict[str, WeightEntry]:
    """Index of a TorchScript archive.

    Raises:
        UsageError: its pickle holds more than a module of tensors.
    """
    pickled = archive.read("data.pkl")
    check_pickle(pickled, archive.path, "data.pkl")
    index = {}
    for name, tensor in tensors_of(pickled).items():
        # A tensor that is a part of its storage has no entry of its own.
        assert tensor.whole, f"{name} shares its storage"
        digest = hashlib.sha256(archive.read(tensor.entry)).hexdigest()
        index[name] = WeightEntry(entry=tensor.entry, dtype=tensor.dtype, shape=tensor.shape, sha256=digest)
    return index


def check_weights(archive: Archive, metadata: Metadata) -> None:
    """Raise UsageError unless every tensor of the index is in the archive as it was exported, and no other.

    Files of format 1 have no index; `Archive.check_contents` is all that can be checked there.
    """
    if metadata.weights is None:
        return
    for name, weight in metadata.weights.items():
        size = _ITEM_BYTES.get(weight.dtype, 1)
        for extent in weight.shape:
            size *= extent
        content = archive.read(weight.entry) if weight.entry in archive else b""
        if len(content) != size or hashlib.sha256(content).hexdigest() != weight.sha256:
            raise damaged(archive.path, f"the tensor {name}")
    indexed = {weight.entry for weight in metadata.weights.values()}
    for name in archive.entries:
        if name.startswith("data/") and name.count("/") == 1 and name not in indexed:
            raise damaged(archive.path, f"the tensor {name}, which the index of weights does not name,")
