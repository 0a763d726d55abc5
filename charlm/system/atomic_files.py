"""Atomic file writes: a reader finds the old file or the new one, never a partial one."""

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO

from charlm.system.regular_files import close_quietly, is_at, lock, remove_unlocked

TEMPORARY = r"\.charlm-[0-9a-f]{16}\.tmp"  # a pattern of the names of temporary files


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a temporary file in the same directory, sync it, and rename it to `path`.

    Creates missing directories. On any failure an existing file at `path` stays unchanged. The new
    file has the permissions of the old one. `write` may also read the file.

    Raises:
        OSError: the file cannot be written.
    """
    old = _status(path)
    if old and not stat.S_ISREG(old.st_mode):  # never replace a device or a pipe
        raise FileExistsError(errno.EEXIST, "not a regular file")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = new_temporary(path.parent)
    try:
        if old and hasattr(os, "fchmod"):  # not on Windows
            _copy_permissions(old, file.fileno())
        write(file)
        file.flush()
        os.fsync(file.fileno())
        rename(file, path)
        close_quietly(file)
    except BaseException:
        discard(file)
        raise
    with suppress(OSError):  # the file is complete, and not every system can sync a directory
        _sync_directory(path.parent)
    remove_left_overs(path.parent)


def new_temporary(folder: Path) -> BinaryIO:
    """A new temporary file, open for reading and writing, and locked until it is closed.

    Raises:
        OSError: it cannot be created.
    """
    while True:
        path = folder / f".charlm-{secrets.token_hex(8)}.tmp"
        file = path.open("x+b")
        try:
            with suppress(BlockingIOError):  # `remove_left_overs` has it open, and removes it
                lock(file.fileno())
                if is_at(file.fileno(), path):
                    return file
        except BaseException:
            discard(file)
            raise
        close_quietly(file)


def rename(file: IO[bytes], path: Path) -> None:
    """Rename a temporary file that has been flushed; Windows closes it first.

    Raises:
        OSError: it cannot be renamed.
    """
    if os.name == "nt":  # open files cannot be renamed there; elsewhere it has to stay locked
        file.close()
    os.replace(file.name, path)


def discard(file: IO[bytes]) -> None:
    """Close and remove a temporary file that has not been renamed."""
    close_quietly(file)
    with suppress(OSError):
        os.unlink(file.name)


def remove_left_overs(folder: Path, names: Sequence[str] = ()) -> None:
    """Remove the temporary files that killed processes left in a directory.

    Args:
        folder: the directory.
        names: files whose temporary files of earlier versions are removed too.
    """
    earlier = (rf"\.{re.escape(name)}\.[0-9a-f]{{16}}\.tmp" for name in names)
    pattern = re.compile("|".join([TEMPORARY, *earlier]))
    with suppress(OSError):
        for name in filter(pattern.fullmatch, os.listdir(folder)):
            remove_unlocked(folder / name)


def _status(path: Path) -> os.stat_result | None:
    """The status of a file; None if there is none."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _copy_permissions(old: os.stat_result, file: int) -> None:
    """Give a new file the mode and, where the system allows it, the group of an old one."""
    new = os.fstat(file)
    if new.st_gid != old.st_gid:
        with suppress(OSError):
            os.fchown(file, -1, old.st_gid)
    if new.st_mode != old.st_mode:
        os.fchmod(file, stat.S_IMODE(old.st_mode) & 0o777)


def _sync_directory(path: Path) -> None:
    """Sync a directory, so that a rename survives a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
