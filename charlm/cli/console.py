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
    stderr().print(printable(message), markup=False, style="dim", soft_wrap=True)


def print_error(message: str) -> None:
    """Say on stderr, in one line, why the command failed."""
    from rich.text import Text

    line = printable(" ".join(message.split()))
    stderr().print(Text("charlm: ", style="bold red") + Text(line), soft_wrap=True)


def printable(message: str) -> str:
    """The same with escapes for what would steer the terminal: names of files may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)


def utf8(console: "Console") -> bool:
    """Whether the console can show more than ASCII."""
    return console.encoding.lower().replace("-", "").startswith("utf")
