"""Text that is piped to a command which was given none."""

import os
import select
import stat
import sys
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from charlm.cli.console import note
from charlm.errors import TextError

PATIENCE = 2.0  # seconds to wait for the first byte of a pipe


def piped_text(command: str) -> list[str]:
    """The source `-` if text is piped to a command; otherwise none.

    Only a pipe or a redirected regular file counts, and only if it has a byte left. A terminal,
    `/dev/null`, a socket or a closed descriptor is never read. A pipe that stays silent is left
    alone, because it may belong to another program; a line on stderr says so.

    Args:
        command: a command that waits for the text, for that line, such as `charlm eval -`.

    Raises:
        TextError: standard input cannot be read.
    """
    from charlm.text.source_files import STDIN

    file: Any = getattr(sys.stdin, "buffer", None)
    mode = _mode(file)
    if stat.S_ISFIFO(mode) and not _has_sent(file):
        note(
            f"standard input is a pipe that has sent nothing for {PATIENCE:g} seconds and is "
            f"ignored; to wait for its text: {command}"
        )
        return []
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
        return []
    try:
        return [STDIN] if file.peek(1) else []  # what is peeked at stays in the buffer
    except OSError as error:
        raise TextError(f"cannot read standard input: {error.strerror}") from error


def _mode(file: BinaryIO | None) -> int:
    """The kind of an open file; 0 if it is closed, or no file of the system."""
    try:
        return os.fstat(file.fileno()).st_mode if file else 0
    except (OSError, ValueError):
        return 0


def _has_sent(pipe: BinaryIO) -> bool:
    """Whether a pipe sends a byte or its end in time."""
    try:
        return bool(select.select([pipe], [], [], PATIENCE)[0])
    except OSError:  # Windows can wait for sockets only
        return False


def without_last_newline(pieces: Iterable[str]) -> Iterator[str]:
    """A text without the newline that ends its last line, as `$(cat FILE)` gives it."""
    held = ""
    for piece in pieces:
        piece = held + piece
        length = len(piece.removesuffix("\n").removesuffix("\r"))
        held = piece[length:]
        yield piece[:length]
    if not held.endswith("\n"):
        yield held
