"""A run directory: `best.npz`, `last.npz` and `history.jsonl`, by default under `runs/`."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from charlm.errors import RunError
from charlm.system.atomic_files import remove_left_overs, write_atomically
from charlm.system.file_lock import Lock
from charlm.system.regular_files import open_regular
from charlm.training.events import Done, Rollback

ROOT = Path("runs")


class RunDirectory:
    """The directory of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.best = path / "best.npz"
        self.last = path / "last.npz"
        self.history = path / "history.jsonl"
        self.files = (self.best, self.last, self.history)
        self.new: list[Path] = []  # the directories created for this run, innermost first

    def check_free(self) -> None:
        """Check that the directory contains no run.

        Raises:
            RunError: it contains a run.
        """
        if self.best.exists() or self.last.exists():
            raise RunError(
                f"{self.path} already contains a run; choose another directory, or pass --resume "
                "to charlm train to resume it, or --force to replace it"
            )

    def make(self) -> None:
        """Create the directory if it does not exist.

        Raises:
            RunError: it cannot be created.
        """
        try:
            self.new += _missing(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
            raise _cannot("create the directory", self.path, error) from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Create and lock the directory, and remove leftovers of killed processes.

        Raises:
            RunError: another process trains there, or it cannot be written.
        """
        self.make()
        try:
            lock = Lock(self.path / ".lock", str(self.path))
            try:
                remove_left_overs(self.path, [file.name for file in self.files])
                yield
            finally:
                lock.release()
        finally:
            with suppress(OSError):  # not empty
                for path in self.new:
                    path.rmdir()

    def forget(self) -> None:
        """Remove the files of an older run, except the last checkpoint, which was replaced.

        Raises:
            RunError: a file cannot be removed.
        """
        for file in (self.best, self.history):
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise _cannot("remove", file, error) from error

    def append_history(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Append records to the history, one line of JSON each.

        Raises:
            RunError: the file cannot be written.
        """
        try:
            opened = open_regular(self.history, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            with open(opened, "a", encoding="utf-8") as file:
                file.writelines(json.dumps(record) + "\n" for record in records)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _cannot("write", self.history, error) from error

    def read_history(self) -> list[dict[str, Any]]:
        """The records so far; an incomplete last line is ignored.

        Raises:
            RunError: a line is damaged, or the file cannot be read.
        """
        try:
            lines = self.history.read_bytes().splitlines(keepends=True)
            return [_record(line) for line in lines if line.endswith(b"\n")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _cannot("read", self.history, error) from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"{self.history} is damaged: {error}; remove it to continue") from error

    def rewind_history(self, step: int, rollbacks: int = 0) -> None:
        """Remove the records after a step, for a run that resumes from there.

        Args:
            step: the last step to keep. 0 removes everything, unless there was a rollback, since a
                new run begins with an evaluation.
            rollbacks: the number of rollbacks by then.

        Raises:
            RunError: the history is damaged, or cannot be written.
        """
        kept = _until(step, rollbacks, self.read_history()) if step or rollbacks else []
        lines = "".join(json.dumps(record) + "\n" for record in kept)
        try:
            write_atomically(self.history, lambda file: file.write(lines.encode()))
        except OSError as error:
            raise _cannot("write", self.history, error) from error


def _missing(path: Path) -> list[Path]:
    """The missing directories of a path, innermost first."""
    return [each for each in (path, *path.parents) if not each.exists()]


def _cannot(do: str, path: Path, error: OSError | ValueError) -> RunError:
    return RunError(f"cannot {do} {path}: {getattr(error, 'strerror', None) or error}")


def _record(line: bytes) -> dict[str, Any]:
    """A line of the history."""
    record: dict[str, Any] = json.loads(line)
    has_both = isinstance(record, dict) and {"event", "step"} <= record.keys()
    if not has_both or type(record["step"]) is not int:
        raise ValueError(f"invalid line {line[:40]!r}")
    if record["event"] == "setback":  # the name before checkpoints of format 3
        record |= {"event": Rollback.event, "rollbacks": record.pop("setbacks", None)}
    return record


def _until(step: int, rollbacks: int, records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records up to a step; after a rollback, a run repeats steps."""
    kept: list[dict[str, Any]] = []
    seen = 0
    for record in records:
        seen += record["event"] == Rollback.event
        if seen > rollbacks or (seen == rollbacks and record["step"] > step):
            break
        if record["event"] != Done.event:
            kept.append(record)
    return kept


def numbered_run(name: str, root: Path = ROOT) -> RunDirectory:
    """Create the directory `<root>/<name>-<n>` with the first free number.

    Raises:
        RunError: it cannot be created.
    """
    n = 1
    while True:
        path = root / f"{name}-{n}"
        run = RunDirectory(path)
        try:
            run.new = _missing(path)
            path.mkdir(parents=True)
        except FileExistsError:
            n += 1
        except OSError as error:
            raise _cannot("create the directory", path, error) from error
        else:
            return run


def runs_by_age(file: str, root: Path = ROOT) -> list[RunDirectory]:
    """The runs under `root` that have a `file`, the most recently written first.

    Args:
        file: `best.npz` to find models, `last.npz` to find runs to resume.
        root: the directory of all runs.

    Raises:
        RunError: there are none.
    """
    found = sorted(root.glob(f"*/{file}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    if not found:
        raise RunError(f"no {file} under {root}/; train a model with: charlm train corpus.txt")
    return [RunDirectory(path.parent) for path in found]


def is_model_path(argument: str) -> bool:
    """Whether an argument names a model: a `.npz` file or a run directory."""
    path = Path(argument)
    return argument.endswith(".npz") or path.is_dir()


def model_file(argument: str | Path) -> Path:
    """The checkpoint at a path: the file itself, or the `best.npz` of a run directory."""
    path = Path(argument)
    return RunDirectory(path).best if path.is_dir() else path
