"""A run's directory: `best.npz`, `last.npz` and `history.jsonl`, under `runs/` by default."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from charlm.errors import RunError
from charlm.files import write_atomically

ROOT = Path("runs")


class RunDirectory:
    """The directory of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.best = path / "best.npz"
        self.last = path / "last.npz"
        self.history = path / "history.jsonl"
        self.files = (self.best, self.last, self.history)

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
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make the directory {self.path}: {error.strerror}") from error

    def remove_if_empty(self) -> None:
        """Remove the directory again, if nothing came of it."""
        with suppress(OSError):
            self.path.rmdir()

    def clear(self) -> None:
        """Remove the run that is here, and nothing else."""
        for file in self.files:
            file.unlink(missing_ok=True)

    def append_history(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records to the history, a line of JSON each."""
        with self.history.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)

    def read_history(self) -> list[dict[str, Any]]:
        """The records so far; a last line that was cut off is passed over.

        Raises:
            RunError: another line is damaged.
        """
        if not self.history.exists():
            return []
        lines = self.history.read_bytes().splitlines(keepends=True)
        try:
            return [json.loads(line) for line in lines if line.endswith(b"\n")]
        except ValueError as error:
            raise RunError(f"{self.history} is damaged: {error}; remove it to go on") from error

    def rewind_history(self, step: int) -> None:
        """Forget what came after step `step`, for a run that goes on from there."""
        before = self.read_history() if step else []  # step 0 begins with an evaluation
        kept = [r for r in before if r["step"] <= step and r["event"] != "done"]
        lines = "".join(json.dumps(record) + "\n" for record in kept)
        write_atomically(self.history, lambda file: file.write(lines.encode()))


def numbered_run(name: str, root: Path = ROOT) -> RunDirectory:
    """Make the directory `<root>/<name>-<n>` with the first free number.

    Raises:
        RunError: it cannot be made.
    """
    n = 1
    while True:
        path = root / f"{name}-{n}"
        try:
            path.mkdir(parents=True)
            return RunDirectory(path)
        except FileExistsError:
            n += 1
        except OSError as error:
            raise RunError(f"cannot make the directory {path}: {error.strerror}") from error


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
