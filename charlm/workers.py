"""Processes of our own that compute at the same time, on memory that they share.

Threads would be simpler, but they take turns at the interpreter: between two short products
they wait for each other, a third of a step for a network of 128 units. A worker is a fresh
interpreter, so it works in notebooks and beside threads, where a fork would not be safe.
"""

import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any

from charlm.config import BLAS_THREADS
from charlm.errors import WorkerError

# Windows hands no open file to a new process.
AVAILABLE = os.name == "posix"


class SharedMemory:
    """Memory without a name, which workers are given as an open file.

    Args:
        size: in bytes.
    """

    def __init__(self, size: int) -> None:
        self.file = _nameless_file()
        os.ftruncate(self.file, size)
        self.buffer = mmap.mmap(self.file, size)

    def close_file(self) -> None:
        """Give the file back, once all workers have it; the memory stays while it is in use."""
        os.close(self.file)


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("charlm")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Worker:
    """A process that answers calls until this end of its pipe is closed.

    Args:
        memory: what it shares with us.
        make: a module's function; `make(buffer, *args)` there returns what answers the calls.
        args: can be pickled.
    """

    def __init__(self, memory: SharedMemory, make: Callable[..., Any], *args: Any) -> None:
        self._connection, theirs = Pipe()
        files = (theirs.fileno(), memory.file)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "charlm.workers", *map(str, files)],
            env=os.environ | dict.fromkeys(BLAS_THREADS, "1") | {"PYTHONPATH": _path()},
            stdin=subprocess.DEVNULL,
            pass_fds=files,
            start_new_session=True,  # a terminal's Ctrl-C is for us alone
        )
        theirs.close()
        self._connection.send((make, args))

    def ask(self, *args: Any) -> None:
        """Begin a call."""
        try:
            self._connection.send(args)
        except OSError:
            raise self._ended() from None

    def answer(self) -> Any:
        """Wait for what the call returns.

        Raises:
            WorkerError: the process has ended.
        """
        try:
            result = self._connection.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if isinstance(result, Exception):
            raise result
        return result

    def _ended(self) -> WorkerError:
        status = self._process.wait()
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        return WorkerError(
            f"a process that helps with the training was ended {how}; go on with --resume, and "
            "with --threads 1 if memory is short"
        )

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.wait()


def _path() -> str:
    """Where modules are found here, for the worker to find the same."""
    return os.pathsep.join(path or os.getcwd() for path in sys.path)


def serve(connection: Connection, file: int) -> None:
    """Answer calls until the other end of the pipe is closed."""
    make, args = connection.recv()
    with os.fdopen(file, "r+b") as opened:
        call = make(mmap.mmap(opened.fileno(), 0), *args)
    while True:
        args = connection.recv()
        try:
            result = call(*args)
        except Exception as error:
            result = error
        connection.send(result)


if __name__ == "__main__":
    with suppress(EOFError, OSError):  # nobody asks any more
        serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
