"""Atomic file writes: a reader finds the old file or the new one, never a partial one."""

import errno
import glob
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO

LEFT_OVER = 3_600.0  # seconds without a write after which a temporary file is abandoned


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a temporary file in the same directory, sync it, and rename it to `path`.

    Creates missing directories. On any failure an existing file at `path` stays unchanged.
    Also removes temporary files of `path` that killed processes left more than an hour ago.

    Raises:
        OSError: the file cannot be written.
    """
    if path.exists() and not path.is_file():  # never replace a device or a pipe
        raise FileExistsError(errno.EEXIST, "not a regular file")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with suppress(OSError):  # the file is complete, and not every system can sync a directory
        _sync_directory(path.parent)
    remove_left_overs(path.parent, path.name, older_than=LEFT_OVER)


def remove_left_overs(folder: Path, name: str = "", *, older_than: float = 0.0) -> None:
    """Remove the temporary files that killed processes left in a directory.

    Args:
        folder: the directory.
        name: remove only temporary files of this file; all of them by default.
        older_than: remove only files last modified at least this many seconds ago.
    """
    for file in folder.glob(f".{glob.escape(name)}.*.tmp" if name else ".*.tmp"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime >= older_than:
                file.unlink()


def close_quietly(file: IO[bytes] | IO[str]) -> None:
    """Close a file; ignore an error, such as a full disk when buffered data is flushed."""
    with suppress(OSError):
        file.close()


def _sync_directory(path: Path) -> None:
    """Sync a directory, so that a rename survives a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
