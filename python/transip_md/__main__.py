"""``python -m transip_md``: the command ``transip-md``."""

from __future__ import annotations

from transip_md.cli.main import run

if __name__ == "__main__":
    run()
