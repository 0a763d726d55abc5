"""A run directory: `best.npz`, `last.npz` and `history.jsonl`, by default under `runs/`."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os.path import exists, isdir
from pathlib import Path

from charlm.errors import RunError, cause_of
from charlm.system.atomic_files import remove_left_overs
from charlm.system.file_lock import Lock
from charlm.system.regular_files import check_regular

ROOT = Path("runs")
MAX_NAME = 200  # bytes of the name of a run without its number


class RunDirectory:
    """The directory of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.best = path / "best.npz"
        self.last = path / "last.npz"
        self.history = path / "history.jsonl"
        self.files = (self.best, self.last, self.history)
        self.new: list[Path] = []  # the directories created for this run, innermost first

    @property
    def has_checkpoint(self) -> bool:
        """Whether the directory contains a run."""
        return self.best.exists() or self.last.exists()

    def check_free(self) -> None:
        """Check that the directory contains no run.

        Raises:
            RunError: it contains a run.
        """
        if self.has_checkpoint:
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
        except FileExistsError as error:
            is_link = self.path.is_symlink()
            cause = "it is a link to nothing" if is_link else "a file has that name"
            raise RunError(f"cannot create the directory {self.path}: {cause}") from error
        except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
            raise _cannot("create the directory", self.path, error) from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Create and lock the directory, and remove leftovers of killed processes.

        Raises:
            RunError: another process trains there, or it or one of its files cannot be written.
        """
        self.make()
        try:
            self._check_files()
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

    def _check_files(self) -> None:
        """Check that the files can be replaced, which may be tried after hours of training."""
        for file in self.files:
            try:
                check_regular(file)
            except OSError as error:
                raise _cannot("write", file, error) from error

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


def _missing(path: Path) -> list[Path]:
    """The missing directories of a path, innermost first."""
    return [each for each in (path, *path.parents) if not each.exists()]


def _cannot(do: str, path: Path, error: OSError | ValueError) -> RunError:
    return RunError(f"cannot {do} {path}: {cause_of(error)}")


def numbered_run(name: str, root: Path = ROOT) -> RunDirectory:
    """Create the directory `<root>/<name>-<n>` with the first free number.

    Raises:
        RunError: it cannot be created.
    """
    base = RunDirectory(root)
    base.make()  # before the search: a link to nothing can have no free number
    short, n = name.encode()[:MAX_NAME].decode(errors="ignore"), 1
    while True:
        run = RunDirectory(root / f"{short}-{n}")
        try:
            run.path.mkdir(parents=True)
        except FileExistsError:
            n += 1
        except (OSError, ValueError) as error:
            raise _cannot("create the directory", run.path, error) from error
        else:
            run.new = [run.path, *base.new]
            return run


def runs_by_age(file: str, root: Path = ROOT) -> list[RunDirectory]:
    """The runs under `root` that have a `file`, the most recently written first.

    Args:
        file: `best.npz` to find models, `last.npz` to find runs to resume.
        root: the directory of all runs.

    Raises:
        RunError: there are none.
    """
    times: dict[Path, int] = {}
    for path in root.glob(f"*/{file}"):
        with suppress(OSError):  # a link to nothing, or removed meanwhile
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                times[path.parent] = status.st_mtime_ns
    if not times:
        raise RunError(f"no {file} under {root}/; train a model with: charlm train corpus.txt")
    return [RunDirectory(path) for path in sorted(times, key=lambda path: -times[path])]


def is_run(path: str) -> bool:
    """Whether a path is a directory that contains a run."""
    return any(exists(file) for file in RunDirectory(Path(path)).files)


def model_file(argument: str | Path) -> Path:
    """The checkpoint at a path: the file itself, or the `best.npz` of a run directory."""
    path = Path(argument)
    return RunDirectory(path).best if isdir(path) else path
