"""Bars on stderr, on a terminal only, for what may take long."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

DELAY = 0.5  # seconds before a bar is shown: what is done by then needs none


@contextmanager
def bytes_bar(what: str, *, silent: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """A bar that follows how many bytes are done, of how many if that is known."""
    from tqdm import tqdm

    with tqdm(
        desc=what,
        unit="B",
        unit_scale=True,
        leave=False,
        delay=DELAY,
        disable=True if silent else None,
    ) as bar:

        def follow(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield follow


@contextmanager
def characters_bar(what: str) -> Iterator["tqdm[Any]"]:
    """A bar that follows how many characters are done; see `counted`."""
    from tqdm import tqdm

    with tqdm(
        desc=what, unit="char", unit_scale=True, leave=False, delay=DELAY, disable=None
    ) as bar:
        yield bar


def counted(pieces: Iterable[str], bar: "tqdm[Any]") -> Iterator[str]:
    """The pieces of a text, whose characters are added to those that there are to do."""
    bar.total = 0
    for piece in pieces:
        bar.total += len(piece)
        yield piece
