"""Ends a process that waits too long, from another process.

MPI_Init waits for all ranks, for ever if one has ended before. Meanwhile it holds the interpreter
lock, so that neither a handler of a signal nor another thread of the process can run.

This file is also the program of the other process. It imports nothing of charlm, to start quickly.
"""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
LONGEST = 1e9  # seconds that a process can wait
IS_SUPPORTED = os.name == "posix" and bool(sys.executable) and not hasattr(sys, "frozen")


@contextmanager
def watched(seconds: float, message: str) -> Iterator[None]:
    """End this process if the context is not left in time, or at a signal to stop.

    Args:
        seconds: how long to wait; 0 for no limit.
        message: printed on stderr before the process is killed.
    """
    dog = _start(seconds, message) if seconds and IS_SUPPORTED else None
    handlers = _replaced_handlers()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if dog:
            dog.communicate()


def _start(seconds: float, message: str) -> "subprocess.Popen[bytes] | None":
    command = [sys.executable, "-I", "-S", __file__, str(min(seconds, LONGEST)), message]
    with suppress(OSError):  # a limit of processes
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal reaches only this process
        )
    return None


def _replaced_handlers() -> dict[int, Any]:
    """Let signals end the process without Python; return the handlers in Python that they had."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    replaced = {}
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and callable(signal.getsignal(number)):
            replaced[number] = signal.signal(number, signal.SIG_DFL)
    return replaced


def _watch(seconds: float, message: str) -> None:
    """Wait until the parent closes its end of standard input, or kill the parent."""
    parent = os.getppid()
    ended, _, _ = select.select([0], [], [], seconds)
    if not ended and os.getppid() == parent:
        os.write(2, f"{message}\n".encode(errors="backslashreplace"))
        os.kill(parent, signal.SIGKILL)


if __name__ == "__main__":
    _watch(float(sys.argv[1]), sys.argv[2])
