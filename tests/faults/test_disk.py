"""The k-th disk call fails, for every k, while charlm trains and saves."""

from pathlib import Path

import pytest

from tests.faults.shim import (
    FIRST,
    NEXT,
    Disk,
    Fault,
    build,
    check_goes_on,
    check_left,
    check_refusal,
    faults,
    problems,
)
from tests.shell import Ended


@pytest.fixture(scope="module")
def disks(tmp_path_factory) -> dict[tuple, Disk]:
    """The disk before each command."""
    folder = tmp_path_factory.mktemp("disks")
    library = build(folder)
    return {
        FIRST: Disk.new(folder / "new", library),
        NEXT: Disk.begun(folder / "begun", library),
    }


@pytest.mark.promise(
    3,
    "An I/O error or a full disk at any call, once or from then on: one-line error, exit code 1, "
    "intact files, and training resumes to the same weights",
)
def test_call_that_fails(disks, tmp_path, counted, figure):
    stride = counted(400, 1)
    sweeps = [
        Sweep(disk, tmp_path / f"{k}-{under}", command, under, stride)
        for under in ("disk/run", "disk/text")
        for k, (command, disk) in enumerate(disks.items())
    ]
    found = [problem for sweep in sweeps for problem in problems(sweep.trial, sweep.cases)]
    assert not found, "\n".join(found)
    count, refused = sum(len(s.cases) for s in sweeps), sum(s.refused for s in sweeps)
    figure(
        f"{count:,} faults: {refused:,} ended the command this way, {count - refused:,} changed "
        "nothing"
    )


class Sweep:
    """A command, run with each fault in files under a part of the disk.

    Args:
        start: the disk before the command.
        folder: the folder for copies of it.
        command: the arguments.
        under: the part of the disk.
        stride: the distance between two failing calls.
    """

    def __init__(self, start: Disk, folder: Path, command: tuple, under: str, stride: int) -> None:
        self.start, self.folder, self.command, self.under = start, folder, command, under
        self.cases = faults(start, folder, self.run, under, stride)
        self.whole = start.copy(folder / "whole")
        assert self.whole(*command).code == 0
        self.refused = 0
        self.seen: set[str] = set()

    def run(self, disk: Disk, *, fault: Fault, under: str) -> Ended:
        return disk(*self.command, fault=fault, under=under)

    def trial(self, fault: Fault) -> None:
        disk = self.start.copy(self.folder / str(fault).replace(" ", "-"))
        before = disk.bytes()
        ended = self.run(disk, fault=fault, under=self.under)
        try:
            if ended.code == 0:
                assert ended.err == "", "a message"
                assert disk.ends_as(self.whole), "a different result"
                return
            self.refused += 1
            check_refusal(ended, fault.error)
            is_removal = disk.calls()[fault.at - 1].startswith("unlink")
            can_remove = (fault.how == "once" and not is_removal) or fault.calls == "grow"
            check_left(disk, before, can_remove=can_remove)
            check_goes_on(disk, self.command, self.whole, self.seen)
        except AssertionError as error:
            raise AssertionError(f"{disk.calls()[fault.at - 1]} {ended} {error}") from error
