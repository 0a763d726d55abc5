"""Commands in processes forked from one that has already imported `charlm`.

Imports take most of the time of a short command. A forked command skips them, and still has a
process, a folder, an environment and standard streams of its own.

The server receives requests over a socket: JSON, with the file descriptors of the standard streams
and of a socket for the reply, which is the command's process id and later its exit code. In a
server that preloads `faults/shim.c`, each command starts it with its own settings.
"""

import atexit
import ctypes
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import typer

import charlm
from charlm.system.blas import set_up_blas

IS_AVAILABLE = sys.platform == "linux"
LONGEST_REQUEST = 1 << 20  # bytes


class ForkServer:
    """A server process; several threads may run commands at once.

    Args:
        environment: the environment in which the modules are imported.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.fork_server", str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,  # a pipe, like the streams of commands
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        atexit.register(self._close)

    def run(
        self,
        arguments: list[str],
        folder: Path,
        environment: dict[str, str],
        stdin: str,
        timeout: float,
    ) -> tuple[int, str, str]:
        """Run a command; return its exit code, standard output and standard error.

        Raises:
            TimeoutError: the command took more than `timeout` seconds and was killed.
        """
        request = json.dumps([arguments, str(folder), environment]).encode()
        reply, theirs = socket.socketpair()
        read_end, write_end = os.pipe()
        with TemporaryFile() as out, TemporaryFile() as err, reply:
            with theirs, open(read_end, "rb") as pipe:
                files = [file.fileno() for file in (pipe, out, err, theirs)]
                socket.send_fds(self._requests, [request], files)
            with suppress(BrokenPipeError), open(write_end, "w", encoding="utf-8") as pipe:
                pipe.write(stdin)
            code = _exit_code(reply, timeout)
            return code, _text(out), _text(err)

    def _close(self) -> None:
        self._requests.close()
        self._process.communicate()


def _exit_code(reply: socket.socket, timeout: float) -> int:
    with reply.makefile() as lines:
        process = int(lines.readline())
        reply.settimeout(timeout)
        try:
            return int(lines.readline())
        except TimeoutError:
            os.kill(process, signal.SIGKILL)
            raise


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _serve(requests: socket.socket) -> None:
    """Fork a process for each request; return only in those, ready to run the command."""
    while True:
        request, files, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 4)
        if not request:
            sys.exit()
        if os.fork() == 0:
            break
        for file in files:
            os.close(file)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _wait_in_parent(files.pop())
    requests.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    arguments, folder, environment = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if "SHIM_AT" in environment:
        ctypes.CDLL(None).start_shim()
    sys.argv = ["charlm", *arguments]


def _wait_in_parent(reply: int) -> None:
    """Fork, return in the child, and send its id and exit code from the parent."""
    process = os.fork()
    if process:
        os.write(reply, f"{process}\n".encode())
        _, status = os.waitpid(process, 0)
        os.write(reply, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    os.close(reply)


def _import_all() -> None:
    """Import `charlm`, and what its commands import when they run."""
    set_up_blas()
    for module in pkgutil.walk_packages(charlm.__path__, "charlm."):
        if module.name != "charlm.distributed.mpi_group":  # would start MPI
            import_module(module.name)
    for name in ("rich.console", "tqdm", "typer.rich_utils"):
        import_module(name)
    sample = typer.main.get_command(charlm.cli.app.app).commands["sample"]
    sample.make_context("sample", [])  # typer imports more when it parses values


if __name__ == "__main__":
    _import_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps the processes that wait
    _serve(socket.socket(fileno=int(sys.argv[1])))
    charlm.__main__.main()
