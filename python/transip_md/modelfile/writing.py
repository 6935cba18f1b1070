"""TorchScript written as a model file: with its metadata, the index of its weights and a reference structure."""

from __future__ import annotations

from pathlib import Path

import torch

from transip_md.common.whole_files import replacing
from transip_md.modelfile.archive import FOLDER, Archive, write_archive
from transip_md.modelfile.metadata import METADATA_NAME, REFERENCE_NAME, Metadata
from transip_md.modelfile.weights import index_of


def write_script(
    module: torch.jit.ScriptModule, metadata: Metadata, path: Path | str, reference: str | None = None
) -> Metadata:
    """Write a model file; it appears whole or not at all.

    Args:
        module: what the file shall run.
        metadata: of the file; the index of the weights is added.
        path: file to write.
        reference: text of its ``reference.json``; None: the file brings none.

    Returns:
        The metadata with the index.
    """
    path = Path(path)
    source = Archive(path, module.save_to_buffer())
    metadata = metadata.model_copy(update={"weights": index_of(source)})
    extra = {METADATA_NAME: metadata.to_json()}
    if reference is not None:
        extra[REFERENCE_NAME] = reference
    contents = [(f"extra/{name}", text.encode(), 0) for name, text in extra.items()]
    contents += [(name, source.read(name), info.compress_type) for name, info in source.entries.items()]
    with replacing(path) as partial, partial.open("wb") as target:
        write_archive(target, FOLDER, contents)
    return metadata
