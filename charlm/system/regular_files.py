"""Regular files: opened only if they are such, locked while in use, removed only if not locked.

A run directory or a cache may come from an archive or be shared, so a name in it may be a link to
another file, a device, or a pipe that blocks.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO

from charlm.system.shell import to_copy, to_move

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, but open files cannot be removed
    fcntl = None  # type: ignore[assignment]

# Windows has O_BINARY and none of the others.
FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
SAFELY = sum(getattr(os, name, 0) for name in FLAGS)

# Errors of file systems without locks, where the lock is not enforced.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL}


def open_regular(path: Path, flags: int) -> int:
    """Open a regular file that has no other name, and neither follow a link nor wait.

    Args:
        path: the file.
        flags: those of `os.open`, without `O_TRUNC`, which would empty a file before it is checked.

    Returns:
        The descriptor.

    Raises:
        OSError: it cannot be opened, or is a link, a directory, a device, a pipe or a socket. The
            attribute `strerror` is the cause in words.
    """
    try:
        file = os.open(path, flags | SAFELY, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise OSError(errno.ELOOP, f"it is a symbolic link; {_without_link(path)}") from error
        if error.errno in (errno.ENXIO, errno.EISDIR):  # a pipe without a reader, or a socket
            raise _not_regular(path) from error
        raise
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular(path)
        if status.st_nlink > 1:
            what = "it is a hard link, one of several names of a file"
            raise OSError(errno.EMLINK, f"{what}; {_without_link(path)}")
    except BaseException:
        os.close(file)
        raise
    return file


def check_regular(path: Path) -> None:
    """Check that a path has no file, or a regular file or a link to one, which can be replaced.

    Raises:
        OSError: it is something else. The attribute `strerror` is the cause in words.
    """
    try:
        is_regular = stat.S_ISREG(path.stat().st_mode)
    except OSError:  # a link to nothing or to itself
        is_regular = not path.is_symlink()
    if not is_regular:
        raise _not_regular(path)


def _not_regular(path: Path) -> OSError:
    what = "a link to nothing"
    if path.exists():
        what = "a directory" if path.is_dir() else "not a regular file"
    return OSError(errno.EINVAL, f"it is {what}; move it away: {to_move(path)}")


def _without_link(path: Path) -> str:
    """What to do about a link, so that its file is not lost."""
    if not path.is_file():
        return f"move it away: {to_move(path)}"
    return f"replace it by a copy: {to_copy(path)}"


def lock(file: int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed; False if the system or file system has no locks.

    Args:
        file: the descriptor.
        shared: whether other processes may have a shared lock too.

    Raises:
        BlockingIOError: another process has a lock that excludes this one.
        OSError: the file cannot be locked.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        raise
    return True


def is_at(file: int, path: Path) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def remove_unlocked(path: Path) -> bool:
    """Remove a regular file unless a process has locked it, and return whether it was removed.

    A file on a file system without locks stays, because it may be in use.
    """
    with suppress(OSError):
        if fcntl is None:
            path.unlink()
            return True
        file = open_regular(path, os.O_RDWR)
        try:
            if lock(file) and is_at(file, path):
                path.unlink()
                return True
        finally:
            os.close(file)
    return False


def close_quietly(file: IO[bytes] | IO[str]) -> None:
    """Close a file; ignore an error, such as a full disk when buffered data is flushed."""
    with suppress(OSError):
        file.close()
