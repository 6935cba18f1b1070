"""Write a notebook of each tutorial: ``python scripts/notebooks.py FOLDER``. The site has them as downloads."""

from __future__ import annotations

import sys
from pathlib import Path

from docs_site.notebooks import as_text

TUTORIALS = Path(__file__).resolve().parents[1] / "docs" / "tutorials"


def main(folder: Path) -> None:
    """Write NAME.ipynb of each docs/tutorials/NAME.md into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(TUTORIALS.glob("*.md")):
        if path.stem != "index":
            file = folder / f"{path.stem}.ipynb"
            file.write_text(as_text(path.read_text()))
            print(file)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Expected a folder. Type: python scripts/notebooks.py FOLDER")
    main(Path(sys.argv[1]))
