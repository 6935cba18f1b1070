"""A map of imports: which folder of transip_md imports which, and whether an arrow points upward or round in a circle.

    python scripts/import_map.py

The layers are those of [tool.importlinter] in pyproject.toml. Exit code 1: there is a loose module, an upward arrow or
a cycle.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "transip_md"


def folder_of(module: str) -> str:
    """The folder of a module below the package, the package itself for what lies at its top."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else PACKAGE


def main() -> int:
    """Print the map and check it; the exit code."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True)
    arrows: dict[str, dict[str, int]] = {}
    for module in sorted(graph.modules):
        here = arrows.setdefault(folder_of(module), {})
        for imported in graph.find_modules_directly_imported_by(module):
            there = folder_of(imported)
            if there != folder_of(module):
                here[there] = here.get(there, 0) + 1
    for folder, targets in sorted(arrows.items()):
        print(
            f"{folder:12s} -> {', '.join(f'{name} ({count})' for name, count in sorted(targets.items())) or 'nothing'}"
        )
    loose = [path.name for path in (ROOT / "python" / PACKAGE).glob("*.py") if not path.name.startswith("__")]
    print("loose modules:", ", ".join(loose) or "none")
    # The command beside this Python, which need not be on the PATH.
    command = Path(sys.executable).parent / "lint-imports"
    contracts = subprocess.run([command], cwd=ROOT, check=False).returncode
    return 1 if loose or contracts else 0


if __name__ == "__main__":
    sys.exit(main())
