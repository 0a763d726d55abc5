"""The two streams: results go to stdout as plain text, everything for the eye to stderr."""

from functools import cache

from rich.console import Console


@cache
def stderr() -> Console:
    """The console for tables, notes and errors."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def note(message: str) -> None:
    """Say one thing on stderr, without markup."""
    stderr().print(message, markup=False, style="dim")
