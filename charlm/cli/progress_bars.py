"""Progress bars on stderr, shown on a terminal only."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

from charlm.cli.console import columns, stderr
from charlm.errors import printable

if TYPE_CHECKING:
    from tqdm import tqdm

DELAY = 0.5  # seconds before a bar is shown
BAR_WIDTH = 10
ERASE = "\x1b[J"  # from the cursor to the end of the screen


class _Fitted:
    """The line of a tqdm bar in the columns that the terminal has at the moment."""

    def __str__(self) -> str:
        return fitted(self.format_dict, _room())  # type: ignore[attr-defined]

    @staticmethod
    def status_printer(file: TextIO) -> Callable[[str], None]:
        """A function that replaces the line of the bar.

        The cursor stays at its beginning. If the terminal gets narrower than the line, it may show
        the rest of the line below; then everything from the cursor is erased.
        """
        from rich.cells import cell_len

        drawn = 0

        def replace(line: str) -> None:
            nonlocal drawn
            room = _room()
            can_erase = not (stderr().is_dumb_terminal or stderr().legacy_windows)
            before = ERASE if drawn > room and can_erase else ""
            blanks = " " * (min(drawn, room) - cell_len(line))
            file.write(f"{before}\r{line}{blanks}\r")
            file.flush()
            drawn = cell_len(line)

        return replace


def _room() -> int:
    """The columns for a bar: a terminal may begin a new line after the last one."""
    return max(0, (columns(stderr()) or 0) - 1)


def fitted(state: dict[str, Any], room: int) -> str:
    """The line of a bar: the parts that do not fit are left out from the right, the time left last.

    Args:
        state: the `format_dict` of a tqdm bar, whose postfix has figures that commas separate.
        room: the number of columns.
    """
    from rich.cells import cell_len

    *parts, left = _parts(state)
    while parts and cell_len("".join(parts) + left) > room:
        parts.pop()
    return "".join(parts) + left if parts else left.strip()[:room]


def _parts(state: dict[str, Any]) -> list[str]:
    """The parts of the line of a bar, from left to right; the last one is the time left."""
    from tqdm import tqdm
    from tqdm.std import Bar  # type: ignore[attr-defined]

    size = tqdm.format_sizeof if state["unit_scale"] else str
    count, total, elapsed, unit = (state[key] for key in ("n", "total", "elapsed", "unit"))
    rate = state["rate"] or (elapsed and (count - state["initial"]) / elapsed)
    figures = state["postfix"] or (f"{size(rate)}{unit}/s" if rate else "")
    shown = [f", {each}" for each in figures.split(", ") if each]
    described = [f"{printable(state['prefix'])}: "] if state["prefix"] else []
    if not total or count > total:
        return [*described, f"{size(count)}{unit}", *shown, ""]
    done = count / total
    bar = Bar(done, BAR_WIDTH, charset=Bar.ASCII if state["ascii"] else Bar.UTF)
    remaining = tqdm.format_interval((total - count) / rate) if rate else "?"
    return [
        *described,
        f"{done:4.0%}",
        f"|{bar}|",
        f" {size(count)}/{size(total)}",
        *shown,
        f" {remaining} left",
    ]


def bar(what: str = "", *, silent: bool = False, **options: Any) -> "tqdm[Any]":
    """A bar that fits the terminal.

    Args:
        what: what is done.
        silent: whether to show nothing.
        options: passed to `tqdm`.
    """
    from tqdm import tqdm

    # None: unless stderr is a terminal
    disable = True if silent else None
    return _fitted_class(tqdm)(desc=what, leave=False, disable=disable, **options)


@cache
def _fitted_class(base: "type[tqdm[Any]]") -> "type[tqdm[Any]]":
    """tqdm with a line that fits; tqdm is imported when the first bar is made."""
    return type("Bar", (_Fitted, base), {})


@contextmanager
def bytes_bar(what: str, *, silent: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a callback for the number of bytes done, and their total if it is known."""
    with bar(what, silent=silent, unit="B", unit_scale=True, delay=DELAY) as shown:

        def follow(done: int, total: int | None) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield follow


def characters_bar(what: str, total: int | None = None) -> "tqdm[Any]":
    """A bar that counts characters; see `counted` for texts of unknown length."""
    return bar(what, total=total, unit=" char", unit_scale=True, delay=DELAY)


def counted(pieces: Iterable[str], bar: "tqdm[Any]", times: int = 1) -> Iterator[str]:
    """Yield the pieces of a text, and add their lengths, so many times, to the total of a bar."""
    bar.total = bar.total or 0
    for piece in pieces:
        bar.total += times * len(piece)
        yield piece
