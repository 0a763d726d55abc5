"""A run's directory: `best.npz`, `last.npz` and `history.jsonl`, under `runs/` by default."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from charlm.errors import RunError
from charlm.system.atomic_files import remove_left_overs, write_atomically
from charlm.system.file_lock import Lock
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
        self.new: list[Path] = []  # the directories that were made for this run, innermost first

    def check_free(self) -> None:
        """See that there is no run here.

        Raises:
            RunError: there is one.
        """
        if self.best.exists() or self.last.exists():
            raise RunError(
                f"{self.path} holds a run: go on with it (--resume), replace it (--force), or "
                "choose another directory"
            )

    def make(self) -> None:
        """Make the directory, if it is not there.

        Raises:
            RunError: it cannot be made.
        """
        try:
            self.new += _missing(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
            raise _cannot("make the directory", self.path, error) from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the directory, keep other processes from training there, and tidy up.

        Raises:
            RunError: another process trains there, or it cannot be written to.
        """
        self.make()
        try:
            lock = Lock(self.path / ".lock", str(self.path))
            try:
                for file in self.files:
                    remove_left_overs(self.path, file.name)
                yield
            finally:
                lock.release()
        finally:
            with suppress(OSError):  # something has come of it
                for path in self.new:
                    path.rmdir()

    def forget(self) -> None:
        """Remove what there is of a run but its last checkpoint, which has been replaced.

        Raises:
            RunError: that cannot be done.
        """
        for file in (self.best, self.history):
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise _cannot("remove", file, error) from error

    def append_history(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records to the history, a line of JSON each.

        Raises:
            RunError: the file cannot be written.
        """
        try:
            with self.history.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(record) + "\n" for record in records)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _cannot("write", self.history, error) from error

    def read_history(self) -> list[dict[str, Any]]:
        """The records so far; a last line that was cut off is passed over.

        Raises:
            RunError: another line is damaged, or the file cannot be read.
        """
        try:
            lines = self.history.read_bytes().splitlines(keepends=True)
            return [_record(line) for line in lines if line.endswith(b"\n")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _cannot("read", self.history, error) from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"{self.history} is damaged: {error}; remove it to go on") from error

    def rewind_history(self, step: int, rollbacks: int = 0) -> None:
        """Forget what came after a step, for a run that goes on from there.

        Args:
            step: after which step; 0 forgets all, but after a setback, since a run that is fresh
                begins with an evaluation.
            setbacks: how often the run had gone back by then.

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
    """The directories that are to be made for it, innermost first."""
    return [each for each in (path, *path.parents) if not each.exists()]


def _cannot(do: str, path: Path, error: OSError | ValueError) -> RunError:
    return RunError(f"cannot {do} {path}: {getattr(error, 'strerror', None) or error}")


def _record(line: bytes) -> dict[str, Any]:
    """A line of a history."""
    record: dict[str, Any] = json.loads(line)
    has_both = isinstance(record, dict) and {"event", "step"} <= record.keys()
    if not has_both or type(record["step"]) is not int:
        raise ValueError(f"a line is {line[:40]!r}")
    if record["event"] == "setback":  # its name before format 3
        record |= {"event": Rollback.event, "rollbacks": record.pop("setbacks", None)}
    return record


def _until(step: int, rollbacks: int, records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What had been recorded after a step: a run that has gone back does its steps again."""
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
    """Make the directory `<root>/<name>-<n>` with the first free number.

    Raises:
        RunError: it cannot be made.
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
            raise _cannot("make the directory", path, error) from error
        else:
            return run


def runs_by_age(file: str, root: Path = ROOT) -> list[RunDirectory]:
    """The runs under `root` that have a `file`, the one where it was written last first.

    Args:
        file: `best.npz` to find models, `last.npz` to find runs to go on with.
        root: the directory of runs.

    Raises:
        RunError: there is none.
    """
    found = sorted(root.glob(f"*/{file}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    if not found:
        raise RunError(f"there is no {file} under {root}/ yet; train one: charlm train corpus.txt")
    return [RunDirectory(path.parent) for path in found]


def is_model_path(argument: str) -> bool:
    """Whether a command's first argument names a model: a `.npz`, or a run's directory."""
    path = Path(argument)
    return argument.endswith(".npz") or path.is_dir()


def model_file(argument: str | Path) -> Path:
    """The checkpoint that a path names: the file itself, or the `best.npz` of a directory."""
    path = Path(argument)
    return RunDirectory(path).best if path.is_dir() else path
