"""Reference pages of the site, generated from the code: commands, recipe, Python, C."""

from __future__ import annotations

from pathlib import Path

from docs_site import c_header, commands, public_api, recipe, summary


def pages(root: Path) -> dict[str, str]:
    """Markdown of each generated page by its name below reference/.

    Args:
        root: top of the repository.
    """
    return {
        "cli.md": commands.page(),
        "recipe.md": recipe.page(),
        "summary.md": summary.page(),
        "python.md": public_api.page(),
        "c.md": c_header.page(root / "libtransip/include/transip.h"),
    }
