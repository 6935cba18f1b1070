"""The certificate inside a model file: writing it, and a line that sums it up."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from transip_md.common.errors import UsageError
from transip_md.common.text import one_line
from transip_md.common.whole_files import replacing
from transip_md.modelfile.archive import FOLDER, Archive, write_archive
from transip_md.modelfile.committee_file import models_in
from transip_md.modelfile.metadata import METADATA_NAME, Metadata, read_metadata


def stamp(path: Path, certificate: dict[str, Any] | None) -> Metadata:
    """Write a certificate into a model file; every other byte of its contents stays, and the file changes whole or not.

    Args:
        path: a file made by ``transip-md export``, TorchScript or compiled.
        certificate: from `transip_md.validation.certificate.certificate_of`; None takes it out.

    Returns:
        The file's new metadata.

    Raises:
        UsageError: not a model file, or one of a committee.
    """
    if models_in(path) != [str(path)] or ("#" in Path(path).name and not Path(path).is_file()):
        raise UsageError(
            f"{path} holds a committee, and a certificate is of one model: stamp the file that one of them has for "
            "itself."
        )
    metadata = read_metadata(path).model_copy(update={"certificate": certificate})
    name = f"extra/{METADATA_NAME}"
    with replacing(path) as partial:
        with Archive(path) as source, partial.open("wb") as target:
            contents = (
                (entry, metadata.to_json().encode() if entry == name else source.read(entry), info.compress_type)
                for entry, info in source.entries.items()
            )
            write_archive(target, FOLDER, contents)
        read_metadata(partial)
    return metadata


#: Environment variable that is set in processes whose parent prints the certificate.
QUIET = "TRANSIP_MD_QUIET"

_printed: set[Path] = set()


def print_certificate(metadata: Metadata, path: Path | str) -> None:
    """Print on standard error what a validation found of a model file, once for each file and command."""
    resolved = Path(path).resolve()
    if resolved not in _printed and not os.environ.get(QUIET):
        _printed.add(resolved)
        print(one_line(f"TransIP model {path}: validated: {certificate_line(metadata)}"), file=sys.stderr)


def certificate_line(metadata: Metadata) -> str:
    """One line for people: the certificate's summary, or that there is none."""
    if metadata.certificate is None:
        return "no; type `transip-md validate`"
    return str(metadata.certificate.get("summary") or json.dumps(metadata.certificate))
