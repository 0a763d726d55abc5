"""Progress bars on stderr, shown on a terminal only."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

DELAY = 0.5  # seconds before a bar is shown


def _bar(what: str, unit: str, total: int | None = None, *, silent: bool = False) -> "tqdm[Any]":
    from tqdm import tqdm

    return tqdm(
        desc=what,
        total=total,
        unit=unit,
        unit_scale=True,
        leave=False,
        delay=DELAY,
        disable=True if silent else None,  # None: unless stderr is a terminal
    )


@contextmanager
def bytes_bar(what: str, *, silent: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a callback for the number of bytes done, and their total if it is known."""
    with _bar(what, "B", silent=silent) as bar:

        def follow(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield follow


def characters_bar(what: str, total: int | None = None) -> "tqdm[Any]":
    """A bar that counts characters; see `counted` for texts of unknown length."""
    return _bar(what, "char", total)


def counted(pieces: Iterable[str], bar: "tqdm[Any]") -> Iterator[str]:
    """Yield the pieces of a text, and add their lengths to the total of a bar."""
    bar.total = 0
    for piece in pieces:
        bar.total += len(piece)
        yield piece
