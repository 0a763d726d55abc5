"""Everything that is printed, and how it is shown.

Names, texts and messages come from files and from other people, so they can contain escape
sequences, which control a terminal, and the markup of rich. `printable` escapes the former, and
lines are printed as `Text`, which has no markup. Only text that is itself the result reaches a
pipe as it is; see `as_result`.

Results go to stdout; notes, warnings, errors and progress to stderr.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from charlm.errors import printable
from charlm.system.json_values import finite

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

JOINERS = "\u200c\u200d"  # required by Persian, by scripts of India and by emoji
DEFAULT_COLUMNS = 80


@cache
def stdout() -> "Console":
    """The console for results."""
    return _console(is_stderr=False)


@cache
def stderr() -> "Console":
    """The console for notes, warnings, errors and progress."""
    return _console(is_stderr=True)


def _console(*, is_stderr: bool) -> "Console":
    from rich.console import Console

    return Console(stderr=is_stderr, highlight=False, markup=False, emoji=False)


def note(message: str) -> None:
    """Print a note on stderr, in one line."""
    print_line((message, "dim"))


def warn(message: str) -> None:
    """Print a warning on stderr, in one line."""
    print_line(("warning: ", "yellow"), (message, ""))


def print_error(message: str) -> None:
    """Print on stderr, in one line, why the command failed."""
    print_line(("charlm: ", "bold red"), (message.strip(), ""))


def print_result(line: str) -> None:
    """Print a line of the result on stdout that consists of names and figures."""
    clear_bars()
    print(printable(line))


def print_json(value: object, *, indent: int | None = None) -> None:
    """Print a value on stdout as JSON at once."""
    clear_bars()
    print(json_of(value, indent=indent), flush=True)


def json_of(value: object, *, indent: int | None = None) -> str:
    """A value as JSON; numbers that are not finite become null."""
    return json.dumps(finite(value), indent=indent, allow_nan=False)


def print_line(*parts: tuple[str, str], to: "Console | None" = None) -> None:
    """Print a line that consists of texts with their styles, by default on stderr."""
    from rich.text import Text

    line = Text.assemble(*((printable(text), style) for text, style in parts))
    _print(line, to or stderr())


def print_paragraph(text: str) -> None:
    """Print a text on stderr, wrapped between words on a terminal."""
    from rich.text import Text

    console = stderr()
    width = columns(console)
    shown = Text(as_shown(text, console))
    _print(shown, console, width)


def print_rows(rows: Mapping[str, str], *, to: "Console | None" = None) -> None:
    """Print a table of names and values, by default on stderr."""
    from rich.cells import cell_len

    from charlm.cli.tables import GAP, row_lines

    console = to or stderr()
    shown = {as_shown(name, console): as_shown(value, console) for name, value in rows.items()}
    indent = max(map(cell_len, shown)) + GAP
    for name, value in shown.items():
        for line in row_lines(console, name, value, indent, columns(console)):
            _print(line, console)


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, to: "Console | None" = None
) -> None:
    """Print a table whose first column has names and the others figures, by default on stderr."""
    from charlm.cli.tables import table_lines

    console = to or stderr()
    shown = [[as_shown(cell, console) for cell in row] for row in rows]
    above, below = table_lines(headings, shown, columns(console))
    for line in above:
        print_line((line, "bold"), to=console)
    for line in below:
        print_line((line, ""), to=console)


def _print(text: "Text", console: "Console", width: int | None = None) -> None:
    """Print a text, wrapped between words at a width; None leaves that to the terminal."""
    clear_bars()
    console.print(text, width=width, soft_wrap=width is None)


def clear_bars() -> None:
    """Remove progress bars from the terminal until they advance."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        for bar in tuple(getattr(tqdm, "_instances", ())):
            bar.clear()


def as_shown(text: str, console: "Console") -> str:
    """A text of names and figures as the console shows it, so that its width is known."""
    return printable(text).encode(console.encoding, "backslashreplace").decode(console.encoding)


def as_result(text: str) -> str:
    """Text that is itself the result, for stdout: unchanged, but escaped on a terminal."""
    return printable(text, keep="\n\t" + JOINERS) if sys.stdout.isatty() else text


def plural(count: int, noun: str, nouns: str = "") -> str:
    """A count with its noun: 1 step, 2,000 steps."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def columns(console: "Console") -> int | None:
    """The width of a terminal; None if the console is not one, so that lines have no limit.

    It can change at any time. `COLUMNS` limits it, but may be older than the terminal's size.
    """
    try:
        if not console.file.isatty():
            return None
        size = os.get_terminal_size(console.file.fileno()).columns
    except (OSError, ValueError):
        size = 0
    variable = os.environ.get("COLUMNS", "")
    known = [size, int(variable) if variable.isdecimal() else 0]
    return min((n for n in known if n > 0), default=DEFAULT_COLUMNS)
