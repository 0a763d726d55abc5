"""The types of callbacks that report on long operations."""

from collections.abc import Callable

# Called with the amount of work done since the last call, such as a number of characters.
Advance = Callable[[int], object]

# Called with the bytes done so far and the total, or None if the total is unknown.
Progress = Callable[[int, int | None], object]

# Called with a one-line note for the user.
Notify = Callable[[str], object]


def ignore(*args: object) -> None:
    """A callback that does nothing."""
