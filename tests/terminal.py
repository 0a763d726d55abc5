"""Commands run in this process, on a pipe or on a terminal of any width."""

import fcntl
import io
import os
import pty
import struct
import sys
import termios
import threading

import pytest

from charlm.cli import app, console, progress_bars
from tests.shell import Ended

FOREIGN = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM")  # settings of the caller


def set_columns(terminal: int, columns: int) -> None:
    """Set the width of a terminal."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))


def run(words: list[str], stdin: str = "") -> Ended:
    """Run a command whose output goes to pipes; its code, stdout and stderr."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2)]
    code = _run(words, stdin, *streams, {})
    return Ended(code, *(stream.buffer.getvalue().decode() for stream in streams))


def run_on_terminal(words: list[str], *, columns: int = 80, stdin: str = "", **more: str) -> Ended:
    """Run a command on a terminal, and show bars at once; stdout has all of the output."""
    ours, theirs = pty.openpty()
    set_columns(theirs, columns)
    received: list[bytes] = []
    reader = threading.Thread(target=_read, args=(ours, received))
    reader.start()
    try:
        with open(theirs, "w", encoding="utf-8") as terminal:
            code = _run(words, stdin, terminal, terminal, {"TERM": "xterm-256color"} | more)
    finally:
        reader.join()
        os.close(ours)
    return Ended(code, b"".join(received).decode().replace("\r\n", "\n"), "")


def _read(file: int, received: list[bytes]) -> None:
    try:
        while data := os.read(file, 1 << 16):
            received.append(data)
    except OSError:  # the end of the output on Linux
        pass


def _run(
    words: list[str],
    stdin: str,
    stdout: io.TextIOWrapper,
    stderr: io.TextIOWrapper,
    variables: dict[str, str],
) -> int:
    with pytest.MonkeyPatch.context() as patch:
        for name in FOREIGN:
            patch.delenv(name, raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["charlm", *words])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8"))
        patch.setattr(sys, "stdout", stdout)
        patch.setattr(sys, "stderr", stderr)
        patch.setattr(app, "_shows_tracebacks", False)
        patch.setattr(progress_bars, "DELAY", 0)
        for cached in (console.stdout, console.stderr):
            cached.cache_clear()  # colors depend on the terminal
        try:
            return app.run()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            for cached in (console.stdout, console.stderr):
                cached.cache_clear()
