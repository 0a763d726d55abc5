"""The two streams: results go to stdout as plain text, everything for the eye to stderr."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@cache
def stderr() -> "Console":
    """The console for tables, notes and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def note(message: str) -> None:
    """Say one thing on stderr, without markup."""
    stderr().print(message, markup=False, style="dim", soft_wrap=True)


def print_error(message: str) -> None:
    """Say on stderr, in one line, why the command failed."""
    from rich.text import Text

    line = " ".join(message.split())
    stderr().print(Text("charlm: ", style="bold red") + Text(line), soft_wrap=True)


def utf8(console: "Console") -> bool:
    """Whether the console can show more than ASCII."""
    return console.encoding.lower().replace("-", "").startswith("utf")
