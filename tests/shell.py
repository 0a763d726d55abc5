"""`charlm` as its users meet it: a process of its own, in a folder of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import charlm as package
from charlm.system.blas import BLAS_THREADS
from tests.fork_server import IS_AVAILABLE, ForkServer

TEXT = "The machine reads a letter, and the machine writes a letter; so it goes on.\n" * 40

QUICK = {"CHARLM_TRAIN_STEPS": "20", "CHARLM_TRAIN_HIDDEN": "8"}

SECONDS = 60  # after which a process hangs

# What of the caller's own settings would change what is printed.
FOREIGN = (
    *BLAS_THREADS,
    "CHARLM_",
    "COLUMNS",
    "FORCE_COLOR",
    "LINES",
    "NO_COLOR",
    "PYTEST_",
    "PYTHON",
    "TERM",
    "TTY_",
)


def inherited() -> dict[str, str]:
    """The environment of every command, without variables of charlm."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    return kept | {
        "PYTHONPATH": str(Path(package.__file__).parents[1]),
        "PYTHONIOENCODING": "utf-8",
        "COLUMNS": "100",
    }


INHERITED = inherited()


def overridden(words: Sequence[object], *options: object) -> list[object]:
    """The words of a command, with other values of its options, since none can be given twice."""
    words = list(words)
    for flag in options[::2]:
        if flag in words:
            start = words.index(flag)
            del words[start : start + 2]
    return [*words, *options]


OF_COMMANDS = ("CHARLM_", "SHIM_", "LD_PRELOAD")  # variables that a forked command can have


@cache
def server(library: str) -> ForkServer:
    """A server of commands that preloads a library, or none; it starts at first use."""
    return ForkServer(INHERITED | ({"LD_PRELOAD": library} if library else {}))


@dataclass(frozen=True)
class Ended:
    """What is left of a process."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of stdout, each of which is JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last_note(self) -> str:
        return self.err.splitlines()[-1]

    @property
    def refusal(self) -> str:
        """The one line on stderr, of a process that failed and said why."""
        assert self.code == 1
        assert self.out == ""
        line, rest = self.err.split("\n", 1)
        assert not rest
        assert line.startswith("charlm: ")
        return line


class Shell:
    """Runs `charlm` in a folder, with variables in its environment."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        folder_of_cache = os.environ["CHARLM_CACHE"]
        self.environment = inherited() | {"CHARLM_CACHE": folder_of_cache, **variables}

    def start(
        self, *arguments: object, variables: dict[str, str] | None = None, **more: Any
    ) -> subprocess.Popen[str]:
        """A process that has just begun; see `end`. By default nothing is piped to it."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [sys.executable, "-m", "charlm", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment | (variables or {}),
            encoding="utf-8",
            **pipes | more,
        )

    def __call__(
        self, *arguments: object, stdin: str = "", variables: dict[str, str] | None = None
    ) -> Ended:
        environment = self.environment | (variables or {})
        imported_in = {k: v for k, v in environment.items() if not k.startswith(OF_COMMANDS)}
        if not IS_AVAILABLE or imported_in != INHERITED:
            process = self.start(*arguments, variables=variables, stdin=subprocess.PIPE)
            return end(process, stdin)
        words, library = [*map(str, arguments)], environment.pop("LD_PRELOAD", "")
        return Ended(*server(library).run(words, self.folder, environment, stdin, SECONDS))

    def history(self, run: str) -> list[dict[str, Any]]:
        """The records that a run kept."""
        text = (self.folder / run / "history.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


def end(process: subprocess.Popen[str], stdin: str = "") -> Ended:
    """Wait for the end of a process."""
    with process:
        try:
            out, err = process.communicate(stdin, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return Ended(process.returncode, out, err)
