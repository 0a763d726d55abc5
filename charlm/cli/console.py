"""Notes, errors and tables on stderr; results go to stdout as plain text."""

from collections.abc import Mapping
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
    """Print a note."""
    _print((message, "dim"))


def print_error(message: str) -> None:
    """Print, in one line, why the command failed."""
    _print(("charlm: ", "bold red"), (" ".join(message.split()), ""))


def print_rows(rows: Mapping[str, str]) -> None:
    """Print a table of names and values."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(value))
    stderr().print(table)


def _print(*parts: tuple[str, str]) -> None:
    """Print a line that consists of texts with their styles."""
    from rich.text import Text

    line = Text.assemble(*((printable(text), style) for text, style in parts))
    stderr().print(line, soft_wrap=True)


def printable(message: str) -> str:
    """Escape control characters, which file names can contain and which can control a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)


def utf8(console: "Console") -> bool:
    """Whether the console can show more than ASCII."""
    return console.encoding.lower().replace("-", "").startswith("utf")
