"""Failing disk calls in one process (`shim.c`), and checks of the files that training leaves."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from charlm.training import history
from charlm.training.checkpoint import load
from charlm.training.run_directory import RunDirectory
from tests.helpers import untimed
from tests.shell import TEXT, Ended, Shell

SOURCE = Path(__file__).with_name("shim.c")
COMPILE = ("cc", "-shared", "-fPIC", "-o")
TRIALS_AT_ONCE = 2

TRAIN = (
    *("train", "disk/text/corpus.txt", "--out", "disk/run", "--hidden", 4, "--embedding", 0),
    *("--dropout", 0, "--batch-size", 32, "--lr", 0.01, "--seq-len", 16),
    *("--eval-every", 1, "--shards", 1, "--threads", 1),
)
QUIET = (*TRAIN, "--quiet")
FIRST = (*QUIET, "--steps", 1)
NEXT = (*QUIET, "--steps", 2, "--resume")


@dataclass(frozen=True)
class Fault:
    """A fault and the number of the call at which it occurs; see `shim.c`."""

    how: str = ""
    at: int = 0
    error: int = errno.EIO
    calls: str = "all"

    def __str__(self) -> str:
        return f"{errno.errorcode[self.error]} {self.how} at {self.at} of {self.calls}"


NONE = Fault()

# A full disk still allows reading and removing files.
KINDS = [
    ("once", errno.EIO, "all"),
    ("on", errno.EIO, "all"),
    ("once", errno.ENOSPC, "grow"),
    ("on", errno.ENOSPC, "grow"),
    ("short", errno.ENOSPC, "grow"),
]


def build(folder: Path) -> Path:
    """Compile the library to be preloaded."""
    if sys.platform != "linux":
        pytest.skip("fault injection needs LD_PRELOAD, as on Linux")
    if not shutil.which("cc"):
        pytest.skip("fault injection needs a C compiler")
    library = folder / "shim.so"
    subprocess.run([*COMPILE, library, SOURCE, "-ldl"], check=True)
    return library


class Disk:
    """A folder with a `disk`, which has `text` (a corpus and the cache) and maybe `run` (a run).

    Args:
        folder: the folder.
        library: the compiled shim; None for a disk without faults.
    """

    def __init__(self, folder: Path, library: Path | None = None) -> None:
        self.library, self.folder = library, folder
        self.root = folder / "disk"
        self.run = RunDirectory(self.root / "run")
        self.shell = Shell(folder, CHARLM_CACHE=str(self.root / "text" / "cache"))

    @classmethod
    def new(cls, folder: Path, library: Path | None = None) -> "Disk":
        """A disk with a corpus."""
        disk = cls(folder, library)
        text = disk.root / "text"
        text.mkdir(parents=True)
        (text / "corpus.txt").write_text(TEXT, encoding="utf-8")
        os.utime(text / "corpus.txt", (0, 0))  # old enough to be recorded in the cache
        return disk

    @classmethod
    def begun(cls, folder: Path, library: Path | None = None) -> "Disk":
        """A disk with a run that can be resumed."""
        disk = cls.new(folder, library)
        assert disk(*FIRST) == Ended(0, "", "")
        return disk

    def copy(self, folder: Path) -> "Disk":
        """A copy of the disk in another folder."""
        shutil.copytree(self.folder, folder)
        return Disk(folder, self.library)

    def told(self, fault: Fault, under: str) -> dict[str, str]:
        """The environment variables for a fault in files under a part of the disk."""
        told = {
            "LD_PRELOAD": self.library,
            "SHIM_UNDER": self.folder / under,
            "SHIM_CALLS": fault.calls,
            "SHIM_AT": fault.at,
            "SHIM_HOW": fault.how,
            "SHIM_ERRNO": fault.error,
            "SHIM_LOG": self.log,
        }
        return {name: str(value) for name, value in told.items()}

    def __call__(self, *arguments: object, fault: Fault = NONE, under: str = "") -> Ended:
        """Run a command, perhaps with a fault in files under a part of the disk."""
        return self.shell(*arguments, variables=self.told(fault, under) if under else {})

    def python(self, program: str, *, fault: Fault, under: str) -> Ended:
        """Run a Python program with a fault in files under a part of the disk."""
        ended = subprocess.run(
            [sys.executable, "-c", program],
            cwd=self.folder,
            env=self.shell.environment | self.told(fault, under),
            capture_output=True,
            encoding="utf-8",
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def calls(self) -> list[str]:
        """The counted calls, each with its path."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def left_over(self) -> list[str]:
        """The names of leftover temporary files."""
        return sorted(path.name for path in self.root.rglob(".*.tmp"))

    def bytes(self) -> dict[str, bytes]:
        """The bytes of the existing checkpoints."""
        files = (self.run.last, self.run.best)
        return {file.name: file.read_bytes() for file in files if file.exists()}

    def numbers(self) -> dict[str, tuple[Any, ...]]:
        """The state of training in the existing checkpoints, for comparison bit by bit."""
        files = (self.run.last, self.run.best)
        return {file.name: numbers(file) for file in files if file.exists()}

    def history(self) -> list[dict[str, Any]]:
        """The steps and evaluations in the history of the run, without times."""
        records = history.read(self.run.history)
        return [untimed(r) for r in records if r["event"] in ("step", "eval")]

    def state(self) -> str:
        """Everything that affects the next start, without times and random names."""
        texts = {p.name: p.read_bytes() for p in self.root.glob("text/**/[!.]*") if p.is_file()}
        cut_off = self.run.history.exists() and self.run.history.read_bytes()[-1:]
        strays = [name.rsplit(".", 2)[0] for name in self.left_over()]
        return repr((self.numbers(), self.history(), cut_off, strays, texts))

    def ends_as(self, other: "Disk") -> bool:
        """Whether both have the same run: bit-identical checkpoints and the same history."""
        return self.numbers() == other.numbers() and self.history() == other.history()


