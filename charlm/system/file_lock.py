"""An exclusive lock between processes, which the system releases when its holder ends."""

import os
import platform
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from charlm.errors import RunError, cause_of
from charlm.system.regular_files import close_quietly, is_at, lock, open_regular

WRITING = 0.1  # seconds within which a new holder has written its process id
LONGEST = 300  # characters of the line with the holder, since the file may contain anything


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
            raise RunError(f"cannot write {path}: {cause_of(error)}") from error

    def _open_locked(self) -> IO[str]:
        while True:
            opened = open_regular(self.path, os.O_RDWR | os.O_CREAT)
            file = os.fdopen(opened, "r+", encoding="utf-8", errors="replace")
            try:
                self._lock(file)
                if is_at(file.fileno(), self.path):  # else its last holder removed it meanwhile
                    return file
            except BaseException:
                close_quietly(file)
                raise
            close_quietly(file)

    def _lock(self, file: IO[str]) -> None:
        try:
            lock(file.fileno())
        except BlockingIOError:
            time.sleep(WRITING)
            file.seek(0)
            pid, _, node = file.readline(LONGEST).strip().partition(" ")
            host = f" on {node}" if node not in ("", platform.node()) else ""
            holder = f"process {pid}{host}" if pid.isdecimal() else "another process"
            raise RunError(
                f"{self.what} is in use by {holder}; wait for it to finish, stop it, or choose "
                "another directory"
            ) from None

    def release(self) -> None:
        """Remove the file and release the lock."""
        with suppress(OSError):
            self.path.unlink()  # while locked: a process that has the file open must try again
        close_quietly(self._file)
