"""An exclusive lock between processes, which the system releases when its holder ends."""

import errno
import os
import platform
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from charlm.errors import RunError
from charlm.system.atomic_files import close_quietly

try:
    import fcntl
except ImportError:  # Windows: the lock is not enforced
    fcntl = None  # type: ignore[assignment]

# Errors of file systems without locks, where the lock is not enforced.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL}

WRITING = 0.1  # seconds within which a new holder has written its process id


class Lock:
    """An exclusive lock on a file that contains the process id and host name of its holder.

    A file left by a killed process is not locked.

    Args:
        path: the lock file; created, and removed on release.
        what: the locked resource, for the error message.

    Raises:
        RunError: another process holds the lock, or the file cannot be written.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        try:
            self._file = self._open_locked()
            try:
                self._file.truncate(0)
                self._file.write(f"{os.getpid()} {platform.node()}\n")
                self._file.flush()
            except OSError:  # such as a full disk
                self.release()
                raise
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror or error}") from error

    def _open_locked(self) -> IO[str]:
        while True:
            file = self.path.open("a+", encoding="utf-8")
            try:
                self._lock(file)
                if _is_same_file(file, self.path):  # else its last holder removed it meanwhile
                    return file
            except BaseException:
                close_quietly(file)
                raise
            close_quietly(file)

    def _lock(self, file: IO[str]) -> None:
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(WRITING)
            file.seek(0)
            pid, _, node = file.read().strip().partition(" ")
            host = f" on {node}" if node != platform.node() else ""
            holder = f"process {pid}{host}" if pid else "another process"
            raise RunError(
                f"{self.what} is in use by {holder}; wait for it to finish, stop it, or choose "
                "another directory"
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise

    def release(self) -> None:
        """Remove the file and release the lock."""
        with suppress(OSError):
            self.path.unlink()  # while locked: a process that has the file open must try again
        close_quietly(self._file)


def _is_same_file(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
