"""Worker processes that compute in parallel on shared memory.

Threads would contend for the interpreter lock between the short matrix products of a step. A
worker is a fresh interpreter, so it also works in notebooks and next to threads, where a fork is
not safe.
"""

import fcntl
import mmap
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from charlm.errors import WorkerError, cause_of
from charlm.system.blas import BLAS_THREADS, blas_can_be_single

# A new interpreter that imports modules from where this one does. `PYTHONPATH` could not name a
# folder with a colon.
START = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from charlm.distributed.worker_process import main; main()"
)


@contextmanager
def _possible(what: str) -> Iterator[None]:
    """Raise a WorkerError with a remedy if the system refuses something."""
    try:
        yield
    except OSError as error:
        advice = "train with one thread (`threads=1`)"
        if not blas_can_be_single():
            advice += ", with OPENBLAS_NUM_THREADS=1 in the environment"
        raise WorkerError(f"cannot {what}: {cause_of(error)}; {advice}") from error


class SharedMemory:
    """Anonymous shared memory, which workers inherit as an open file.

    Args:
        size: in bytes.

    Raises:
        WorkerError: the system cannot provide it.
    """

    def __init__(self, size: int) -> None:
        with _possible(f"share {size:,} bytes with worker processes"):
            self.file = _above_standard_streams(_anonymous_file())
            try:
                _extend(self.file, size)
                self.buffer = mmap.mmap(self.file, size)
            except OSError:  # a limit of file size or memory
                os.close(self.file)
                raise

    def close_file(self) -> None:
        """Close the file; the memory stays mapped while it is in use."""
        os.close(self.file)


def _anonymous_file() -> int:
    """An open file without a name: in memory, or on disk if the system refuses that."""
    try:
        return os.memfd_create("charlm")
    except (AttributeError, OSError):  # not Linux; an old kernel or a sandbox
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())


def _extend(file: int, size: int) -> None:
    """Give a file its size, and its space too: to write where a full disk has none would kill."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.ftruncate(file, size)


def _above_standard_streams(file: int) -> int:
    """Move a file to a descriptor above 2: a closed standard stream leaves its own free."""
    moved = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(file)
    return moved


class Worker:
    """A process that runs calls in order until this end of its pipe is closed.

    Args:
        memory: the memory to share with it.
        make: a function of a module; `make(buffer, *args)` in the worker returns the function
            that each call runs.
        args: arguments that can be pickled.

    Raises:
        WorkerError: the system cannot start a process.
    """

    def __init__(self, memory: SharedMemory, make: Callable[..., Any], *args: Any) -> None:
        with _possible("start a worker process"):
            self._start(memory)
        self.submit(make, args)

    def _start(self, memory: SharedMemory) -> None:
        self._connection, end = Pipe()
        with closing(end), ExitStack() as opened:
            self._stderr = opened.enter_context(os.fdopen(_anonymous_file(), "r+b"))
            theirs = _above_standard_streams(os.dup(end.fileno()))
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", START, str(theirs), str(memory.file), *_path()],
                    env=os.environ | dict.fromkeys(BLAS_THREADS, "1"),
                    stdin=subprocess.DEVNULL,
                    stderr=self._stderr,
                    pass_fds=(theirs, memory.file),
                    start_new_session=True,  # Ctrl-C in a terminal reaches only this process
                )
            finally:
                os.close(theirs)
            opened.pop_all()

    def submit(self, *args: Any) -> None:
        """Send the arguments of a call to the worker.

        Raises:
            WorkerError: the worker has ended.
        """
        try:
            # `send` pickles into a view that Python 3.13 reports as an error if sending fails.
            self._connection.send_bytes(pickle.dumps(args))
        except OSError:
            raise self._ended() from None

    def result(self) -> Any:
        """Wait for the oldest call to finish and return its result.

        Raises:
            WorkerError: the worker has ended, or the call raised an exception.
            MemoryError: the worker ran out of memory.
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
        how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        return WorkerError(f"a worker process {how}{self._last_line()}")

    def _last_line(self) -> str:
        """The last line of the worker's stderr, after a colon, if there is one."""
        if self._stderr.closed:
            return ""
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").split("\n")
        return next((f": {line}" for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """Kill the process, which has no state to save."""
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._stderr.close()


def _path() -> list[str]:
    """The worker's module search path: this package first, then the path of this process."""
    package = str(Path(__file__).resolve().parents[2])
    return [package, *(os.path.abspath(path) for path in sys.path)]


def serve(connection: Connection, file: int) -> None:
    """Run calls until the other end of the pipe is closed."""
    make, args = connection.recv()
    with os.fdopen(file, "r+b") as opened:
        call = make(mmap.mmap(opened.fileno(), 0), *args)
    with suppress(EOFError, OSError):  # the pipe was closed
        while True:
            connection.send(_result(call, connection.recv()))


def _result(call: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Return the result of the call, or an error that can be pickled."""
    try:
        return call(*args)
    except MemoryError:
        return MemoryError()
    except Exception as error:
        return WorkerError(f"a worker process failed: {error!r}")


def main() -> None:
    """Serve as a worker; the arguments are the descriptors of its pipe and of the memory."""
    # Batch systems signal all processes of a job, but the main process may have to save first.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    ours = Connection(int(sys.argv[1]))
    try:
        serve(ours, int(sys.argv[2]))
    except MemoryError:  # outside of a call
        ours.send(MemoryError())
