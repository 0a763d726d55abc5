"""The k-th disk call fails in commands and functions other than training."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.shim import Disk, Fault, build, check_refusal, faults, problems
from tests.shell import Ended

GET = ("corpus", "get", "ordinary-things", "--out", "disk/file/text", "--force")
SAVE = """
import charlm
import sys
from charlm.errors import CheckpointError

model = charlm.load("disk/run")
try:
    model.save("disk/file/model.npz")
except CheckpointError as error:
    sys.exit(f"charlm: {error}")
"""
READERS = [
    ("sample", "disk/run", "--length", 5, "--random-seed", 0),
    ("eval", "disk/run", "--json"),
    ("eval", "disk/run", "disk/text/corpus.txt", "--json"),
    ("corpus", "prepare", "disk/text/corpus.txt", "--json"),
]


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Disk:
    """A disk with a run and a folder for files to be replaced."""
    folder = tmp_path_factory.mktemp("begun")
    disk = Disk.begun(folder / "begun", build(folder))
    (disk.root / "file").mkdir()
    return disk


def contents(disk: Disk) -> dict[str, bytes]:
    """The files in the folder of files to be replaced."""
    return {file.name: file.read_bytes() for file in (disk.root / "file").iterdir()}


class Replacing:
    """An operation that writes a new file or replaces an old one, run with each fault.

    Args:
        start: the disk before the operation.
        folder: the folder for copies of it.
        run: the operation.
        stride: the distance between two failing calls.
    """

    def __init__(self, start: Disk, folder: Path, run: Callable[..., Ended], stride: int) -> None:
        self.start, self.folder, self.run = start, folder, run
        self.old = contents(start)
        whole = start.copy(folder / "whole")
        assert run(whole, fault=Fault(), under="disk/file").code == 0
        self.new = contents(whole)
        self.cases = faults(start, folder, run, "disk/file", stride)
        self.refused = 0

    def trial(self, fault: Fault) -> None:
        disk = self.start.copy(self.folder / str(fault).replace(" ", "-"))
        ended = self.run(disk, fault=fault, under="disk/file")
        left = contents(disk)
        try:
            if ended.code == 0:
                assert left == self.new
                return
            self.refused += 1
            check_refusal(ended, fault.error)
            if fault.how == "on" and fault.error == errno.EIO:
                left = {name: data for name, data in left.items() if not name.startswith(".")}
            assert left in (self.old, self.new), "a file is neither the old nor the new one"
        except AssertionError as error:
            raise AssertionError(f"{disk.calls()[fault.at - 1]} {ended} {error}") from error


def get(disk: Disk, *, fault: Fault, under: str) -> Ended:
    return disk(*GET, fault=fault, under=under)


def save(disk: Disk, *, fault: Fault, under: str) -> Ended:
    """Call `LanguageModel.save` in a Python program."""
    return disk.python(SAVE, fault=fault, under=under)


@pytest.mark.promise(
    3,
    "A call that fails in `charlm corpus get` or `LanguageModel.save`: the old or the new file, "
    "byte-identical",
)
def test_file_that_cannot_be_replaced(begun, tmp_path, counted, figure):
    replacing = begun.copy(tmp_path / "replacing")
    for name in ("text", "model.npz"):
        (replacing.root / "file" / name).write_bytes(b"what was here before")
    sweeps = [
        Replacing(start, tmp_path / f"{run.__name__}-{start.folder.name}", run, counted(250, 1))
        for run in (get, save)
        for start in (begun, replacing)
    ]
    found = [problem for sweep in sweeps for problem in problems(sweep.trial, sweep.cases)]
    assert not found, "\n".join(found)
    count, refused = sum(len(s.cases) for s in sweeps), sum(s.refused for s in sweeps)
    figure(f"{count} faults, {refused} of them errors")


@pytest.mark.promise(
    3,
    "A call that fails while a model, a text or an encoded text is read: one-line error and exit "
    "code 1, or the same result",
)
def test_what_cannot_be_read(begun, tmp_path, counted, figure):
    stride = counted(200, 1)
    count = 0
    refused: list[Fault] = []
    found: list[str] = []
    for k, command in enumerate(READERS):
        wanted = begun.copy(tmp_path / f"{k}-whole")(*command)
        assert wanted.code == 0

        def run(disk: Disk, *, fault: Fault, under: str, command: tuple = command) -> Ended:
            return disk(*command, fault=fault, under=under)

        def trial(fault: Fault, k: int = k, wanted: Ended = wanted, run: Callable = run) -> None:
            disk = begun.copy(tmp_path / f"{k}" / str(fault).replace(" ", "-"))
            ended = run(disk, fault=fault, under="disk")
            try:
                if ended.code == 0:
                    assert result(ended) == result(wanted), "a different result"
                    return
                refused.append(fault)
                check_refusal(ended, fault.error)
            except AssertionError as error:
                raise AssertionError(f"{disk.calls()[fault.at - 1]} {ended} {error}") from error

        cases = faults(begun, tmp_path / f"{k}", run, "disk", stride)
        count += len(cases)
        found += problems(trial, cases)
    assert not found, "\n".join(found)
    figure(f"{count} faults: {len(refused)} errors, {count - len(refused)} with the same result")


def result(ended: Ended) -> object:
    """The output without the path on disk and without whether the cache was used."""
    if not ended.out.startswith("{"):
        return ended.out
    return {k: v for k, v in json.loads(ended.out).items() if k not in ("path", "found")}
