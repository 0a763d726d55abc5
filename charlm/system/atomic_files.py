"""Files that are at any moment a whole old one or a whole new one."""

import errno
import glob
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LEFT_OVER = 3_600.0  # seconds after which nobody writes to a temporary file any more


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under another name in the same folder, sync it, and rename it to `path`.

    Missing folders are made. Whatever goes wrong, what was at `path` is untouched. What a process
    that was killed has left half-written is removed after an hour.

    Raises:
        OSError: as the system says.
    """
    if path.exists() and not path.is_file():  # a device or a pipe that must not be replaced
        raise FileExistsError(errno.EEXIST, "it is not a regular file")
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
    _sync_directory(path.parent)
    remove_left_overs(path.parent, path.name, older_than=LEFT_OVER)


def remove_left_overs(folder: Path, name: str = "", *, older_than: float = 0.0) -> None:
    """Remove what processes that were killed have left half-written in a folder.

    Args:
        folder: the folder.
        name: of the file that was to be written; by default of any.
        older_than: for how many seconds nobody has written to it.
    """
    for file in folder.glob(f".{glob.escape(name)}.*.tmp" if name else ".*.tmp"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime >= older_than:
                file.unlink()


def _sync_directory(path: Path) -> None:
    """Make a rename last through a power cut, where the system can do that for a directory.

    The file is already in its place: a failure here is not one to have written it.
    """
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
