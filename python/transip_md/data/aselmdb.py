"""Reading labelled rows from the LMDB databases of ASE, the format of OMol25."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import ase
import numpy as np

from transip_md.common.errors import EnvironmentFaultError, UsageError

if TYPE_CHECKING:
    from ase.db.row import AtomsRow
    from ase_db_backends.aselmdb import LMDBDatabase

SUFFIX = ".aselmdb"

# LMDB lets a process open a file only once, so all sets of frames share these. They stay open until the process forks
# or ends.
_open_databases: dict[str, LMDBDatabase] = {}


def close_databases() -> None:
    """Close every database that this process holds open; the next access opens it again."""
    for database in _open_databases.values():
        database.close()
    _open_databases.clear()


# An LMDB environment must not be carried over a fork: the child could neither use nor reopen it.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=close_databases)


class Shard:
    """One `.aselmdb` file, opened anew in every process that reads it.

    Attributes:
        path: the file.
        ids: int64 [rows], the ids of its rows, which may have gaps.
        known_counts: int64 [rows], numbers of atoms; None until somebody has counted.
    """

    def __init__(self, path: Path) -> None:
        """Look at the file and list its rows.

        Args:
            path: the file.

        Raises:
            UsageError: the file is missing, truncated or no LMDB database.
            EnvironmentFaultError: ase-db-backends is not installed.
        """
        self.path = path
        _check_file(path)
        self.ids = np.array(_database(path).ids, dtype=np.int64)
        self.known_counts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def location(self, index: int) -> str:
        """How messages name a row: file, index from 0, id in the database."""
        return f"{self.path}, frame {index} (row id {self.ids[index]})"

    def read(self, index: int) -> ase.Atoms:
        """Read one row.

        Args:
            index: of the row in this file, from 0.

        Returns:
            The structure with its labels as a calculator; `info` holds the row's data and key-value pairs, and the
            total of its initial charges as `charge` where those state no charge.

        Raises:
            UsageError: the row cannot be read.
        """
        with self._reading(index):
            row = self._row(index)
            atoms = row.toatoms()
            atoms.info = {**row.key_value_pairs, **row.data}
        if "initial_charges" in row:
            atoms.info.setdefault("charge", row.charge)
        return atoms

    def atom_counts(self) -> np.ndarray:
        """Number of atoms of every row, int64 [rows]; decodes the whole file if they are not known.

        Raises:
            UsageError: a row cannot be read.
        """
        if self.known_counts is None:
            counts = np.zeros(len(self), dtype=np.int64)
            for index in range(len(self)):
                with self._reading(index):
                    counts[index] = self._row(index).natoms
            self.known_counts = counts
        return self.known_counts

    def _row(self, index: int) -> AtomsRow:
        return _database(self.path).get(id=int(self.ids[index]))

    @contextmanager
    def _reading(self, index: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a damaged row fails in the database, in decompression, in JSON or in ase
            raise UsageError(
                f"{self.location(index)} could not be read: {error or type(error).__name__}. "
                "Expected a row that ase-db-backends wrote. Fetch or write the file again."
            ) from error


def open_shards(path: Path) -> list[Shard]:
    """Open a database.

    The numbers of atoms are those of the `metadata.npz` that OMol25 lays beside its files, if it counts as many rows.

    Args:
        path: one `.aselmdb` file, or a folder of them.

    Returns:
        The file, or the folder's files sorted by name.

    Raises:
        UsageError: the path does not exist, the folder holds no such file, or one cannot be opened.
        EnvironmentFaultError: ase-db-backends is not installed.
    """
    shards = [Shard(file) for file in _files(path)]
    metadata = (path if path.is_dir() else path.parent) / "metadata.npz"
    if metadata.is_file():
        with np.load(metadata) as arrays:
            counts = np.array(arrays.get("natoms", ()), dtype=np.int64)
        ends = np.cumsum([len(shard) for shard in shards])
        if counts.shape == (ends[-1],):
            for shard, end in zip(shards, ends, strict=True):
                shard.known_counts = counts[end - len(shard) : end]
    return shards


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"No such database: {path}. Give an {SUFFIX} file or a folder of them.")
    files = sorted(path.glob(f"*{SUFFIX}"))
    if not files:
        raise UsageError(f"The folder {path} holds no {SUFFIX} files. Give a folder of them, or the files themselves.")
    return files


def _database(path: Path) -> LMDBDatabase:
    """The open database of this process."""
    name = os.path.realpath(path)
    if name not in _open_databases:
        from ase_db_backends.aselmdb import LMDBDatabase

        # Training reads in random order, where reading ahead wastes the disk.
        _open_databases[name] = LMDBDatabase(name, readonly=True, use_lock_file=False, readahead=False)
    return _open_databases[name]


def _check_file(path: Path) -> None:
    """Refuse a file that is no LMDB database or not a whole one, before the backend opens it."""
    try:
        import ase_db_backends  # noqa: F401
        import lmdb
    except ImportError as error:
        raise EnvironmentFaultError(f"{path} needs ase-db-backends. Type `pip install 'transip-md[train]'`.") from error
    if os.path.realpath(path) in _open_databases:
        return
    try:
        with lmdb.open(str(path), subdir=False, readonly=True, lock=False) as environment:
            needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    except lmdb.Error as error:
        raise UsageError(
            f"{path} could not be opened: {error}. Expected an LMDB database of ASE ({SUFFIX})."
        ) from error
    if path.stat().st_size < needed:
        # Reading past the end of a mapped file kills the process.
        raise UsageError(
            f"{path} is truncated: {path.stat().st_size} bytes, expected at least {needed}. Fetch the file again."
        )
