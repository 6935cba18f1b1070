"""The file of frames that grows, and beside it the list of what was dropped on the way."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

#: What ends the name of the list of dropped candidates.
DROPPED_SUFFIX = ".dropped"


def whole_frames(path: Path) -> int:
    """Count the whole frames of an extended XYZ file and cut off a last one that was broken off."""
    frames, end_of_frames = 0, 0
    with path.open("rb") as file:
        while (first := file.readline()).endswith(b"\n") and first.strip().isdigit():
            lines = [file.readline() for _ in range(int(first) + 1)]
            if not lines[-1].endswith(b"\n"):
                break
            frames, end_of_frames = frames + 1, file.tell()
    with path.open("rb+") as file:
        file.truncate(end_of_frames)
    return frames


class Dropped:
    """The list of candidates that became no frame: number, reason and detail on a line, with tabs between.

    Attributes:
        numbers: of the candidates that it holds, in order.
    """

    def __init__(self, output: Path, last: int) -> None:
        """Open the list.

        Args:
            output: file of frames.
            last: candidate that its last frame is of, -1 if it has none. What the list holds of later ones is kept as
                far as no candidate is missing.
        """
        self.path = output.with_name(output.name + DROPPED_SUFFIX)
        kept, self.numbers = [], []
        if self.path.exists():
            following = last + 1
            for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
                number = int(line.split("\t")[0]) if line.endswith("\n") else following + 1
                if number > following:
                    break
                following += number == following
                kept.append(line)
                self.numbers.append(number)
            self.path.write_text("".join(kept), encoding="utf-8")

    def add(self, number: int, reason: str, detail: str) -> None:
        """Add a candidate."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{number}\t{reason}\t{' '.join(detail.split())}\n")
        self.numbers.append(number)


def dropped(output: Path) -> Counter[str]:
    """How many candidates of a file of frames were dropped, by reason.

    Reasons are duplicate, clash, unconverged, absurd and dissociated.

    Args:
        output: the file of frames.
    """
    path = output.with_name(output.name + DROPPED_SUFFIX)
    if not path.exists():
        return Counter()
    return Counter(line.split("\t")[1] for line in path.read_text(encoding="utf-8").splitlines() if "\t" in line)
