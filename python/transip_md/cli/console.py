"""Where commands print: text is shown as it is, whatever file or path it comes from."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from transip_md.common.text import one_line


class PlainConsole(Console):
    """A console for which strings, those in tables and titles too, are text and never markup.

    Control characters become U+FFFD (`transip_md.common.text.one_line`). What shall have colours, or several lines, is
    a `rich.text.Text`.
    """

    def __init__(self, **options: Any) -> None:
        """Options are those of `rich.console.Console`."""
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The text as it is; see `rich.console.Console.render_str`."""
        return super().render_str(one_line(text), **{**options, "markup": False, "emoji": False})


console = PlainConsole()
errors = PlainConsole(stderr=True)


def coloured_verdict(passed: bool) -> Text:
    """PASS in green or FAIL in red."""
    return Text("PASS", style="green") if passed else Text("FAIL", style="red")
