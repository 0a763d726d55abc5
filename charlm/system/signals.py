"""Signals that ask a program to stop, noted until there is a good moment."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def noted(
    numbers: Iterable[int], is_ready: Callable[[], bool] = lambda: True
) -> Iterator[list[int]]:
    """Collect the first of some signals, and let the next one act as usual.

    Outside the main thread, which receives all signals, nothing is collected.

    Args:
        numbers: the signals.
        is_ready: while it returns False, a signal acts as usual.

    Yields:
        A list for the signal that was received.
    """
    received: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        restore()
        if is_ready():
            received.append(number)
        else:
            signal.raise_signal(number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            before[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        if before:
            restore()
