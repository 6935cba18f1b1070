"""Places to write to, looked at before the work that they are for."""

from __future__ import annotations

from pathlib import Path

from transip_md.common.errors import UsageError


def require_folder_of(output: Path) -> None:
    """Raise UsageError unless the folder that a file shall be written into is there, and no folder has its name."""
    folder = output.resolve().parent
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder} to write {output.name} into. Type `mkdir -p {folder}`.")
    if output.is_dir():
        raise UsageError(
            f"{output} is a folder, and a file is to be written. Give a file's name, such as {output}/NAME."
        )


def make_folder(folder: Path) -> None:
    """Make a folder for several files; UsageError if something else has its name."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{folder} cannot be a folder for the results: a file has that name.") from error