def numbers(file: Path) -> tuple[Any, ...]:
    """The state of training in a checkpoint, which has to be intact."""
    checkpoint = load(file)
    training = checkpoint.training
    assert training is not None
    arrays = (checkpoint.params.flat, training.moments, *training.carried)
    progress = training.progress
    return progress.step, progress.best_step, progress.best_nats, *(a.tobytes() for a in arrays)


def faults(
    disk: Disk, folder: Path, run: Callable[..., Ended], under: str, stride: int
) -> list[Fault]:
    """The faults of each kind, at every `stride`-th call that `run` makes."""
    counts = {}
    for calls in ("all", "grow"):
        tried = disk.copy(folder / calls)
        assert run(tried, fault=Fault(calls=calls), under=under).code == 0
        counts[calls] = len(tried.calls())
    cases: list[Fault] = []
    for how, error, calls in KINDS:
        first = 1 + 7 * len(cases) % stride  # different kinds fail at different calls
        cases += [Fault(how, k, error, calls) for k in range(first, counts[calls] + 1, stride)]
    return cases


def check_refusal(ended: Ended, error: int) -> None:
    """Check for a one-line error with a path and the cause in words."""
    line = ended.refusal
    # the encoded text may be in a temporary file without a name
    assert "disk/" in line or "the encoded text" in line, "no path"
    assert os.strerror(error) in line, "no cause"
    assert "[Errno" not in line, "the message is the last line of a traceback"


def check_left(disk: Disk, before: dict[str, bytes], *, can_remove: bool) -> None:
    """Check that checkpoints are intact, old or new, and that no temporary file is left."""
    assert disk.numbers().keys() >= before.keys(), "a checkpoint is gone"
    assert not (can_remove and disk.left_over()), "a temporary file is left"


def check_goes_on(disk: Disk, command: tuple, whole: Disk, seen: set[str]) -> None:
    """Check that training resumes without faults to the same result as `whole`.

    States in `seen` have been checked before and are skipped.
    """
    state = disk.state()
    if state in seen:
        return
    seen.add(state)
    again = command if "--resume" in command else (*command, "--resume")
    assert disk(*again) == Ended(0, "", ""), "training does not resume"
    assert disk.ends_as(whole), "a different result"
    strays = [name for name in disk.left_over() if name.startswith((".last", ".best", ".history"))]
    assert not strays, "temporary files after the next start"


def problems(trial: Callable[[Any], None], cases: Iterable[Any]) -> list[str]:
    """Run all cases, some in parallel, and return descriptions of the failures."""
    with ThreadPoolExecutor(TRIALS_AT_ONCE) as pool:
        return [found for found in pool.map(partial(_problem, trial), cases) if found]


def _problem(trial: Callable[[Any], None], case: Any) -> str:
    try:
        trial(case)
    except Exception as error:
        return f"{case}: {type(error).__name__}: {error}"
    return ""
