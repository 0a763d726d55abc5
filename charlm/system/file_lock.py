"""A lock that only one process at a time holds, and that ends with the process."""

import errno
import os
import platform
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from charlm.errors import RunError

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

# What file systems say that know no locks: there one has to do without.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL}

WRITING = 0.1  # seconds in which a process that has just got the lock has said who it is


class Lock:
    """A file that says who holds the lock. One that a killed process has left locks nothing.

    Args:
        path: of the file, which is made and removed.
        what: what is locked, for the error.

    Raises:
        RunError: another process holds the lock, or the file cannot be made.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        try:
            self._file = self._locked_file()
        except OSError as error:
            raise self._failed(error) from error
        try:
            self._file.truncate(0)
            self._file.write(f"{os.getpid()} {platform.node()}\n")
            self._file.flush()
        except OSError as error:  # such as a disk that is full
            self.release()
            raise self._failed(error) from error

    def _locked_file(self) -> IO[str]:
        while True:
            file = self.path.open("a+", encoding="utf-8")
            try:
                self._lock(file)
                if _is_at(file, self.path):  # and not removed by its last holder in the meantime
                    return file
            except BaseException:
                _close(file)
                raise
            _close(file)

    def _lock(self, file: IO[str]) -> None:
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(WRITING)
            file.seek(0)
            pid, _, node = file.read().strip().partition(" ")
            where = f" of {node}" if node != platform.node() else ""
            holder = f"process {pid}{where}" if pid else "another process"
            raise RunError(
                f"{self.what} is in use: {holder} is training there; wait for it or stop it, or "
                "choose another directory"
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise

    def _failed(self, error: OSError) -> RunError:
        return RunError(f"cannot write {self.path}: {error.strerror or error}")

    def release(self) -> None:
        """Let another process have the lock."""
        with suppress(OSError):
            self.path.unlink()  # first: who opens it now and locks it has locked nothing
        _close(self._file)


def _close(file: IO[str]) -> None:
    with suppress(OSError):
        file.close()


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
