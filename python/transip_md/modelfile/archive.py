"""The archive of a model file, read strictly and written as torch writes it; the twin of libtransip's archive.cpp."""

from __future__ import annotations

import io
import itertools
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from transip_md.common.errors import UsageError

#: torch aligns the contents of its archives to this many bytes.
ALIGNMENT = 64
#: Folder that holds all entries of an archive that is written here; its name means nothing.
FOLDER = "model"
#: Bytes that one compressed entry, code that is, may have.
MOST_CODE = 2**24
#: Bytes of a local header before the name.
_LOCAL_HEADER = 30
#: Flag of an entry whose CRC-32 stands behind its contents and not in its local header.
_HAS_DESCRIPTOR = 8


def damaged(path: Path | str, what: str) -> UsageError:
    """Error for a file whose contents are not those that were written; `what` names the part."""
    return UsageError(
        f"{path} is damaged: {what} is not what was written when the model was exported. Copy the file again, or "
        "export the model again."
    )


def _no_archive(path: Path | str, why: str) -> UsageError:
    return UsageError(
        f"{path} is not a TorchScript file (not an archive at all, or a damaged one: {why}). Expected a file made by "
        "`transip-md export`."
    )


class Archive:
    """Entries of a model file by name, without the folder that all entries of a torch archive share.

    Attributes:
        path: the file, named in errors.
        entries: the entries.
    """

    def __init__(self, path: Path | str, content: bytes | None = None) -> None:
        """Read the directory of an archive.

        Args:
            path: the file.
            content: its bytes, if they have been read already.

        Raises:
            UsageError: no such file, no archive, or one whose records contradict one another.
        """
        self.path = path
        if content is None and not Path(path).is_file():
            raise UsageError(
                f"No such model file: {path}. Make one with `transip-md export NAME -o {Path(path).name}`."
            )
        self._content = None if content is None else memoryview(content)
        try:
            self._zip = zipfile.ZipFile(path if content is None else io.BytesIO(content))
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
            raise _no_archive(path, str(error).lower()) from error
        if self._zip.comment:
            raise _no_archive(path, "it does not end as one")
        self.entries = self._checked_entries()

    def _checked_entries(self) -> dict[str, zipfile.ZipInfo]:
        entries: dict[str, zipfile.ZipInfo] = {}
        folder: str | None = None
        for info in self._zip.infolist():
            name = info.orig_filename
            if not _harmless(name):
                raise _no_archive(self.path, "the name of an entry leads out of the archive")
            top, slash, inside = name.partition("/")
            folder = top if folder is None else folder
            if top != folder or not slash:
                raise _no_archive(self.path, "its entries are not all in one folder")
            if inside in entries:
                raise _no_archive(self.path, "two entries have one name")
            stored = info.compress_type == zipfile.ZIP_STORED
            if info.flag_bits & 1 or not (stored or info.compress_type == zipfile.ZIP_DEFLATED):
                raise _no_archive(self.path, "an entry is encrypted or compressed in a way that torch does not use")
            if stored and info.compress_size != info.file_size:
                raise _no_archive(self.path, "an entry's sizes contradict one another")
            self._check_header(info)
            entries[inside] = info
        order = sorted(entries.values(), key=lambda info: info.header_offset)
        if not order or order[0].header_offset != 0:
            raise _no_archive(self.path, "it does not begin as one")
        for before, after in itertools.pairwise(order):
            if before.header_offset + before.compress_size > after.header_offset:
                raise _no_archive(self.path, "two entries overlap")
        return entries

    def _check_header(self, info: zipfile.ZipInfo) -> None:
        """Compare a local header with the directory, which it repeats: readers differ in which they believe."""
        source = self._zip.fp
        assert source is not None
        source.seek(info.header_offset)
        header = source.read(_LOCAL_HEADER)
        agrees = len(header) == _LOCAL_HEADER and header[:4] == b"PK\x03\x04"
        if agrees:
            flags, method = struct.unpack("<HH", header[6:10])
            (crc,) = struct.unpack("<L", header[14:18])
            (name_size,) = struct.unpack("<H", header[26:28])
            agrees = (
                method == info.compress_type
                and source.read(name_size) == info.orig_filename.encode()
                and (flags & _HAS_DESCRIPTOR or crc == info.CRC)
            )
        if not agrees:
            raise _no_archive(self.path, "its directory contradicts its contents")

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def read(self, name: str, most: int | None = None) -> bytes:
        """Contents of an entry, checked against its CRC-32.

        Args:
            name: the entry.
            most: bytes that it may have, and it may not be compressed; None: any size, but of compressed entries 16 MB.

        Raises:
            UsageError: damaged, too large, or compressed.
        """
        info = self.entries[name]
        compressed = info.compress_type != zipfile.ZIP_STORED
        if most is not None and compressed:
            raise _no_archive(self.path, f"{name} is compressed")
        limit = MOST_CODE if most is None and compressed else most
        if limit is not None and info.file_size > limit:
            raise UsageError(
                f"{self.path}: its {name.rsplit('/', 1)[-1]} has {info.file_size} bytes; expected at most {limit}."
            )
        if self._content is not None and not compressed:
            return self._stored(name, info)
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise damaged(self.path, name) from error

    def _stored(self, name: str, info: zipfile.ZipInfo) -> bytes:
        """Contents of an entry in memory; ZipFile.read takes ten times as long for many small ones."""
        assert self._content is not None
        sizes = self._content[info.header_offset + 26 : info.header_offset + _LOCAL_HEADER]
        begin = info.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", sizes))
        content = self._content[begin : begin + info.file_size]
        if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
            raise damaged(self.path, name)
        return bytes(content)

    def check_contents(self) -> None:
        """Raise UsageError unless the CRC-32 of every entry is right."""
        for name in self.entries:
            self.read(name)

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _harmless(name: str) -> bool:
    """Whether a name stays below the folder that loaders unpack it into."""
    if not name or name.startswith("/") or any(ord(c) < 0x20 or c in "\\\x7f" for c in name):
        return False
    return not any(part in (".", "..") for part in name.split("/"))


def write_archive(target: BinaryIO, folder: str, contents: Iterable[tuple[str, bytes, int]]) -> None:
    """Write an archive as torch writes it: one folder, contents aligned to 64 bytes, no dates.

    Args:
        target: a binary file, open for writing at its start.
        folder: name of the folder that holds all entries.
        contents: name without the folder, contents, and `zipfile.ZIP_STORED` or `zipfile.ZIP_DEFLATED`.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for name, content, compression in contents:
            info = zipfile.ZipInfo(f"{folder}/{name}")
            info.compress_type = compression
            # A local header is followed by the name; an extra field has a header of 4 (APPNOTE.TXT, 4.3.7 and 4.5.1).
            begin = target.tell() + _LOCAL_HEADER + len(info.filename.encode()) + 4
            padding = -begin % ALIGNMENT
            info.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
            archive.writestr(info, content)
