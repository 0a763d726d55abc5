"""Processes of our own that compute at the same time, on memory that they share.

Threads would be simpler, but they take turns at the interpreter: between two short products
they wait for each other. A worker is a fresh interpreter, so it works in notebooks and beside
threads, where a fork would not be safe.
"""

import fcntl
import mmap
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from charlm.errors import WorkerError
from charlm.system.blas import BLAS_THREADS


class SharedMemory:
    """Memory without a name, which workers are given as an open file.

    Args:
        size: in bytes.

    Raises:
        WorkerError: the system does not give it.
    """

    def __init__(self, size: int) -> None:
        self.file = _not_standard(_nameless_file())
        try:
            os.ftruncate(self.file, size)
            self.buffer = mmap.mmap(self.file, size)
        except OSError as error:  # a limit for files, or for memory
            os.close(self.file)
            raise WorkerError(
                f"cannot share {size:,} bytes with processes that help: {error.strerror}; train "
                "with one thread"
            ) from error

    def close_file(self) -> None:
        """Give the file back; the memory stays while it is in use."""
        os.close(self.file)


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("charlm")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _not_standard(file: int) -> int:
    """The file under a number that no standard stream has, which one of them may have left."""
    moved = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(file)
    return moved


class Worker:
    """A process that answers calls until this end of its pipe is closed.

    Args:
        memory: what it shares with us.
        make: a module's function; `make(buffer, *args)` there returns what answers the calls.
        args: can be pickled.
    """

    def __init__(self, memory: SharedMemory, make: Callable[..., Any], *args: Any) -> None:
        self._connection, end = Pipe()
        theirs = _not_standard(os.dup(end.fileno()))
        end.close()
        self._said = os.fdopen(_nameless_file(), "r+b")
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "charlm.distributed.worker_process",
                    str(theirs),
                    str(memory.file),
                ],
                env=os.environ | dict.fromkeys(BLAS_THREADS, "1") | {"PYTHONPATH": _path()},
                stdin=subprocess.DEVNULL,
                stderr=self._said,
                pass_fds=(theirs, memory.file),
                start_new_session=True,  # a terminal's Ctrl-C is for us alone
            )
        except BaseException:
            self._said.close()
            raise
        finally:
            os.close(theirs)
        self.ask(make, args)

    def ask(self, *args: Any) -> None:
        """Begin a call."""
        try:
            self._connection.send(args)
        except OSError:
            raise self._ended() from None

    def answer(self) -> Any:
        """Wait for what the call returns.

        Raises:
            WorkerError: the process has ended, or the call has failed there.
            MemoryError: there was too little memory.
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
        return WorkerError(f"a process that helps with the training was ended {how}{self._why()}")

    def _why(self) -> str:
        """The last line that it said, if it said anything."""
        if self._said.closed:
            return ""
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").split("\n")
        return next((f": {line}" for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """End the process, which holds nothing that is worth keeping."""
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._said.close()


def _path() -> str:
    """Where modules are found here, and this package first, for the worker to find the same."""
    package = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([package, *(os.path.abspath(path) for path in sys.path)])


def serve(connection: Connection, file: int) -> None:
    """Answer calls until the other end of the pipe is closed."""
    make, args = connection.recv()
    with os.fdopen(file, "r+b") as opened:
        call = make(mmap.mmap(opened.fileno(), 0), *args)
    with suppress(EOFError, OSError):  # nobody asks any more
        while True:
            connection.send(_result(call, connection.recv()))


def _result(call: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """What the call returns, or an error that can be sent."""
    try:
        return call(*args)
    except MemoryError:
        return MemoryError()
    except Exception as error:
        return WorkerError(f"in a process that helps with the training: {error!r}")


if __name__ == "__main__":
    # Batch systems tell all processes of a job to stop; those that ask us may have to save first.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    ours = Connection(int(sys.argv[1]))
    try:
        serve(ours, int(sys.argv[2]))
    except MemoryError:  # before a call, or between two
        ours.send(MemoryError())
